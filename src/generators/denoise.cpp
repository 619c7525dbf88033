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
      shape_{settings.pictures, denoiser.channels(), settings.height, settings.width},
      combines_(plan_.reads_variance || (guided_ && denoiser.guided_channels() < denoiser.channels())),
      guided_channels_(denoiser.guided_channels()) {
    if (plan_.reads_variance && !denoiser.predicts_variance())
        throw Error(ErrorCode::invalid_argument, "is for models that predict the variance of each step, which this one does not",
                    Field{"sampler"});
    const Shape rows{settings.model_rows(), shape_[1], shape_[2], shape_[3]};
    std::vector<float> timesteps;
    std::size_t depth = 1, saves = 0, draws = 0;
    bool is_limited = false, reads_old_noise = false;
    for (const auto& step : plan_.steps) {
        timesteps.push_back(static_cast<float>(step.timestep));
        depth = std::max({depth, step.from_x0.size(), step.saved_from_x0.size()});
        is_limited |= step.limit.range > 0.0;
        reads_old_noise |= step.saved_from_noise != 0.0;
        saves_.push_back(saves += step.saves ? 1 : 0);
        draws_.push_back(draws += step.draws_noise ? 1 : 0);
    }
    latents_ = allocate(ctx.backend, shape_);
    if (plan_.begins_with_picture || plan_.has_mask) picture_ = allocate(ctx.backend, shape_);
    if (plan_.has_mask)
        for (Tensor* tensor : {&mask_, &first_noise_, &kept_, &change_}) *tensor = allocate(ctx.backend, shape_);
    model_input_ = allocate(ctx.backend, rows);
    model_output_ = allocate(ctx.backend, {rows[0], rows[1] * (plan_.reads_variance ? 2 : 1), rows[2], rows[3]});
    if (combines_) prediction_ = allocate(ctx.backend, shape_);
    if (plan_.reads_variance)
        for (Tensor* tensor : {&spread_, &spread_noise_, &noise_as_read_}) *tensor = allocate(ctx.backend, shape_);
    for (std::size_t i = 0; i < (reads_old_noise ? 2 : std::min(draws, std::size_t{1})); ++i)
        fresh_noise_.push_back(allocate(ctx.backend, shape_));
    for (std::size_t i = 0; i < std::min(saves, std::size_t{2}); ++i) saved_.push_back(allocate(ctx.backend, shape_));
    if (is_limited) limited_ = allocate(ctx.backend, shape_);
    first_bad_ = allocate(ctx.backend, {1}, DType::i32);
    drawn_ = allocate_staging(ctx.backend, shape_);
    for (std::size_t i = 0; i < depth; ++i) x0_.push_back(allocate(ctx.backend, shape_));
    run_ = denoiser.begin(ctx, {.timesteps = timesteps,
                                .latents = rows,
                                .text_rows = settings.text_rows,
                                .pixels_per_latent = settings.factor,
                                .with_variance = plan_.reads_variance});
    steps_.resize(plan_.steps.size());
}

// The data prediction made `ago` steps before `step`.
TensorView DenoiseLoop::history(std::size_t step, std::size_t ago) const {
    return x0_[(step + x0_.size() - ago % x0_.size()) % x0_.size()];
}

void DenoiseLoop::draw(std::vector<TorchGenerator>& noise, const TensorView& to, bool of_fresh) {
    std::vector<float> both_rows;
    for (std::size_t i = 0; i < noise.size(); ++i) {
        const auto own = drawn_.view.slice(static_cast<std::int64_t>(i), 1).as<float>();
        if (!(of_fresh && guided_ && plan_.noise_for_all_rows)) {
            noise[i].normal(own);
            continue;
        }
        both_rows.resize(2 * own.size());
        noise[i].normal(both_rows);
        std::copy_n(both_rows.begin(), own.size(), own.begin());
    }
    ctx_.backend.copy(drawn_, to);
}

// The noise that the step has drawn.
const TensorView& DenoiseLoop::fresh_noise(std::size_t step) const {
    return fresh_noise_[(draws_[step] - 1) % fresh_noise_.size()].view;
}

