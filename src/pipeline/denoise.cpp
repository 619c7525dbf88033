#include "pipeline/denoise.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "ops/ops.h"
#include "t2i/error.h"

namespace t2i {

namespace {

void check_finite(const TensorView& latents, int step, int steps) {
    const auto values = latents.as<float>();
    if (std::any_of(values.begin(), values.end(), [](float v) { return !std::isfinite(v); }))
        throw Error(ErrorCode::input, "NaN or Inf in the latents after step " + std::to_string(step) + " of " + std::to_string(steps));
}

// Buffers of one loop. x0 predictions rotate through as many as the plan looks back.
struct LoopBuffers {
    TensorView model_input, model_output, fresh_noise;
    std::deque<TensorView> history;  // newest first
};

LoopBuffers make_buffers(const ExecContext& ctx, const DenoiseArgs& a, const TensorView& latents) {
    const auto& s = latents.shape;
    const Shape rows{a.guided ? 2 : 1, s[1], s[2], s[3]};
    std::size_t depth = 1;
    for (const auto& step : a.plan.steps) depth = std::max(depth, step.from_x0.size());
    LoopBuffers b{ctx.scratch.take(rows), ctx.scratch.take(rows), ctx.scratch.take(s), {}};
    for (std::size_t i = 0; i < depth; ++i) b.history.push_back(ctx.scratch.take(s));
    return b;
}

// x0 = x0_from_x · x + x0_from_model · guided model output, guidance folded into the same sum:
// uncond + s (cond - uncond) = (1 - s) uncond + s cond  (Ho & Salimans 2022, eq. 6 in diffusers' scaling).
void predict_x0(const ExecContext& ctx, const DenoiseArgs& a, const SamplerStep& step, const TensorView& x, const LoopBuffers& b,
                const TensorView& x0) {
    if (a.guided) {
        const std::array terms{LincombTerm{step.x0_from_x, x},
                               LincombTerm{step.x0_from_model * (1.0 - a.cfg_scale), b.model_output.slice(0, 1)},
                               LincombTerm{step.x0_from_model * a.cfg_scale, b.model_output.slice(1, 1)}};
        ops::lincomb(ctx, terms, x0);
    } else {
        const std::array terms{LincombTerm{step.x0_from_x, x}, LincombTerm{step.x0_from_model, b.model_output}};
        ops::lincomb(ctx, terms, x0);
    }
}

void advance(const ExecContext& ctx, const DenoiseArgs& a, const SamplerStep& step, const LoopBuffers& b, const TensorView& x) {
    std::vector<LincombTerm> terms{{step.from_x, x}};
    for (std::size_t k = 0; k < step.from_x0.size(); ++k)
        if (step.from_x0[k] != 0.0) terms.push_back({step.from_x0[k], b.history[k]});  // history may not reach that far yet
    if (step.draws_noise) {
        a.noise.normal(b.fresh_noise.as<float>());
        terms.push_back({step.from_noise, b.fresh_noise});
    }
    ops::lincomb(ctx, terms, x);
}

}  // namespace

void denoise(const ExecContext& ctx, const DenoiseArgs& a, const TensorView& latents) {
    const Arena::Mark mark(ctx.scratch);
    LoopBuffers b = make_buffers(ctx, a, latents);
    a.noise.normal(latents.as<float>());
    const std::array scale{LincombTerm{a.plan.initial_scale, latents}};
    ops::lincomb(ctx, scale, latents);

    const int steps = static_cast<int>(a.plan.steps.size());
    for (int i = 0; i < steps; ++i) {
        const TraceSpan span(ctx.tracer, "step");
        const SamplerStep& step = a.plan.steps[static_cast<std::size_t>(i)];
        const std::array scaled{LincombTerm{step.model_scale, latents}};
        for (std::int64_t row = 0; row < b.model_input.shape[0]; ++row) ops::lincomb(ctx, scaled, b.model_input.slice(row, 1));
        a.denoiser.forward(ctx, a.request, i, b.model_input, b.model_output);
        b.history.push_front(b.history.back());
        b.history.pop_back();
        predict_x0(ctx, a, step, latents, b, b.history.front());
        advance(ctx, a, step, b, latents);
        check_finite(latents, i + 1, steps);
        if (a.progress && !a.progress(i + 1)) throw Error(ErrorCode::interrupted, "interrupted");
    }
}

}  // namespace t2i
