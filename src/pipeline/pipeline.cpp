#include "t2i/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <optional>

#include "backend/registry.h"
#include "models/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "pipeline/denoise.h"
#include "pipeline/model_folder.h"
#include "pipeline/request.h"
#include "t2i/error.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace t2i {

namespace {

DType parse_dtype(const std::string& name, const Backend& backend) {
    if (name == "auto") return default_compute_dtype(backend);
    if (name == "f32") return DType::f32;
    if (name != "bf16") throw Error(ErrorCode::usage, "unknown dtype \"" + name + "\" (auto, f32, bf16)", "--dtype");
    if (!backend.supports(Op::linear, DType::bf16))
        throw Error(ErrorCode::resource, "bf16 needs a CPU with AVX-512 BF16 or AMX; this one has neither (use auto or f32)", "--dtype");
    return DType::bf16;
}

std::string backend_for(const std::string& device) {
    if (device == "auto") return "cpu";
    if (device.starts_with("cuda"))
        throw Error(ErrorCode::resource, "this build has no CUDA backend (use auto or cpu)", "--device");
    const auto names = backend_names();
    if (std::find(names.begin(), names.end(), device) == names.end())
        throw Error(ErrorCode::usage, "unknown device \"" + device + "\" (auto, cpu, ref)", "--device");
    return device;
}

class Stopwatch {
  public:
    // Milliseconds since the last call (or construction).
    double lap() {
        const auto now = std::chrono::steady_clock::now();
        const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
        last_ = now;
        return ms;
    }

  private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

struct Pipeline::Impl {
    ModelFolder folder;
    ModelInfo info;
    std::shared_future<std::string> hash;  // read while the first picture is made; only its metadata needs it
    std::unique_ptr<Backend> backend;
    DType compute = DType::f32;
    std::unique_ptr<Tokenizer> tokenizer;
    std::unique_ptr<TextEncoder> text_encoder;
    std::unique_ptr<Denoiser> denoiser;
    std::unique_ptr<LatentDecoder> decoder;
    std::unique_ptr<Arena> scratch;
    Tracer tracer;
    StageTimes times;
    int engine_batch = 0;
    std::vector<std::unique_ptr<DenoiseLoop>> loops;  // of the requests seen last, newest at the back

    [[nodiscard]] ExecContext context() { return {*backend, *scratch, &tracer}; }
    std::vector<std::int32_t> tokenize(const std::string& prompt, const char* flag, const OnWarning& warning) const;
    DenoiseLoop& loop_for(DenoiseSettings settings);
    void drop_caches();
    void finish_stage(double& ms, Stopwatch& watch);
};

// Pictures of a request that are being made together.
struct PictureBatch {
    int first = 0, count = 0;
    Tensor latents, rgb, first_bad;  // staging
    WorkMark ready = 0;
    DenoiseLoop* loop = nullptr;
};

// One call of generate().
class Pipeline::Run {
  public:
    Run(const Pipeline& pipeline, const ResolvedRequest& r, const Callbacks& callbacks);
    void all();

  private:
    DenoiseLoop& prepare(int count);
    void batch(int first, int count);
    void decode(DenoiseLoop& loop, int first, int count);
    void deliver();