void DenoiseLoop::read_pictures(const Call& call, std::vector<TorchGenerator>& noise) {
    T2I_CHECK(call.starts.size() == call.seeds.size(), "one beginning a picture");
    const Tensor pictures = Tensor::host(shape_), masks = Tensor::host(shape_);
    std::vector<float> drawn(static_cast<std::size_t>(shape_.elements() / shape_[0]));
    for (std::size_t i = 0; i < noise.size(); ++i) {
        const Start& start = *call.starts[i];
        const auto mean = start.mean.view.as<const float>();
        const auto deviation = start.deviation.view.empty() ? std::span<const float>() : start.deviation.view.as<const float>();
        const auto own = pictures.view.slice(static_cast<std::int64_t>(i), 1).as<float>();
        T2I_CHECK(mean.size() == own.size() && (deviation.empty() || deviation.size() == own.size()) &&
                      start.mask.view.empty() != plan_.has_mask,
                  "a beginning of another size");
        std::ranges::copy(mean, own.begin());
        if (!deviation.empty()) noise[i].normal(drawn);
        for (std::size_t j = 0; j < deviation.size(); ++j) own[j] += deviation[j] * drawn[j];
        if (!plan_.has_mask) continue;
        const auto mask = start.mask.view.as<const float>();
        const auto rows = masks.view.slice(static_cast<std::int64_t>(i), 1).as<float>();
        for (std::size_t j = 0; j < rows.size(); j += mask.size())
            std::ranges::copy(mask, rows.begin() + static_cast<std::ptrdiff_t>(j));
    }
    ctx_.backend.copy(pictures, picture_);
    if (plan_.has_mask) ctx_.backend.copy(masks, mask_);
}

void DenoiseLoop::show_latents(const ExecContext& ctx, double scale) {
    const std::array scaled{LincombTerm{scale, latents_}};
    const std::int64_t pictures = shape_[0];
    for (std::int64_t row = 0; row < model_input_.shape()[0]; row += pictures)
        ops::lincomb(ctx, scaled, model_input_.view.slice(row, pictures));
}

// Noise, scaled, or a picture with noise.
void DenoiseLoop::start(const Call& call, std::vector<TorchGenerator>& noise) {
    T2I_CHECK(static_cast<std::int64_t>(call.seeds.size()) == shape_[0], "one seed a picture");
    for (const auto seed : call.seeds) noise.emplace_back(seed);
    const Tensor healthy = Tensor::host({1}, DType::i32);
    healthy.as<std::int32_t>()[0] = no_bad_step;
    ctx_.backend.copy(healthy, first_bad_);
    const bool has_picture = plan_.begins_with_picture || plan_.has_mask;
    if (has_picture) read_pictures(call, noise);
    const TensorView first_noise = plan_.has_mask ? first_noise_.view : latents_.view;
    draw(noise, first_noise, false);
    const NoiseMix level = plan_.steps.front().begins_at;
    std::vector<LincombTerm> terms{{plan_.begins_with_picture ? level.noise : plan_.initial_scale, first_noise}};
    if (plan_.begins_with_picture) terms.push_back({level.signal, picture_});
    ops::lincomb(ctx_, terms, latents_);
    if (plan_.has_mask) {
        // diffusers' pipelines for inpainting encode the masked picture, too, draw for it, and have no use for it here.
        std::vector<float> unused(static_cast<std::size_t>(shape_.elements() / shape_[0]));
        for (std::size_t i = 0; i < noise.size(); ++i)
            if (!call.starts[i]->deviation.view.empty()) noise[i].normal(unused);
    }
    show_latents(ctx_, plan_.steps.front().model_scale);
}

void DenoiseLoop::add_product(const ExecContext& ctx, const TensorView& factor, const TensorView& x, const TensorView& sum,
                              const TensorView& out) const {
    const std::int64_t columns = shape_.elements() % 16 == 0 ? 16 : shape_[3];
    const Shape matrix{shape_.elements() / columns, columns};
    ResidualNormArgs product;
    product.y = x.reshaped(matrix);
    product.gate = factor.reshaped(matrix);
    product.stream = sum.reshaped(matrix);
    product.out = out.reshaped(matrix);
    ops::residual_norm(ctx, product);
}

