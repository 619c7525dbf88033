// t2i bench: times stages and whole pictures, one op, or a model of a known shape with random weights.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "app/arguments.h"
#include "app/bench_batch.h"
#include "app/bench_loop.h"
#include "app/bench_support.h"
#include "app/bench_table.h"
#include "app/command.h"
#include "app/output_names.h"
#include "app/random_model.h"
#include "app/standard_streams.h"
#include "app/trace_flag.h"
#include "backend/registry.h"
#include "core/files.h"
#include "core/number_text.h"
#include "core/rng.h"
#include "models/registry.h"
#include "ops/memory.h"
#include "pipeline/pipeline_access.h"
#include "pipeline/png_encode.h"
#include "pipeline/request.h"
#include "t2i/error.h"
#include "workloads/bench_ops.h"

namespace t2i::app {

namespace fs = std::filesystem;

namespace {

struct Arguments {
    PipelineOptions model;
    GenerateRequest request;
    int runs = 10, warm_ups = 3, text_tokens = 120, batch = 0;
    std::string json, random, op, weights, latents;
    TraceFlag trace;
    Tracer* tracer = nullptr;  // of trace; null without the flag
};

// The model that generates pictures: stages and the whole. Times are per picture.
BenchReport bench_pictures(Arguments& a) {
    if (a.model.model.empty()) a.model.model = bundled_model();
    a.model.text_cache = 0;  // every timed run encodes its text
    const auto start = std::chrono::steady_clock::now();
    Pipeline pipeline = PipelineAccess::load(a.model, {.tracer = a.tracer});
    if (a.request.prompt.empty()) a.request.prompt = default_prompt(pipeline.info());
    BenchRow load{"load", {elapsed_ms(start)}}, text{"text encoder", {}}, prepare{"prepare (text keys, time tables)", {}},
        denoise{"", {}}, decode{"decode", {}}, png{"PNG", {}}, whole{"whole picture", {}};
    const double share = 1.0 / a.request.count;
    for (int run = -a.warm_ups; run < a.runs; ++run) {
        const auto begin = std::chrono::steady_clock::now();
        const auto images = pipeline.generate(a.request);
        const auto before_png = std::chrono::steady_clock::now();
        for (const auto& image : images) {
            const TraceSpan span(a.tracer, "png");
            static_cast<void>(encode_png(image.width, image.height, image.rgb, image.parameters));
        }
        if (run < 0) continue;
        const StageTimes t = pipeline.last_times();
        text.times_ms.push_back((t.load_ms + t.text_ms) * share);
        prepare.times_ms.push_back(t.prepare_ms * share);
        denoise.times_ms.push_back(t.denoise_ms * share);
        decode.times_ms.push_back(t.decode_ms * share);
        png.times_ms.push_back(elapsed_ms(before_png) * share);
        whole.times_ms.push_back(elapsed_ms(begin) * share);
        text.flops = t.text_flops * share;
        denoise.flops = t.denoise_flops * share;
        decode.flops = t.decode_flops * share;
        whole.flops = text.flops + denoise.flops + decode.flops;
    }
    denoise.what = "denoise, " + counted(a.request.steps.value_or(pipeline.info().steps), "step") +
                   (a.request.cfg_scale.value_or(pipeline.info().cfg_scale) > 1 ? " with CFG" : "");
    if (a.request.count > 1) whole.what = "whole picture, one of " + std::to_string(a.request.count);
    const auto backend =
        make_backend(a.model.device == "auto" ? pipeline.info().device : a.model.device, {.threads = a.model.threads});
    return {{load, text, prepare, denoise, decode, png, whole},
            machine_name(pipeline.info().runs_on),
            {.matrix_gflops = measure_matrix_peak_gflops(*backend, parse_compute_dtype(pipeline.info().dtype, *backend))}};
}

struct OpenBackend {
    std::unique_ptr<Backend> backend;
    DType compute;
};

// Where a benchmark without a model folder runs.
OpenBackend open_backend(const PipelineOptions& options) {
    auto backend = make_backend(options.device, {.threads = options.threads});
    const DType compute = parse_compute_dtype(options.dtype, *backend);
    return {std::move(backend), compute};
}

// One operation, or all, at the shapes of op_cases that models use, against the machine's peaks.
BenchReport bench_operations(const Arguments& a) {
    const std::vector<Op> ops = a.op == "all" ? all_ops() : std::vector{op_by_name(a.op)};
    const auto [backend, compute] = open_backend(a.model);
    BenchReport report{
        {}, machine_name(backend->description() + ", " + std::string(name_of(compute))), measure_peaks(*backend, compute)};
    for (const Op op : ops)
        for (const auto& timing : bench_op(*backend, op, compute, a.runs))
            report.rows.push_back({timing.name, timing.times_ms, timing.flops, timing.bytes});
    return report;
}

// One step on CFG pairs at 32x32 latents, of a whole batch. ctx.tracer must be there: it counts the FLOP.
BenchRow bench_step(const ExecContext& ctx, const Denoiser& denoiser, const RandomShape& shape, const Arguments& a) {
    TorchGenerator noise(0);
    const std::int64_t rows = 2 * std::int64_t{a.request.count};
    const Conditioning text = random_conditioning(ctx, shape, rows, a.text_tokens);
    const Tensor drawn = Tensor::host({rows, 4, 32, 32});
    noise.normal(drawn.as<float>());
    const Tensor latents = upload(ctx.backend, drawn), out = allocate(ctx.backend, drawn.shape());
    const std::vector<float> timesteps{500.0F};
    const auto run = denoiser.begin(
        ctx,
        {.timesteps = timesteps, .latents = latents.shape(), .text_rows = shape.classes > 0 ? 0 : std::int64_t{a.text_tokens}});
    run->condition(ctx, text);
    ctx.backend.wait(ctx.backend.fence());

    const double flops = ctx.tracer->flops();
    run->predict(ctx, 0, latents, out);  // the plan of the recording, which takes its memory
    // Before the recording: on a backend with a queue that counts the step again.
    BenchRow step{shape.name + ", one CFG step", {}, ctx.tracer->flops() - flops};
    // On a backend with a queue the step is launched as the pipeline does it: recorded once.
    const auto recording = ctx.backend.record([&] { run->predict(ctx, 0, latents, out); });
    if (shape.classes == 0) step.what += ", " + counted(a.text_tokens, "text token");
    if (a.request.count > 1) step.what += ", " + counted(a.request.count, "picture");
    for (int i = -a.warm_ups; i < a.runs; ++i) {
        const auto start = std::chrono::steady_clock::now();
        {
            const TraceSpan span(ctx, "step", static_cast<std::size_t>(i + a.warm_ups));
            recording->replay();
            ctx.backend.wait(ctx.backend.fence());
        }
        if (i >= 0) step.times_ms.push_back(elapsed_ms(start));
    }
    return step;
}

// A denoiser with random weights: a step, or the whole loop.
BenchReport bench_random(const Arguments& a) {
    const RandomShape shape = random_model_shape(a.random);
    const OpenBackend open = open_backend(a.model);  // no structured binding: clang 14 lets no lambda use one
    const auto& backend = open.backend;
    const DType compute = open.compute;
    std::optional<TemporaryFolder> scratch_folder;
    const std::string folder = a.weights.empty() ? scratch_folder.emplace().path() : a.weights;
    if (!fs::exists(folder + "/config.json")) {
        std::fprintf(stderr, "writing random weights to %s\n", folder.c_str());
        write_random_model(shape, folder);
    }
    auto denoiser = load_denoiser(*backend, folder, compute);

    Arena scratch([&](std::size_t bytes) { return backend->allocate(bytes); });
    Tracer own_tracer;
    Tracer& tracer = a.tracer ? *a.tracer : own_tracer;
    const ExecContext ctx{*backend, scratch, &tracer};
    const auto report = [&](BenchRow row) {
        return BenchReport{{std::move(row)},
                           machine_name(backend->description() + ", " + std::string(name_of(compute))),
                           {.matrix_gflops = measure_matrix_peak_gflops(*backend, compute)}};
    };
    if (a.request.steps)
        return report(bench_loop(ctx, std::move(denoiser),
                                 {.shape = shape,
                                  .pictures = a.request.count,
                                  .steps = *a.request.steps,
                                  .text_tokens = a.text_tokens,
                                  .cfg_scale = a.request.cfg_scale.value_or(LoopBench{}.cfg_scale),
                                  .runs = a.runs,
                                  .warm_ups = a.warm_ups,
                                  .latents = a.latents}));
    return report(bench_step(ctx, *denoiser, shape, a));
}

}  // namespace

int run_bench(const CommandLine& line) {
    Arguments a;
    CLI::App app{"Times stages and whole pictures (median, p10, p90, fraction of the matrix peak measured in the same run).",
                 "t2i bench"};
    add_model_flags(app, a.model);
    app.add_option("-p,--prompt", a.request.prompt,
                   "prompt of the timed pictures (default: a red apple, or a model's first class)");
    auto* steps = add_whole(app, "--steps", a.request.steps, 1, most_steps, "denoising steps (default: the model's)");
    add_real(app, "--cfg-scale", a.request.cfg_scale, "guidance (default: the model's)");
    add_whole(app, "-b,--batch-count", a.request.count, 1, 4096,
              "pictures a run; times are per picture, with --random per step of all");
    add_whole(app, "--runs", a.runs, 1, 10'000, "timed runs");
    add_whole(app, "--warm-ups", a.warm_ups, 0, 1000, "runs before them");
    auto* random = app.add_option(
        "--random", a.random,
        "time a random model of this shape (" + random_model_names() + "): one CFG step, or with --steps the whole loop");
    add_whole(app, "--text-tokens", a.text_tokens, 1, 4096, "with --random pixart-…")->needs(random);
    app.add_option("--weights", a.weights, "with --random: a folder for the weights; those of an earlier run are read again")
        ->type_name("FOLDER")
        ->needs(random);
    app.add_option("--save-latents", a.latents, "with --random and --steps: write the latents to this safetensors file")
        ->type_name("FILE")
        ->needs(random)
        ->needs(steps);
    app.add_option("--op", a.op,
                   "time one operation against its bound of FLOP or bytes: linear, attention, conv2d, group_norm …, or all")
        ->excludes(random);
    add_whole(app, "--batch", a.batch, 1, most_pictures,
              "time a prompt file of so many pictures end to end, against the denoiser's own rate", "")
        ->excludes(random);
    app.add_option("--json", a.json, "write the figures to this file too; - prints them in place of the table")
        ->type_name("FILE");
    a.trace.add_to(app);
    if (!parse(app, line)) return 0;

    refuse_standard_output("--weights", a.weights, "weights; name a folder");
    refuse_standard_output("--save-latents", a.latents, "latents; name a file");
    a.json = output_path(a.json);
    if (!a.json.empty()) check_can_be_written(a.json);
    a.tracer = a.trace.tracer();
    const bool prints_json = !a.json.empty() && is_standard_output(a.json);
    if (prints_json && a.trace.takes_output())
        throw Error(ErrorCode::invalid_argument, "standard output takes the figures or the trace, not both", "--trace");
    refuse_same_file("--trace", a.trace.path(), a.json, "the file of --json");
    if (a.batch > 0 && a.model.model.empty()) a.model.model = bundled_model();
    const BenchReport report = a.batch > 0         ? bench_batch(a.model, a.request, a.batch, a.tracer)
                               : !a.op.empty()     ? bench_operations(a)
                               : !a.random.empty() ? bench_random(a)
                                                   : bench_pictures(a);
    if (!prints_json && !a.trace.takes_output()) print_bench(report);
    if (!a.json.empty()) {
        const std::string text = bench_json(report);
        write_file_atomically(a.json, text);
    }
    a.trace.write();
    return 0;
}

}  // namespace t2i::app