    const Pipeline& pipeline_;
    Impl& p_;
    const ResolvedRequest& r_;
    const Callbacks& callbacks_;
    std::vector<std::int32_t> prompt_, negative_;
    std::optional<PictureBatch> made_;  // handed over, not yet delivered
    Stopwatch watch_;
};

Pipeline::Pipeline(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pipeline::Pipeline(Pipeline&&) noexcept = default;
Pipeline& Pipeline::operator=(Pipeline&&) noexcept = default;
Pipeline::~Pipeline() = default;

Pipeline Pipeline::load(const PipelineOptions& options) {
    auto impl = std::make_unique<Impl>();
    Impl& p = *impl;
    p.backend = make_backend(backend_for(options.device), {.threads = options.threads});
    p.compute = parse_dtype(options.dtype, *p.backend);
    p.folder = read_model_folder(options.model);
    p.tokenizer = load_tokenizer(p.folder.component("tokenizer"));
    p.text_encoder = load_text_encoder(*p.backend, p.folder.component("text_encoder"), p.compute);
    p.denoiser = load_denoiser(*p.backend, p.folder.component("transformer"), p.compute);
    p.decoder = load_decoder(*p.backend, options.vae.empty() ? p.folder.component("vae") : options.vae, p.compute);
    if (p.decoder->channels() != p.denoiser->channels())
        throw Error(ErrorCode::input, "decodes latents of " + std::to_string(p.decoder->channels()) + " channels, the model makes " +
                                          std::to_string(p.denoiser->channels()),
                    options.vae.empty() ? p.folder.component("vae") : options.vae);
    if (p.tokenizer->vocabulary() > p.text_encoder->vocabulary())
        throw Error(ErrorCode::input, "tokenizer has " + std::to_string(p.tokenizer->vocabulary()) + " ids, the text encoder knows " +
                                          std::to_string(p.text_encoder->vocabulary()),
                    p.folder.component("tokenizer"));
    p.scratch = std::make_unique<Arena>([b = p.backend.get()](std::size_t bytes) { return b->allocate(bytes); });
    p.engine_batch = options.engine_batch;
    p.hash = std::async(std::launch::async, fingerprint, options.model).share();

    const auto side = static_cast<int>(p.denoiser->sample_size() * p.decoder->factor());
    p.info = {.name = p.folder.name,
              .hash = {},
              .steps = p.folder.steps,
              .cfg_scale = p.folder.cfg_scale,
              .width = side,
              .height = side,
              .max_prompt_tokens = p.folder.max_prompt_tokens,
              .sampler = sampler_for(p.folder.schedule).name,
              .device = std::string(p.backend->name()),
              .dtype = std::string(name_of(p.compute)),
              .runs_on = p.backend->description() + ", " + std::string(name_of(p.compute))};
    return Pipeline(std::move(impl));
}

const ModelInfo& Pipeline::info() const {
    if (impl_->info.hash.empty()) impl_->info.hash = impl_->hash.get();
    return impl_->info;
}

StageTimes Pipeline::last_times() const { return impl_->times; }

std::vector<std::int32_t> Pipeline::Impl::tokenize(const std::string& prompt, const char* flag, const OnWarning& warning) const {
    check_utf8(prompt, flag);
    const Tokens tokens = tokenizer->encode(lower_and_strip(prompt), folder.max_prompt_tokens);
    if (!tokens.cut.empty() && warning)
        warning(std::string(flag) + " is longer than the model's " + std::to_string(folder.max_prompt_tokens) +
                " tokens; cut: \"" + tokens.cut + "\"");
    return tokens.ids;
}

DenoiseLoop& Pipeline::Impl::loop_for(DenoiseSettings settings) {
    constexpr std::size_t most = 4;
    const auto known = std::ranges::find_if(loops, [&](const auto& loop) { return loop->settings() == settings; });
    if (known != loops.end()) {
        std::rotate(known, known + 1, loops.end());
    } else {
        if (loops.size() == most) loops.erase(loops.begin());
        loops.push_back(std::make_unique<DenoiseLoop>(context(), *denoiser, std::move(settings)));
    }
    return *loops.back();
}

// Frees everything but the weights.
void Pipeline::Impl::drop_caches() {
    loops.clear();
    scratch = std::make_unique<Arena>([b = backend.get()](std::size_t bytes) { return b->allocate(bytes); });
}

void Pipeline::Impl::finish_stage(double& ms, Stopwatch& watch) {
    backend->wait(backend->mark());
    ms += watch.lap();
}

Pipeline::Run::Run(const Pipeline& pipeline, const ResolvedRequest& r, const Callbacks& callbacks)
    : pipeline_(pipeline), p_(*pipeline.impl_), r_(r), callbacks_(callbacks) {
    if (r.guided) negative_ = p_.tokenize(r.negative_prompt, "--negative-prompt", callbacks.warning);
    prompt_ = p_.tokenize(r.prompt, "--prompt", callbacks.warning);
}

// The loop for `count` pictures, with the request's text in it.
DenoiseLoop& Pipeline::Run::prepare(int count) {
    const ExecContext ctx = p_.context();
    const double flops = p_.tracer.flops();
    std::vector<std::vector<std::int32_t>> ids;
    if (r_.guided) ids.assign(static_cast<std::size_t>(count), negative_);
    ids.insert(ids.end(), static_cast<std::size_t>(count), prompt_);
    watch_.lap();
    const Conditioning text = [&] {
        const TraceSpan span(&p_.tracer, "text");
        return p_.text_encoder->encode(ctx, ids);
    }();
    p_.finish_stage(p_.times.text_ms, watch_);
    p_.times.text_flops += p_.tracer.flops() - flops;
    DenoiseLoop& loop = p_.loop_for({.plan = r_.plan,
                                     .cfg_scale = r_.cfg_scale,
                                     .guided = r_.guided,
                                     .latents = {count, p_.denoiser->channels(), r_.height / p_.decoder->factor(), r_.width / p_.decoder->factor()},
                                     .text_tokens = text.embeddings.shape()[1]});
    loop.set_text(text);
    p_.finish_stage(p_.times.prepare_ms, watch_);
    return loop;
}

void Pipeline::Run::decode(DenoiseLoop& loop, int first, int count) {
    const Arena::Mark mark(*p_.scratch);
    const ExecContext ctx = p_.context();
    const TraceSpan span(&p_.tracer, "decode");
    const double flops = p_.tracer.flops();
    const Shape pictures{count, r_.height, r_.width, 3};
    const TensorView rgb = p_.scratch->take(pictures), bytes = p_.scratch->take(pictures, DType::u8);
    p_.decoder->decode(ctx, loop.latents(), rgb);
    ops::to_rgb8(ctx, rgb, bytes);
    PictureBatch made{.first = first,
                      .count = count,
                      .latents = allocate_staging(*p_.backend, loop.latents().shape),
                      .rgb = allocate_staging(*p_.backend, pictures, DType::u8),
                      .first_bad = allocate_staging(*p_.backend, {1}, DType::i32),
                      .ready = 0,
                      .loop = &loop};
    p_.backend->copy_queued(loop.latents(), made.latents);
    p_.backend->copy_queued(bytes, made.rgb);
    p_.backend->copy_queued(loop.first_bad(), made.first_bad);
    made.ready = p_.backend->mark();
    made_ = std::move(made);
    p_.times.decode_flops += p_.tracer.flops() - flops;
}

// Waits for the batch that was decoded last and hands its pictures out.
void Pipeline::Run::deliver() {
    if (!made_) return;
    const PictureBatch made = std::move(*made_);
    made_.reset();
    p_.backend->wait(made.ready);
    made.loop->check(made.first_bad.as<std::int32_t>()[0]);
    for (int i = 0; i < made.count; ++i) {
        const auto rgb = made.rgb.view.slice(i, 1).as<std::uint8_t>();
        const auto latents = made.latents.view.slice(i, 1).as<float>();
        Image image{.width = r_.width,
                    .height = r_.height,
                    .rgb = {rgb.begin(), rgb.end()},
                    .seed = r_.seed + static_cast<std::uint64_t>(made.first + i),
                    .parameters = {},
                    .latents = {latents.begin(), latents.end()}};
        image.parameters = parameters_text(r_, pipeline_.info(), image.seed);
        if (callbacks_.image) callbacks_.image(made.first + i, std::move(image));
    }
}

void Pipeline::Run::batch(int first, int count) {
    DenoiseLoop& loop = prepare(count);
    std::vector<std::uint64_t> seeds;
    for (int i = 0; i < count; ++i) seeds.push_back(r_.seed + static_cast<std::uint64_t>(first + i));
    const double flops = p_.tracer.flops();
    const int steps = static_cast<int>(r_.plan.steps.size());
    const auto progress = [&](int done) { return !callbacks_.progress || callbacks_.progress({first, r_.count, done, steps}); };
    watch_.lap();
    loop.run({.seeds = seeds, .progress = progress, .meanwhile = [&] { deliver(); }});
    p_.times.denoise_ms += watch_.lap();
    p_.times.denoise_flops += p_.tracer.flops() - flops;
    decode(loop, first, count);
    if (p_.backend->device() == Device::host || first + count == r_.count) deliver();  // else while the next batch runs
    p_.times.decode_ms += watch_.lap();
}

void Pipeline::Run::all() {
    constexpr int most_on_device = 32;
    const bool queued = p_.backend->device() != Device::host;
    int size = p_.engine_batch > 0 ? p_.engine_batch : queued ? most_on_device : 1;
    for (int first = 0; first < r_.count;) {
        const int count = std::min(size, r_.count - first);
        try {
            batch(first, count);
            first += count;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::resource || count == 1) throw;
            deliver();
            p_.drop_caches();
            size = count / 2;
            if (callbacks_.warning) callbacks_.warning(std::string(error.what()) + "; trying " + std::to_string(size) + " pictures at a time");
        }
    }
}

void Pipeline::generate(const GenerateRequest& request, const Callbacks& callbacks) {
    Impl& p = *impl_;
    const ResolvedRequest r = resolve(request, p.info, p.folder.schedule, p.decoder->factor(), p.denoiser->patch());
    p.tracer.clear();
    p.times = {};
    Run(*this, r, callbacks).all();
}

std::vector<Image> Pipeline::generate(const GenerateRequest& request) {
    std::vector<Image> images;
    generate(request, {.image = [&](int, Image image) { images.push_back(std::move(image)); }, .progress = {}, .warning = {}});
    return images;
}

}  // namespace t2i