// x = known + mask ⊙ (x − known)
void DenoiseLoop::keep_unmasked(const ExecContext& ctx, std::size_t i) {
    const bool is_last = i + 1 == plan_.steps.size();
    const NoiseMix level = is_last ? NoiseMix{} : plan_.steps[i + 1].begins_at;
    const std::array known{LincombTerm{level.signal, picture_}, LincombTerm{level.noise, first_noise_}};
    ops::lincomb(ctx, known, kept_);
    const std::array change{LincombTerm{1.0, latents_}, LincombTerm{-1.0, kept_}};
    ops::lincomb(ctx, change, change_);
    add_product(ctx, mask_, change_, kept_, latents_);
    if (!is_last) show_latents(ctx, plan_.steps[i + 1].model_scale);
}

// Guidance of the first channels alone, as uncond + s (cond − uncond); the others are those of the prompt (facebookresearch/DiT,
// forward_with_cfg). The spread of the noise, exp(slope · v), comes from the prompt's prediction, too.
void DenoiseLoop::combine(const ExecContext& ctx, std::size_t i) {
    const SamplerStep& step = plan_.steps[i];
    const std::int64_t pictures = shape_[0], channels = shape_[1];
    const auto of = [](const TensorView& all, std::int64_t row) {
        return all.slice(row, 1).reshaped({all.shape[1], all.shape[2], all.shape[3]});
    };
    const auto sum = [&](std::vector<LincombTerm> terms, const TensorView& out) { ops::lincomb(ctx, terms, out); };
    for (std::int64_t p = 0; p < pictures; ++p) {
        const TensorView said = of(model_output_, guided_ ? pictures + p : p), prediction = of(prediction_, p);
        const std::int64_t guided = guided_ ? guided_channels_ : 0;
        if (guided > 0)
            sum({{1.0 - cfg_scale_, of(model_output_, p).slice(0, guided)}, {cfg_scale_, said.slice(0, guided)}},
                prediction.slice(0, guided));
        if (guided < channels) sum({{1.0, said.slice(guided, channels - guided)}}, prediction.slice(guided, channels - guided));
        if (plan_.reads_variance) sum({{step.variance_slope, said.slice(channels, channels)}}, of(spread_, p));
    }
    if (!plan_.reads_variance || step.from_noise == 0.0) return;
    // spread ⊙ noise, as a gated sum that begins with zero.
    ops::unary(ctx, Unary::exp, spread_, spread_);
    const TensorView& noise = fresh_noise(i);
    sum({{0.0, noise}}, spread_noise_);
    add_product(ctx, spread_, noise, spread_noise_, noise_as_read_);
}

// Guidance is folded into every sum: uncond + s (cond - uncond) = (1 - s) uncond + s cond  (Ho & Salimans 2022, eq. 6 in
// diffusers' scaling).
std::vector<LincombTerm> DenoiseLoop::model_terms(double from_x, double from_model) const {
    const std::int64_t pictures = shape_[0];
    std::vector<LincombTerm> terms{{from_x, latents_}};
    if (combines_) {
        terms.push_back({from_model, prediction_});
    } else if (guided_) {
        terms.push_back({from_model * (1.0 - cfg_scale_), model_output_.view.slice(0, pictures)});
        terms.push_back({from_model * cfg_scale_, model_output_.view.slice(pictures, pictures)});
    } else {
        terms.push_back({from_model, model_output_});
    }
    return terms;
}

void DenoiseLoop::add_history(std::vector<LincombTerm>& terms, const std::vector<double>& coefficients, std::size_t step) const {
    for (std::size_t k = 0; k < coefficients.size(); ++k)
        if (coefficients[k] != 0.0) terms.push_back({coefficients[k], history(step, k)});  // it may not reach that far yet
}

