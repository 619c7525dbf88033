#include "pipeline/engine.h"

#include <algorithm>

#include "backend/registry.h"
#include "models/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "t2i/error.h"
#include "text/known_words.h"
#include "text/unicode.h"

namespace t2i {

namespace {

// Pictures at a time on a GPU: at 256 tokens its products are full well before that.
constexpr int most_on_device = 32;
// Kept loops: each holds its recordings and, for every layer, its texts' keys and values.
constexpr std::size_t kept_loops = 4;

struct Choice {
    std::string backend;
    std::string reason;  // why not the GPU, where one might have been expected
};

Choice choose_backend(const std::string& device) {
    if (device == "auto") {
        const std::string reason = cuda_unavailable_reason();
        return reason.empty() ? Choice{"cuda", {}} : Choice{"cpu", reason};
    }
    return {device, {}};
}

}  // namespace

Engine::Engine(const PipelineOptions& options)
    : batch_size_(options.engine_batch), tracer_(options.tracer ? *options.tracer : own_tracer_) {
    const TraceSpan span(&tracer_, "load");
    const Choice choice = choose_backend(options.device);
    backend_ = make_backend(choice.backend, {.threads = options.threads, .fast_math = options.fast_math});
    compute_ = parse_compute_dtype(options.dtype, *backend_);
    folder_ = read_model_folder(options.model);
    denoiser_ = load_denoiser(*backend_, folder_.component("transformer"), compute_);
    prompts_ = make_prompts(folder_, *denoiser_, *backend_, compute_,
                            {.cache = options.text_cache, .cache_folder = options.text_cache_folder});
    const std::string decoder_path = options.vae.empty() ? folder_.component("vae") : options.vae;
    decoder_ = load_decoder(*backend_, decoder_path, compute_);
    if (decoder_->channels() != denoiser_->channels())
        throw Error(ErrorCode::input,
                    "decodes latents of " + std::to_string(decoder_->channels()) + " channels, the model makes " +
                        std::to_string(denoiser_->channels()),
                    decoder_path);
    drop_caches();
    hash_ = std::async(std::launch::async, fingerprint, options.model).share();

    const auto side = static_cast<int>(denoiser_->sample_size() * decoder_->factor());
    info_ = {.name = folder_.name,
             .hash = {},
             .steps = folder_.steps,
             .cfg_scale = folder_.cfg_scale,
             .width = side,
             .height = side,
             .max_prompt_tokens = folder_.max_prompt_tokens,
             .classes = static_cast<int>(denoiser_->classes()),
             .sampler = sampler_for(folder_.schedule).name,
             .device = std::string(backend_->name()),
             .dtype = std::string(name_of(compute_)),
             .runs_on = backend_->description() + ", " + std::string(name_of(compute_)) +
                        (choice.reason.empty() ? "" : " (no GPU: " + choice.reason + ")"),
             .hardware = backend_->hardware()};
}

Engine::~Engine() {
    tracer_.drop_queued();  // the backend that knows their times goes
}

const ModelInfo& Engine::info() {
    std::call_once(has_hash_, [this] { info_.hash = hash_.get(); });
    return info_;
}

ResolvedRequest Engine::resolve(const GenerateRequest& request) const {
    return t2i::resolve(request, info_, folder_.schedule, decoder_->factor(), denoiser_->patch());
}

int Engine::batch_size() const {
    if (batch_size_ > 0) return batch_size_;
    return backend_->device() == Device::host ? 1 : most_on_device;
}

Tokens Engine::tokenize(const std::string& prompt, const char* field) const {
    return prompts_->tokenize(prompt, field);
}

bool Engine::knows_a_word(const std::string& prompt) const {
    const std::string asked = lower_and_strip(prompt);
    return asked.empty() || has_known_word(asked, folder_.vocabulary.words);
}

std::size_t Engine::conditioning_rows(const PictureJob& job) const {
    constexpr std::size_t step = 8;  // prompts.cpp pads texts to a multiple of it
    return (std::max(job.prompt.size(), job.negative.size()) + step - 1) / step * step;
}

void Engine::drop_caches() {
    loops_.clear();
    prompts_->forget();
    scratch_ = std::make_unique<Arena>([b = backend_.get()](std::size_t bytes) { return b->allocate(bytes); });
}

double Engine::lap_ms() {
    const double start = lap_start_ms_;
    lap_start_ms_ = tracer_.now_ms();
    return lap_start_ms_ - start;
}

// Rows [negative…, positive…], or [positive…] alone.
Conditioning Engine::encode(const ResolvedRequest& settings, std::span<const PictureJob> jobs) {
    const TraceSpan span(context(), "text");
    std::vector<std::vector<std::int32_t>> ids;
    if (settings.guided)
        for (const auto& job : jobs) ids.push_back(job.negative);
    for (const auto& job : jobs) ids.push_back(job.prompt);
    return prompts_->encode(context(), ids);
}

DenoiseLoop& Engine::loop_for(DenoiseSettings settings) {
    const auto known = std::ranges::find_if(loops_, [&](const auto& loop) { return loop->settings() == settings; });
    if (known != loops_.end()) {
        std::rotate(known, known + 1, loops_.end());
    } else {
        if (loops_.size() == kept_loops) loops_.erase(loops_.begin());
        loops_.push_back(std::make_unique<DenoiseLoop>(context(), *denoiser_, std::move(settings)));
    }
    return *loops_.back();
}

Engine::Made Engine::decode(const DenoiseLoop& loop) {
    const Arena::Mark mark(*scratch_);
    const ExecContext ctx = context();
    const TraceSpan span(ctx, "decode");
    const Shape latents = loop.latents().shape;
    const Shape pictures{latents[0], latents[2] * decoder_->factor(), latents[3] * decoder_->factor(), 3};
    const TensorView rgb = scratch_->take(pictures), bytes = scratch_->take(pictures, DType::u8);
    decoder_->decode(ctx, loop.latents(), rgb);
    ops::to_rgb8(ctx, rgb, bytes);
    Made made{.latents = allocate_staging(*backend_, latents),
              .rgb = allocate_staging(*backend_, pictures, DType::u8),
              .first_bad = allocate_staging(*backend_, {1}, DType::i32),
              .ready = 0,
              .loop = &loop,
              .hand_out = {}};
    backend_->copy_queued(loop.latents(), made.latents);
    backend_->copy_queued(bytes, made.rgb);
    backend_->copy_queued(loop.first_bad(), made.first_bad);
    made.ready = backend_->fence();
    return made;
}

void Engine::flush() {
    if (!made_) return;
    backend_->bind_thread();
    const Made made = std::move(*made_);
    made_.reset();
    const double start_ms = tracer_.now_ms();
    backend_->wait(made.ready);
    times_.decode_ms += tracer_.now_ms() - start_ms;  // on a queue the decoder works until here
    tracer_.settle();
    made.loop->check(made.first_bad.as<std::int32_t>()[0]);
    for (std::int64_t i = 0; i < made.rgb.shape()[0]; ++i) {
        const auto rgb = made.rgb.view.slice(i, 1).as<std::uint8_t>();
        const auto latents = made.latents.view.slice(i, 1).as<float>();
        made.hand_out(static_cast<std::size_t>(i), {{rgb.begin(), rgb.end()}, {latents.begin(), latents.end()}});
    }
}

void Engine::make(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) {
    T2I_CHECK(!jobs.empty(), "a batch without pictures");
    backend_->bind_thread();
    double flops = tracer_.flops();
    const auto stage = [&](double& ms, double& work) {
        ms += lap_ms();
        work += tracer_.flops() - flops;
        flops = tracer_.flops();
    };
    lap_ms();
    const Conditioning text = encode(settings, jobs);
    backend_->wait(backend_->fence());
    stage(times_.text_ms, times_.text_flops);

    DenoiseLoop& loop = [&]() -> DenoiseLoop& {
        const TraceSpan span(context(), "prepare");
        DenoiseLoop& prepared = loop_for({.plan = settings.plan,
                                          .cfg_scale = settings.cfg_scale,
                                          .guided = settings.guided,
                                          .latents = {static_cast<std::int64_t>(jobs.size()), denoiser_->channels(),
                                                      settings.height / decoder_->factor(), settings.width / decoder_->factor()},
                                          .text_tokens = text.tokens()});
        prepared.set_text(text);
        backend_->wait(backend_->fence());
        return prepared;
    }();
    times_.prepare_ms += lap_ms();
    flops = tracer_.flops();

    std::vector<std::uint64_t> seeds;
    for (const auto& job : jobs) seeds.push_back(job.seed);
    {
        const TraceSpan span(context(), "denoise");
        loop.run({.seeds = seeds, .progress = callbacks.progress, .meanwhile = [&] { flush(); }});
    }
    stage(times_.denoise_ms, times_.denoise_flops);
    made_ = decode(loop);
    made_->hand_out = callbacks.picture;
    if (backend_->device() == Device::host) flush();  // else while the next batch runs
    stage(times_.decode_ms, times_.decode_flops);
}

}  // namespace t2i
