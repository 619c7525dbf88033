#include "generators/denoise.h"

#include <algorithm>
#include <array>
#include <limits>

#include "ops/memory.h"
#include "ops/ops.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr std::int32_t no_bad_step = std::numeric_limits<std::int32_t>::max();
// Steps handed over before the first is waited for: the queue never runs dry, and an interrupt is not late.
constexpr std::size_t steps_ahead = 2;

}  // namespace

DenoiseLoop::DenoiseLoop(const ExecContext& ctx, const Denoiser& denoiser, const RunSettings& settings, SamplerPlan plan)
    : ctx_(ctx),
      plan_(std::move(plan)),
      cfg_scale_(settings.plan->cfg_scale),
      guided_(settings.plan->guided),
      shape_{settings.pictures, denoiser.channels(), settings.height, settings.width} {
    const Shape rows{settings.model_rows(), shape_[1], shape_[2], shape_[3]};
    std::vector<float> timesteps;
    std::size_t depth = 1;
    bool draws_noise = false;
    for (const auto& step : plan_.steps) {
        timesteps.push_back(static_cast<float>(step.timestep));
        depth = std::max(depth, step.from_x0.size());
        draws_noise = draws_noise || step.draws_noise;
    }
    latents_ = allocate(ctx.backend, shape_);
    model_input_ = allocate(ctx.backend, rows);
    model_output_ = allocate(ctx.backend, rows);
    if (draws_noise) fresh_noise_ = allocate(ctx.backend, shape_);
    first_bad_ = allocate(ctx.backend, {1}, DType::i32);
    drawn_ = allocate_staging(ctx.backend, shape_);
    for (std::size_t i = 0; i < depth; ++i) x0_.push_back(allocate(ctx.backend, shape_));
    run_ = denoiser.begin(ctx, {.timesteps = timesteps, .latents = rows, .text_rows = settings.text_rows});
    steps_.resize(plan_.steps.size());
}

// The data prediction made `ago` steps before `step`.
TensorView DenoiseLoop::history(std::size_t step, std::size_t ago) const {
    return x0_[(step + x0_.size() - ago % x0_.size()) % x0_.size()];
}

void DenoiseLoop::draw(std::vector<TorchGenerator>& noise, const TensorView& to) {
    for (std::size_t i = 0; i < noise.size(); ++i)
        noise[i].normal(drawn_.view.slice(static_cast<std::int64_t>(i), 1).as<float>());
    ctx_.backend.copy(drawn_, to);
}

// Noise, scaled, in the latents and in every row that the model reads.
void DenoiseLoop::start(std::span<const std::uint64_t> seeds, std::vector<TorchGenerator>& noise) {
    T2I_CHECK(static_cast<std::int64_t>(seeds.size()) == shape_[0], "one seed a picture");
    for (const auto seed : seeds) noise.emplace_back(seed);
    const Tensor healthy = Tensor::host({1}, DType::i32);
    healthy.as<std::int32_t>()[0] = no_bad_step;
    ctx_.backend.copy(healthy, first_bad_);
    draw(noise, latents_);
    const std::array initial{LincombTerm{plan_.initial_scale, latents_}};
    ops::lincomb(ctx_, initial, latents_);
    const std::array scaled{LincombTerm{plan_.steps.front().model_scale, latents_}};
    const std::int64_t pictures = shape_[0];
    for (std::int64_t row = 0; row < model_input_.shape()[0]; row += pictures)
        ops::lincomb(ctx_, scaled, model_input_.view.slice(row, pictures));
}

// x0 = x0_from_x · x + x0_from_model · guided model output, guidance folded into the same sum:
// uncond + s (cond - uncond) = (1 - s) uncond + s cond  (Ho & Salimans 2022, eq. 6 in diffusers' scaling).
void DenoiseLoop::do_step(const ExecContext& ctx, std::size_t i) {
    const SamplerStep& step = plan_.steps[i];
    const std::int64_t pictures = shape_[0];
    run_->predict(ctx, static_cast<std::int64_t>(i), model_input_, model_output_);

    std::vector<LincombTerm> to_x0{{step.x0_from_x, latents_}}, to_x{{step.from_x, latents_}};
    if (guided_) {
        to_x0.push_back({step.x0_from_model * (1.0 - cfg_scale_), model_output_.view.slice(0, pictures)});
        to_x0.push_back({step.x0_from_model * cfg_scale_, model_output_.view.slice(pictures, pictures)});
    } else {
        to_x0.push_back({step.x0_from_model, model_output_});
    }
    for (std::size_t k = 0; k < step.from_x0.size(); ++k)
        if (step.from_x0[k] != 0.0) to_x.push_back({step.from_x0[k], history(i, k)});  // history may not reach that far yet
    if (step.draws_noise) to_x.push_back({step.from_noise, fresh_noise_});

    SamplerUpdateArgs update;
    update.x0_terms = to_x0;
    update.x0 = history(i, 0);
    update.x_terms = to_x;
    update.x = latents_;
    if (i + 1 < plan_.steps.size()) {
        update.inputs = model_input_.view;
        update.input_scale = plan_.steps[i + 1].model_scale;
    }
    update.step = static_cast<std::int32_t>(i);
    update.first_bad = first_bad_;
    ops::sampler_update(ctx, update);
}

void DenoiseLoop::replay(std::size_t i) {
    Step& step = steps_[i];
    const auto flops = [&] { return ctx_.tracer ? ctx_.tracer->flops() : 0.0; };
    if (!step.recording) {
        const double before = flops();
        step.recording = ctx_.backend.record([this, i] { do_step(ctx_, i); });
        step.flops = flops() - before;
    }
    step.recording->replay();
    if (step.replayed && ctx_.tracer) ctx_.tracer->add_flops(step.flops);
    step.replayed = true;
}

void DenoiseLoop::check(std::int32_t first_bad) const {
    if (first_bad != no_bad_step)
        throw Error(ErrorCode::input, "NaN or Inf in the latents after step " + std::to_string(first_bad + 1) + " of " +
                                          std::to_string(plan_.steps.size()));
}

void DenoiseLoop::run(const Call& call) {
    const bool at_once = ctx_.backend.device() == Device::host;
    const std::size_t steps = steps_.size(), ahead = at_once ? 0 : steps_ahead;
    std::vector<TorchGenerator> noise;
    std::vector<Fence> fences;
    if (!at_once && !warm_)
        do_step({ctx_.backend, ctx_.scratch, nullptr}, 0);  // the plan of the recordings, which takes their memory
    warm_ = true;
    start(call.seeds, noise);
    const auto finished = [&](std::size_t i) {
        ctx_.backend.wait(fences[i]);
        if (at_once) check(first_bad_.as<std::int32_t>()[0]);
        if (call.progress && !call.progress(static_cast<int>(i) + 1)) throw Error(ErrorCode::cancelled, "interrupted");
    };
    for (std::size_t i = 0; i < steps; ++i) {
        const TraceSpan span(ctx_, "step", i);
        if (plan_.steps[i].draws_noise) draw(noise, fresh_noise_);
        replay(i);
        fences.push_back(ctx_.backend.fence());
        if (i == 0 && call.meanwhile) call.meanwhile();
        if (i >= ahead) finished(i - ahead);
    }
    for (std::size_t i = steps - std::min(ahead, steps); i < steps; ++i) finished(i);
}

}  // namespace t2i
