#include "pipeline/engine.h"

#include <algorithm>
#include <filesystem>

#include "backend/registry.h"
#include "core/escape.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "pipeline/parameters.h"
#include "pipeline/picture_resize.h"
#include "t2i/error.h"
#include "text/clean_caption.h"
#include "text/known_words.h"
#include "text/unicode.h"

namespace t2i {

namespace {

// Pictures that requests begin with, kept as latents: a line of a prompt file may ask for many from one.
constexpr std::size_t kept_starts = 8;
// Pictures at a time on a GPU: at 256 tokens its products are full well before that.
constexpr int most_on_device = 32;
// Kept runs: each holds its recordings and, for every layer, its texts' keys and values.
constexpr std::size_t kept_runs = 4;

struct ChosenBackend {
    std::string name;
    std::string reason;  // why not the GPU, where one might have been expected
};

ChosenBackend choose_backend(const std::string& device) {
    if (device == "auto") {
        const std::string reason = cuda_unavailable_reason();
        return reason.empty() ? ChosenBackend{"cuda", {}} : ChosenBackend{"cpu", reason};
    }
    return {device, {}};
}

// Throws Error{invalid_argument} about the first number that is out of range.
void check(const PipelineOptions& options) {
    const auto check_range = [](const char* field, int value, int most) {
        if (value < 0 || value > most)
            throw Error(ErrorCode::invalid_argument, std::to_string(value) + " is out of range [0, " + std::to_string(most) + "]",
                        Field{field});
    };
    check_range("threads", options.threads, 1024);
    check_range("engine_batch", options.engine_batch, 4096);
    check_range("text_cache", options.text_cache, 1 << 30);
}

std::vector<std::pair<std::string, std::string>> names_of(const std::vector<NamedPart>& parts) {
    std::vector<std::pair<std::string, std::string>> names;
    for (const NamedPart& part : parts) names.emplace_back(part.component, name_of_folder(part.path));
    return names;
}

}  // namespace

ModelParts parts_of(const PipelineOptions& options) {
    return {.model = options.model.empty() ? bundled_model() : options.model,
            .base = options.base,
            .transformer = options.transformer,
            .text_encoder = options.text_encoder,
            .tokenizer = options.tokenizer,
            .formulas = options.formulas};
}

Engine::Engine(const PipelineOptions& options, const EngineHooks& hooks)
    : batch_size_(options.engine_batch), tracer_(hooks.tracer ? *hooks.tracer : own_tracer_) {
    check(options);
    const TraceSpan span(&tracer_, "load");
    const ChosenBackend choice = choose_backend(options.device);
    backend_ = make_backend(choice.name, {.threads = options.threads, .fast_math = options.fast_math, .log = options.log});
    compute_ = parse_compute_dtype(options.dtype, *backend_);
    folder_ = read_model(parts_of(options), {.variant = options.variant, .log = options.log});
    folder_.check_components(options.vae);
    // Beside the loading, which is mostly one thread's work; beside the first steps it would take a core from them.
    hashes_.start(hooks.hash ? hooks.hash : [this, vae = options.vae] { return hash_model(folder_, vae, &hashes_.abandoned); });
    const PipelineRow& row = *folder_.row;
    generator_ = row.load_generator(folder_, *backend_, compute_);
    prompts_ = row.load_prompts(folder_, *generator_, *backend_, compute_,
                                {.cache = options.text_cache,
                                 .cache_folder = options.text_cache_folder,
                                 .origin = text_origin(options),
                                 .most_resident_bytes = options.keep_text_encoder ? SIZE_MAX : hooks.small_text_encoder_bytes});
    decoder_source_ = folder_.decoder(options.vae);
    decoder_ = row.load_decoder(*backend_, decoder_source_, compute_);
    check_decoder(decoder_source_.path);
    decoder_source_.log = {};  // which has heard of its tensors
    sizes_ = read_picture_sizes(folder_, options.vae);
    drop_caches();
    info_ = describe(options, choice.reason);
}

void Engine::check_decoder(const std::string& decoder) const {
    if (decoder_->reads() == generator_->writes()) return;
    throw Error(ErrorCode::input, "decodes " + decoder_->reads().text() + ", the model makes " + generator_->writes().text(),
                decoder);
}

// As `Origin` has it of pictures: an encoded text that another machine or build left on disk would change their bits.
std::string Engine::text_origin(const PipelineOptions& options) const {
    ModelInfo here;
    here.device = backend_->name();
    here.dtype = name_of(compute_);
    here.hardware = backend_->hardware();
    const Origin origin = origin_of(here);
    return origin.device + ", " + origin.hardware + ", " + origin.dtype + ", " + origin.version + ", " + origin.compiler +
           (options.fast_math ? ", fast math" : "");
}

ModelInfo Engine::describe(const PipelineOptions& options, const std::string& no_gpu_because) const {
    return {.name = folder_.name,
            .steps = folder_.steps,
            .cfg_scale = folder_.cfg_scale,
            .width = sizes_.side,
            .height = sizes_.side,
            .max_prompt_tokens = folder_.max_prompt_tokens,
            .classes = static_cast<int>(generator_->classes()),
            .sampler = folder_.rules->default_sampler(),
            .device = std::string(backend_->name()),
            .dtype = std::string(name_of(compute_)),
            .runs_on = backend_->description() + ", " + std::string(name_of(compute_)) +
                       (no_gpu_because.empty() ? "" : " (no GPU: " + no_gpu_because + ")"),
            .hardware = backend_->hardware(),
            .vae = name_of_folder(options.vae),
            .fast_math = options.fast_math,
            .parts = names_of(folder_.named),
            .base = name_of_folder(options.base),
            .formulas = folder_.formulas,
            .variant = folder_.options.variant,
            .notes = notes_of(folder_, options.vae)};
}

Engine::~Engine() {
    tracer_.drop_queued();  // the backend that knows their times goes
}

ResolvedRequest Engine::resolve(const GenerateRequest& request) const {
    if (request.clean_caption.value_or(false) && folder_.row->conditioning != ConditioningKind::text)
        throw Error(ErrorCode::invalid_argument, "prompts of this model are names of classes, no captions to clean",
                    Field{"clean_caption"});
    ResolvedRequest resolved = t2i::resolve(request, *folder_.rules, sizes_);
    if (request.init_image.is_given()) {
        const PipelineRow& row = *folder_.row;
        T2I_CHECK(row.load_encoder && row.rehearse_encoder, "rules that take a picture to begin with, without an encoder");
        std::call_once(encoder_looked_for_, [&] {
            try {
                row.rehearse_encoder(decoder_source_);
            } catch (...) {
                no_encoder_ = std::current_exception();
            }
        });
        if (no_encoder_) std::rethrow_exception(no_encoder_);
    }
    return resolved;
}

std::size_t Engine::conditioning_rows(const PictureJob& job) const {
    return prompts_->rows(std::max(job.prompt.size(), job.negative.size()));
}

int Engine::batch_size() const {
    if (batch_size_ > 0) return batch_size_;
    return backend_->device() == Device::host ? 1 : most_on_device;
}

Tokens Engine::tokenize(const std::string& prompt, const char* field, bool clean) const {
    return prompts_->tokenize(prompt, field, clean);
}

Engine::Doubt Engine::doubt_about(const std::string& prompt, bool clean) const {
    const std::string whole = lower_and_strip(prompt), asked = clean ? clean_caption(prompt, Field{"prompt"}) : whole;
    if (asked.empty()) return whole.empty() ? Doubt::none : Doubt::cleaned_away;
    return has_known_word(asked, folder_.vocabulary.learnt.words) ? Doubt::none : Doubt::no_known_word;
}

std::vector<UnknownWord> Engine::unknown_words(const std::string& prompt, bool clean) const {
    check_utf8(prompt, Field{"prompt"});
    return t2i::unknown_words(clean ? clean_caption(prompt, Field{"prompt"}) : lower_and_strip(prompt),
                              folder_.vocabulary.learnt);
}

void Engine::drop_caches() {
    starts_.clear();
    runs_.clear();
    prompts_->forget();
    scratch_ = std::make_unique<Arena>([b = backend_.get()](std::size_t bytes) { return b->allocate(bytes); });
}

double Engine::lap_ms() {
    const double start = lap_start_ms_;
    lap_start_ms_ = tracer_.now_ms();
    return lap_start_ms_ - start;
}

// Rows [negative…, positive…], or [positive…] alone.
Conditioning Engine::encode(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) {
    const TraceSpan span(context(), "text");
    std::vector<std::vector<std::int32_t>> ids;
    if (settings.guided)
        for (const auto& job : jobs) ids.push_back(job.negative);
    for (const auto& job : jobs) ids.push_back(job.prompt);
    return prompts_->encode(context(), ids, callbacks.waiting);
}

RunSettings Engine::run_settings(const ResolvedRequest& settings, std::span<const PictureJob> jobs) const {
    std::size_t rows = 0;
    for (const auto& job : jobs) rows = std::max(rows, conditioning_rows(job));
    return {.plan = settings.plan,
            .pictures = static_cast<std::int64_t>(jobs.size()),
            .height = settings.drawn_height / decoder_->factor(),
            .width = settings.drawn_width / decoder_->factor(),
            .text_rows = static_cast<std::int64_t>(rows),
            .factor = decoder_->factor()};
}

std::shared_ptr<GeneratorRun> Engine::run_for(const RunSettings& settings) {
    const auto known = std::ranges::find_if(runs_, [&](const Kept& kept) { return kept.settings.fits(settings); });
    if (known != runs_.end()) {
        std::rotate(known, known + 1, runs_.end());
    } else {
        if (runs_.size() == kept_runs) runs_.erase(runs_.begin());
        runs_.push_back({settings, generator_->begin(context(), settings)});
    }
    return runs_.back().run;
}

const LatentEncoder& Engine::encoder() {
    if (encoder_) return *encoder_;
    auto loaded = folder_.row->load_encoder(*backend_, decoder_source_, compute_);
    if (loaded->factor() != decoder_->factor() || GridFormat{GridFormat::Kind::latents, loaded->channels()} != decoder_->reads())
        throw Error(ErrorCode::input, "its encoder and its decoder are of different sizes", decoder_source_.path);
    encoder_ = std::move(loaded);
    return *encoder_;
}

// Each picture by itself, so that its numbers do not depend on others.
std::shared_ptr<const Start> Engine::start_of(const std::shared_ptr<const StartPicture>& picture) {
    const auto known = std::ranges::find(starts_, picture, &KnownStart::picture);
    if (known != starts_.end()) {
        std::rotate(known, known + 1, starts_.end());
        return starts_.back().start;
    }
    const LatentEncoder& encoder = this->encoder();
    const Arena::Mark mark(*scratch_);
    const ExecContext ctx = context();
    const Tensor pixels = encoder_input(*picture);
    const TensorView rgb = scratch_->take(pixels.shape());
    backend_->copy(pixels, rgb);
    const Shape latents{1, encoder.channels(), picture->height / encoder.factor(), picture->width / encoder.factor()};
    const TensorView mean = scratch_->take(latents);
    const TensorView deviation = encoder.is_random() ? scratch_->take(latents) : TensorView();
    encoder.encode(ctx, rgb, mean, deviation);
    auto start = std::make_shared<Start>();
    start->mean = Tensor::host(latents);
    backend_->copy(mean, start->mean);
    if (encoder.is_random()) {
        start->deviation = Tensor::host(latents);
        backend_->copy(deviation, start->deviation);
    }
    start->mask = latent_mask(*picture, encoder.factor());
    if (starts_.size() == kept_starts) starts_.erase(starts_.begin());
    starts_.push_back({picture, std::move(start)});
    return starts_.back().start;
}

std::vector<std::shared_ptr<const Start>> Engine::starts_of(std::span<const PictureJob> jobs) {
    std::vector<std::shared_ptr<const Start>> starts;
    for (const PictureJob& job : jobs)
        if (job.start) starts.push_back(start_of(job.start));
    T2I_CHECK(starts.empty() || starts.size() == jobs.size(), "a batch of which some begin with a picture");
    return starts;
}

// [B, h, w, 3] f32 as decoded, at the size that was asked for: as diffusers' PixArt pipelines, on the host.
TensorView Engine::resized(const TensorView& rgb, const ResolvedRequest& settings) {
    const Tensor drawn = Tensor::host(rgb.shape);
    backend_->copy(rgb, drawn);
    const Tensor asked = Tensor::host({rgb.shape[0], settings.height, settings.width, 3});
    resize_and_crop(drawn, asked);
    const TensorView out = scratch_->take(asked.shape());
    backend_->copy(asked, out);
    return out;
}

Engine::Made Engine::decode(const std::shared_ptr<const GeneratorRun>& run, const ResolvedRequest& settings,
                            const Callbacks& callbacks) {
    const Arena::Mark mark(*scratch_);
    const ExecContext ctx = context();
    const TraceSpan span(ctx, "decode");
    const TensorView grid = run->result(), status = run->status();
    const Shape& g = grid.shape;  // [B, …, h, w]
    const Shape pictures{g[0], g[g.rank() - 2] * decoder_->factor(), g[g.rank() - 1] * decoder_->factor(), 3};
    TensorView rgb = scratch_->take(pictures);
    decoder_->decode(ctx, grid, rgb);
    if (settings.width != settings.drawn_width || settings.height != settings.drawn_height) rgb = resized(rgb, settings);
    const TensorView bytes = scratch_->take(rgb.shape, DType::u8);
    ops::to_rgb8(ctx, rgb, bytes);
    Made made;
    made.rgb = allocate_staging(*backend_, rgb.shape, DType::u8);
    backend_->copy_queued(bytes, made.rgb);
    if (callbacks.grid) {
        made.grid = allocate_staging(*backend_, g, grid.dtype);
        backend_->copy_queued(grid, made.grid);
    }
    if (!status.empty()) {
        made.status = allocate_staging(*backend_, {1}, DType::i32);
        backend_->copy_queued(status, made.status);
    }
    made.ready = backend_->fence();
    made.run = run;
    made.callbacks = callbacks;
    return made;
}

void Engine::flush() {
    if (!made_) return;
    const Made made = std::move(*made_);
    made_.reset();  // before anything that throws: what is not handed out now never is
    backend_->bind_thread();
    const double start_ms = tracer_.now_ms();
    backend_->wait(made.ready);
    times_.decode_ms += tracer_.now_ms() - start_ms;  // on a queue the decoder works until here
    tracer_.settle();
    if (!made.status.view.empty()) made.run->check(made.status.as<std::int32_t>()[0]);
    for (std::int64_t i = 0; i < made.rgb.shape()[0]; ++i) {
        const auto index = static_cast<std::size_t>(i);
        const auto rgb = made.rgb.view.slice(i, 1).as<std::uint8_t>();
        if (!made.pasted.empty()) paste_unmasked(*made.pasted[index], rgb);
        if (made.callbacks.grid) made.callbacks.grid(index, made.grid.view.slice(i, 1));
        made.callbacks.picture(index, {{rgb.begin(), rgb.end()}});
    }
}

void Engine::make(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) {
    try {
        make_batch(settings, jobs, callbacks);
    } catch (...) {
        const std::exception_ptr why = std::current_exception();
        try {
            flush();
        } catch (...) {  // the first failure is told
        }
        std::rethrow_exception(why);
    }
}

void Engine::make_batch(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) {
    T2I_CHECK(!jobs.empty(), "a batch without pictures");
    backend_->bind_thread();
    double flops = tracer_.flops();
    const auto stage = [&](double& ms, double& work) {
        ms += lap_ms();
        work += tracer_.flops() - flops;
        flops = tracer_.flops();
    };
    lap_ms();
    const double loaded_ms = prompts_->load_ms();
    const Conditioning conditioning = encode(settings, jobs, callbacks);
    backend_->wait(backend_->fence());
    stage(times_.text_ms, times_.text_flops);
    times_.load_ms += prompts_->load_ms() - loaded_ms;
    times_.text_ms -= prompts_->load_ms() - loaded_ms;

    std::shared_ptr<GeneratorRun> run;
    std::vector<std::shared_ptr<const Start>> starts;
    {
        const TraceSpan span(context(), "prepare");
        run = run_for(run_settings(settings, jobs));
        run->condition(conditioning);
        starts = starts_of(jobs);
        backend_->wait(backend_->fence());
    }
    times_.prepare_ms += lap_ms();
    flops = tracer_.flops();

    std::vector<std::uint64_t> seeds;
    for (const auto& job : jobs) seeds.push_back(job.seed);
    {
        const TraceSpan span(context(), "denoise");
        run->run({.seeds = seeds, .starts = starts, .progress = callbacks.progress, .meanwhile = [&] { flush(); }});
    }
    flush();  // of the batch before, where the generator found no time for it
    stage(times_.denoise_ms, times_.denoise_flops);
    Made made = decode(run, settings, callbacks);
    if (settings.keep_unmasked)
        for (const auto& job : jobs) made.pasted.push_back(job.start);
    made_ = std::move(made);
    if (backend_->device() == Device::host) flush();  // else while the next batch runs
    stage(times_.decode_ms, times_.decode_flops);
}

}  // namespace t2i
