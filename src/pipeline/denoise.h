// Executes a SamplerPlan: the loop from noise to latents, with classifier-free guidance.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/rng.h"
#include "models/roles.h"
#include "sampling/sampler.h"

namespace t2i {

struct DenoiseSettings {
    SamplerPlan plan;
    double cfg_scale = 1.0;
    bool guided = false;           // the model reads [negative…, positive…]: twice as many rows as pictures
    Shape latents;                 // [pictures, C, H, W]
    std::int64_t text_tokens = 1;  // rows of a text, padding included
    bool operator==(const DenoiseSettings&) const = default;
};

// One loop for one kind of request: its buffers, the model's tables, and the steps as recordings. Making it costs a little;
// running it again for other seeds and texts costs nothing, and on a backend that records, launches little.
class DenoiseLoop {
  public:
    // backend, denoiser and scratch outlive the loop; the tracer may be null.
    DenoiseLoop(const ExecContext& ctx, const Denoiser& denoiser, DenoiseSettings settings);

    [[nodiscard]] const DenoiseSettings& settings() const { return settings_; }
    [[nodiscard]] std::int64_t model_rows() const { return model_input_.shape()[0]; }
    // [negative…, positive…], or [positive…] alone; text_tokens rows each.
    void set_text(const Conditioning& text);

    struct Call {
        std::span<const std::uint64_t> seeds;          // one a picture
        std::function<bool(int steps_done)> progress;  // false stops with Error{cancelled}; may be empty
        std::function<void()> meanwhile;               // called once, when the backend has work to do; may be empty
    };
    // Hands the whole loop to the backend, at most two steps ahead of what it has done.
    // Throws Error{cancelled}; on a backend that works at once also Error{input} when a step leaves a NaN or Inf.
    void run(const Call& call);
    // The latents of the last run, in the backend's memory.
    [[nodiscard]] TensorView latents() const { return latents_; }
    // [1] i32 in the backend's memory: the first step (from 0) of the last run that left a NaN or an infinity.
    [[nodiscard]] TensorView first_bad() const { return first_bad_; }
    // Throws Error{input} naming the step unless the value is that of a healthy run.
    void check(std::int32_t first_bad) const;

  private:
    void start(std::span<const std::uint64_t> seeds, std::vector<TorchGenerator>& noise);
    void draw(std::vector<TorchGenerator>& noise, const TensorView& to);
    void do_step(const ExecContext& ctx, std::size_t i);
    void replay(std::size_t i);
    [[nodiscard]] TensorView history(std::size_t step, std::size_t ago) const;

    ExecContext ctx_;
    const Denoiser& denoiser_;
    DenoiseSettings settings_;
    std::unique_ptr<DenoiserRequest> request_;
    Tensor latents_, model_input_, model_output_, fresh_noise_, first_bad_;
    Tensor drawn_;            // host: noise on its way
    std::vector<Tensor> x0_;  // data predictions, in turn: as many as the plan looks back
    struct Step {
        std::unique_ptr<Recording> recording;
        double flops = 0;  // counted while recording
        bool replayed = false;
    };
    std::vector<Step> steps_;
    bool warm_ = false;
};

}  // namespace t2i
