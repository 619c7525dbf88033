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
    // Of what the model said, the guided prediction [pictures, C, H, W], and what the noise is multiplied with.
    void combine(const ExecContext& ctx, std::size_t step);
    void start(const Call& call, std::vector<TorchGenerator>& noise);
    // The pictures that the run begins with, as latents; the first of each seed's draws are those of the encoder's distribution.
    void read_pictures(const Call& call, std::vector<TorchGenerator>& noise);
    // Outside of the mask, x becomes the picture at the level where the next step begins.
    void keep_unmasked(const ExecContext& ctx, std::size_t step);
    // Scaled for a step, in every row that the model reads.
    void show_latents(const ExecContext& ctx, double scale);
    // sum += factor ⊙ x, of the latents' shape; a copy in `out`.
    void add_product(const ExecContext& ctx, const TensorView& factor, const TensorView& x, const TensorView& sum,
                     const TensorView& out) const;
    // of_fresh: per step, as opposed to the first.
    void draw(std::vector<TorchGenerator>& noise, const TensorView& to, bool of_fresh);
    void do_step(const ExecContext& ctx, std::size_t i);
    void replay(std::size_t i);
    [[nodiscard]] const TensorView& fresh_noise(std::size_t step) const;
    [[nodiscard]] TensorView history(std::size_t step, std::size_t ago) const;
    // Sums over x, the guided model output, what was kept and saved, and noise, as a step's coefficients say.
    [[nodiscard]] std::vector<LincombTerm> model_terms(double from_x, double from_model) const;
    void add_history(std::vector<LincombTerm>& terms, const std::vector<double>& coefficients, std::size_t step) const;
    // The terms of what the step keeps; where it limits its data prediction, that is made first.
    [[nodiscard]] std::vector<LincombTerm> kept_terms(const ExecContext& ctx, std::size_t step) const;
    [[nodiscard]] std::vector<LincombTerm> saved_terms(std::size_t step) const;
    [[nodiscard]] std::vector<LincombTerm> next_terms(std::size_t step) const;

    ExecContext ctx_;
    SamplerPlan plan_;
    double cfg_scale_;
    bool guided_;
    Shape shape_;    // of the latents: [pictures, C, H, W]
    bool combines_;  // the model's channels are not all treated alike: guidance is no part of the sampler's sums
    std::int64_t guided_channels_;
    std::unique_ptr<DenoiserRun> run_;
    Tensor latents_, model_input_, model_output_, first_bad_;
    Tensor prediction_, spread_, spread_noise_, noise_as_read_;  // where the channels are combined
    Tensor limited_;                                             // a data prediction on its way through a limit
    Tensor drawn_;                                               // host: noise on its way
    Tensor picture_;                                             // where the run begins with one
    Tensor mask_, first_noise_, kept_, change_;                  // where it has a mask, too
    std::vector<Tensor> x0_;  // what the steps keep (data predictions, or ε), in turn: as many as the plan looks back
    std::vector<Tensor> saved_, fresh_noise_;  // in turn: the last two that a step has made
    // How many saved states and draws of noise there are once each step has made its own.
    std::vector<std::size_t> saves_, draws_;
    struct Step {
        std::unique_ptr<Recording> recording;
        double flops = 0;  // counted while recording
        bool replayed = false;
    };
    std::vector<Step> steps_;
    bool warm_ = false;
};

}  // namespace t2i
