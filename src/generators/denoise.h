// Executes a SamplerPlan: the loop from noise to latents, with classifier-free guidance.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/rng.h"
#include "generators/generator.h"
#include "sampling/sampler.h"

namespace t2i {

// One loop for one kind of request: its buffers, the model's tables, and the steps as recordings. Making it costs a little;
// running it again for other seeds and texts costs nothing, and on a backend that records, launches little.
class DenoiseLoop final : public GeneratorRun {
  public:
    // backend, denoiser and scratch outlive the loop; the tracer may be null.
    DenoiseLoop(const ExecContext& ctx, const Denoiser& denoiser, const RunSettings& settings, SamplerPlan plan);

    void condition(const Conditioning& conditioning) override { run_->condition(ctx_, conditioning); }
    // At most two steps ahead of what the backend has done.
    void run(const Call& call) override;
    // The latents of the last run.
    [[nodiscard]] TensorView result() const override { return latents_; }
    // The first step (from 0) of the last run that left a NaN or an infinity.
    [[nodiscard]] TensorView status() const override { return first_bad_; }
    void check(std::int32_t first_bad) const override;

  private:
    void start(std::span<const std::uint64_t> seeds, std::vector<TorchGenerator>& noise);
    void draw(std::vector<TorchGenerator>& noise, const TensorView& to);
    void do_step(const ExecContext& ctx, std::size_t i);
    void replay(std::size_t i);
    [[nodiscard]] TensorView history(std::size_t step, std::size_t ago) const;

    ExecContext ctx_;
    SamplerPlan plan_;
    double cfg_scale_;
    bool guided_;
    Shape shape_;  // of the latents: [pictures, C, H, W]
    std::unique_ptr<DenoiserRun> run_;
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
