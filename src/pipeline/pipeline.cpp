#include "t2i/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>

#include "backend/registry.h"
#include "models/registry.h"
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

// diffusers' denormalize and numpy_to_pil: clamp(x / 2 + 0.5), times 255, ties to even.
std::vector<std::uint8_t> to_rgb8(std::span<const float> rgb) {
    std::vector<std::uint8_t> out(rgb.size());
    std::transform(rgb.begin(), rgb.end(), out.begin(), [](float x) {
        return static_cast<std::uint8_t>(std::nearbyintf(std::clamp(x * 0.5F + 0.5F, 0.0F, 1.0F) * 255.0F));
    });
    return out;
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

    [[nodiscard]] ExecContext context() { return {*backend, *scratch, &tracer}; }
    std::vector<std::int32_t> tokenize(const std::string& prompt, const char* flag, const OnWarning& warning) const;
    Conditioning encode(const ResolvedRequest& r, const OnWarning& warning);
    Image make_image(const ResolvedRequest& r, const DenoiserRequest& request, int index, const Callbacks& callbacks);
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

Conditioning Pipeline::Impl::encode(const ResolvedRequest& r, const OnWarning& warning) {
    std::vector<std::vector<std::int32_t>> ids;
    if (r.guided) ids.push_back(tokenize(r.negative_prompt, "--negative-prompt", warning));
    ids.push_back(tokenize(r.prompt, "--prompt", warning));
    const TraceSpan span(&tracer, "text");
    return text_encoder->encode(context(), ids);
}

Image Pipeline::Impl::make_image(const ResolvedRequest& r, const DenoiserRequest& request, int index, const Callbacks& callbacks) {
    Image image{.width = r.width, .height = r.height, .rgb = {}, .seed = r.seed + static_cast<std::uint64_t>(index), .parameters = {}, .latents = {}};
    const Arena::Mark mark(*scratch);
    const ExecContext ctx = context();
    Tensor latents = Tensor::host({1, denoiser->channels(), r.height / decoder->factor(), r.width / decoder->factor()});
    TorchGenerator noise(image.seed);
    Stopwatch watch;
    const int steps = static_cast<int>(r.plan.steps.size());
    const auto progress = [&](int done) { return !callbacks.progress || callbacks.progress({index, r.count, done, steps}); };
    double flops = tracer.flops();
    denoise(ctx, {*denoiser, request, r.plan, r.cfg_scale, r.guided, noise, progress}, latents);
    times.denoise_ms += watch.lap();
    times.denoise_flops += tracer.flops() - flops;
    flops = tracer.flops();

    const TensorView rgb = scratch->take({1, r.height, r.width, 3});
    {
        const TraceSpan span(&tracer, "decode");
        decoder->decode(ctx, latents, rgb);
    }
    image.rgb = to_rgb8(rgb.as<float>());
    times.decode_ms += watch.lap();
    times.decode_flops += tracer.flops() - flops;
    const auto values = latents.as<float>();
    image.latents.assign(values.begin(), values.end());
    return image;
}

void Pipeline::generate(const GenerateRequest& request, const Callbacks& callbacks) {
    Impl& p = *impl_;
    const ResolvedRequest r = resolve(request, p.info, p.folder.schedule, p.decoder->factor(), p.denoiser->patch());
    p.tracer.clear();
    p.times = {};
    Stopwatch watch;
    const Conditioning text = p.encode(r, callbacks.warning);
    p.times.text_ms = watch.lap();
    p.times.text_flops = p.tracer.flops();

    std::vector<float> timesteps;
    for (const auto& step : r.plan.steps) timesteps.push_back(static_cast<float>(step.timestep));
    const Shape rows{r.guided ? 2 : 1, p.denoiser->channels(), r.height / p.decoder->factor(), r.width / p.decoder->factor()};
    const auto prepared = p.denoiser->prepare(p.context(), text, timesteps, rows);
    p.times.prepare_ms = watch.lap();

    for (int i = 0; i < r.count; ++i) {
        Image image = p.make_image(r, *prepared, i, callbacks);
        image.parameters = parameters_text(r, info(), image.seed);
        if (callbacks.image) callbacks.image(i, std::move(image));
    }
}

std::vector<Image> Pipeline::generate(const GenerateRequest& request) {
    std::vector<Image> images;
    generate(request, {.image = [&](int, Image image) { images.push_back(std::move(image)); }, .progress = {}, .warning = {}});
    return images;
}

}  // namespace t2i
