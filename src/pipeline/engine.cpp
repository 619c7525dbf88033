#include "pipeline/engine.h"

#include <algorithm>
#include <filesystem>

#include "backend/registry.h"
#include "ops/memory.h"
#include "ops/ops.h"
#include "pipeline/parameters.h"
#include "t2i/error.h"
#include "text/known_words.h"
#include "text/unicode.h"

namespace t2i {

namespace {

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

// The last name of a path: "vae" of "models/vae/".
std::string file_name(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return std::filesystem::path(path).filename().string();
}

}  // namespace

Engine::Engine(const PipelineOptions& options, const EngineHooks& hooks)
    : batch_size_(options.engine_batch), tracer_(hooks.tracer ? *hooks.tracer : own_tracer_) {
    check(options);
    const TraceSpan span(&tracer_, "load");
    const ChosenBackend choice = choose_backend(options.device);
    backend_ = make_backend(choice.name, {.threads = options.threads, .fast_math = options.fast_math, .log = options.log});
    compute_ = parse_compute_dtype(options.dtype, *backend_);
    folder_ = read_model_folder(options.model.empty() ? bundled_model() : options.model);
    folder_.check_components();
    // Beside the loading, which is mostly one thread's work; beside the first steps it would take a core from them.
    hashes_.start(hooks.hash ? hooks.hash : [this, vae = options.vae] { return hash_model(folder_, vae, &hashes_.abandoned); });
    const PipelineRow& row = *folder_.row;
    generator_ = row.load_generator(folder_, *backend_, compute_);
    prompts_ = row.load_prompts(
        folder_, *generator_, *backend_, compute_,
        {.cache = options.text_cache, .cache_folder = options.text_cache_folder, .origin = text_origin(options)});
    const std::string decoder = folder_.decoder(options.vae);
    decoder_ = row.load_decoder(*backend_, decoder, compute_);
    check_decoder(decoder);
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
            .vae = file_name(options.vae),
            .fast_math = options.fast_math};
}

Engine::~Engine() {
    tracer_.drop_queued();  // the backend that knows their times goes
}

ResolvedRequest Engine::resolve(const GenerateRequest& request) const {
    return t2i::resolve(request, *folder_.rules, sizes_);
}

std::size_t Engine::conditioning_rows(const PictureJob& job) const {
    return prompts_->rows(std::max(job.prompt.size(), job.negative.size()));
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

void Engine::drop_caches() {
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
Conditioning Engine::encode(const ResolvedRequest& settings, std::span<const PictureJob> jobs) {
    const TraceSpan span(context(), "text");
    std::vector<std::vector<std::int32_t>> ids;
    if (settings.guided)
        for (const auto& job : jobs) ids.push_back(job.negative);
    for (const auto& job : jobs) ids.push_back(job.prompt);
    return prompts_->encode(context(), ids);
}

RunSettings Engine::run_settings(const ResolvedRequest& settings, std::span<const PictureJob> jobs) const {
    std::size_t rows = 0;
    for (const auto& job : jobs) rows = std::max(rows, conditioning_rows(job));
    return {.plan = settings.plan,
            .pictures = static_cast<std::int64_t>(jobs.size()),
            .height = settings.height / decoder_->factor(),
            .width = settings.width / decoder_->factor(),
            .text_rows = static_cast<std::int64_t>(rows)};
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

Engine::Made Engine::decode(const std::shared_ptr<const GeneratorRun>& run, const Callbacks& callbacks) {
    const Arena::Mark mark(*scratch_);
    const ExecContext ctx = context();
    const TraceSpan span(ctx, "decode");
    const TensorView grid = run->result(), status = run->status();
    const Shape& g = grid.shape;  // [B, …, h, w]
    const Shape pictures{g[0], g[g.rank() - 2] * decoder_->factor(), g[g.rank() - 1] * decoder_->factor(), 3};
    const TensorView rgb = scratch_->take(pictures), bytes = scratch_->take(pictures, DType::u8);
    decoder_->decode(ctx, grid, rgb);
    ops::to_rgb8(ctx, rgb, bytes);
    Made made;
    made.rgb = allocate_staging(*backend_, pictures, DType::u8);
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
    const Conditioning conditioning = encode(settings, jobs);
    backend_->wait(backend_->fence());
    stage(times_.text_ms, times_.text_flops);

    std::shared_ptr<GeneratorRun> run;
    {
        const TraceSpan span(context(), "prepare");
        run = run_for(run_settings(settings, jobs));
        run->condition(conditioning);
        backend_->wait(backend_->fence());
    }
    times_.prepare_ms += lap_ms();
    flops = tracer_.flops();

    std::vector<std::uint64_t> seeds;
    for (const auto& job : jobs) seeds.push_back(job.seed);
    {
        const TraceSpan span(context(), "denoise");
        run->run({.seeds = seeds, .progress = callbacks.progress, .meanwhile = [&] { flush(); }});
    }
    flush();  // of the batch before, where the generator found no time for it
    stage(times_.denoise_ms, times_.denoise_flops);
    made_ = decode(run, callbacks);
    if (backend_->device() == Device::host) flush();  // else while the next batch runs
    stage(times_.decode_ms, times_.decode_flops);
}

}  // namespace t2i