std::vector<LincombTerm> DenoiseLoop::kept_terms(const ExecContext& ctx, std::size_t i) const {
    const SamplerStep& step = plan_.steps[i];
    std::vector<LincombTerm> terms = model_terms(step.x0_from_x, step.x0_from_model);
    if (step.limit.range == 0.0) return terms;
    ops::lincomb(ctx, terms, limited_);
    const TensorView rows = limited_.view.reshaped({shape_[0], limited_.view.elements() / shape_[0]});
    ops::limit(ctx, {.x = rows, .range = static_cast<float>(step.limit.range), .quantile = step.limit.quantile});
    terms = {{step.kept_from_x0, limited_}};
    if (step.kept_from_x != 0.0) terms.push_back({step.kept_from_x, latents_});
    return terms;
}

std::vector<LincombTerm> DenoiseLoop::saved_terms(std::size_t i) const {
    const SamplerStep& step = plan_.steps[i];
    std::vector<LincombTerm> terms{{step.saved_from_x, latents_}};
    if (step.saved_from_saved != 0.0) terms.push_back({step.saved_from_saved, saved_[(saves_[i] - 2) % saved_.size()]});
    add_history(terms, step.saved_from_x0, i);
    if (step.saved_from_noise != 0.0)
        terms.push_back({step.saved_from_noise, fresh_noise_[(draws_[i] - (step.draws_noise ? 2 : 1)) % fresh_noise_.size()]});
    return terms;
}

std::vector<LincombTerm> DenoiseLoop::next_terms(std::size_t i) const {
    const SamplerStep& step = plan_.steps[i];
    std::vector<LincombTerm> terms{{step.from_x, latents_}};
    if (step.from_model != 0.0) terms = model_terms(step.from_x, step.from_model);
    if (step.from_saved != 0.0) terms.push_back({step.from_saved, saved_[(saves_[i] - 1) % saved_.size()]});
    add_history(terms, step.from_x0, i);
    if (step.draws_noise)
        terms.push_back({step.from_noise, plan_.reads_variance && step.from_noise != 0.0 ? spread_noise_.view : fresh_noise(i)});
    return terms;
}

// The last two sums in one operation: what is kept, or where the step saves, what it saves, and x.
void DenoiseLoop::do_step(const ExecContext& ctx, std::size_t i) {
    const SamplerStep& step = plan_.steps[i];
    run_->predict(ctx, static_cast<std::int64_t>(i), model_input_, model_output_);
    if (combines_) combine(ctx, i);

    std::vector<LincombTerm> first = kept_terms(ctx, i);
    SamplerUpdateArgs update;
    update.x0 = history(i, 0);
    if (step.saves) {
        ops::lincomb(ctx, first, history(i, 0));
        first = saved_terms(i);
        update.x0 = saved_[(saves_[i] - 1) % saved_.size()];
    }
    const std::vector<LincombTerm> second = next_terms(i);
    update.x0_terms = first;
    update.x_terms = second;
    update.x = latents_;
    if (i + 1 < plan_.steps.size()) {
        update.inputs = model_input_.view;
        update.input_scale = plan_.steps[i + 1].model_scale;
    }
    update.step = static_cast<std::int32_t>(i);
    update.first_bad = first_bad_;
    ops::sampler_update(ctx, update);
    if (plan_.has_mask) keep_unmasked(ctx, i);
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
    start(call, noise);
    const auto finished = [&](std::size_t i) {
        ctx_.backend.wait(fences[i]);
        if (at_once) check(first_bad_.as<std::int32_t>()[0]);
        if (call.progress && !call.progress(static_cast<int>(i) + 1)) throw Error(ErrorCode::cancelled, "interrupted");
    };
    for (std::size_t i = 0; i < steps; ++i) {
        const TraceSpan span(ctx_, "step", i);
        if (plan_.steps[i].draws_noise) draw(noise, fresh_noise(i), true);
        replay(i);
        fences.push_back(ctx_.backend.fence());
        if (i == 0 && call.meanwhile) call.meanwhile();
        if (i >= ahead) finished(i - ahead);
    }
    for (std::size_t i = steps - std::min(ahead, steps); i < steps; ++i) finished(i);
}

}  // namespace t2i
