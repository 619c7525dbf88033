// t2i bench: times stages and whole pictures, one op, or a model of a known shape with random weights.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

#include "app/arguments.h"
#include "app/bench_table.h"
#include "app/command.h"
#include "app/random_model.h"
#include "backend/registry.h"
#include "core/rng.h"
#include "models/registry.h"
#include "ops/bench_ops.h"
#include "ops/memory.h"
#include "pipeline/png.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

namespace {

struct Arguments {
    PipelineOptions model;
    GenerateRequest request;
    int runs = 10, warm_ups = 3, text_tokens = 120;
    std::string json, random, op;
};

struct Report {
    std::vector<BenchRow> rows;
    std::string machine;
    double peak_gflops = 0;
};

double elapsed_ms(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// The model that generates pictures: stages and the whole.
Report bench_pictures(Arguments& a) {
    if (a.model.model.empty()) a.model.model = default_model();
    const auto start = std::chrono::steady_clock::now();
    Pipeline pipeline = Pipeline::load(a.model);
    BenchRow load{"load", {elapsed_ms(start)}}, text{"text encoder", {}}, prepare{"prepare (text keys, time tables)", {}},
        denoise{"", {}}, decode{"decode", {}}, png{"PNG", {}}, whole{"whole picture", {}};
    for (int run = -a.warm_ups; run < a.runs; ++run) {
        const auto begin = std::chrono::steady_clock::now();
        const auto images = pipeline.generate(a.request);
        const auto before_png = std::chrono::steady_clock::now();
        const auto& image = images.front();
        const auto bytes = encode_png(image.width, image.height, image.rgb, image.parameters);
        if (run < 0) continue;
        const StageTimes t = pipeline.last_times();
        text.times_ms.push_back(t.text_ms);
        prepare.times_ms.push_back(t.prepare_ms);
        denoise.times_ms.push_back(t.denoise_ms);
        decode.times_ms.push_back(t.decode_ms);
        png.times_ms.push_back(elapsed_ms(before_png));
        whole.times_ms.push_back(elapsed_ms(begin));
        text.flops = t.text_flops;
        denoise.flops = t.denoise_flops;
        decode.flops = t.decode_flops;
        whole.flops = t.text_flops + t.denoise_flops + t.decode_flops;
    }
    denoise.what = "denoise, " + std::to_string(a.request.steps.value_or(pipeline.info().steps)) + " steps" +
                   (a.request.cfg_scale.value_or(pipeline.info().cfg_scale) > 1 ? " with CFG" : "");
    const auto backend = make_backend(pipeline.info().device, {.threads = a.model.threads});
    return {{load, text, prepare, denoise, decode, png, whole}, machine_name(pipeline.info().runs_on),
            measure_matrix_peak_gflops(*backend, pipeline.info().dtype == "bf16" ? DType::bf16 : DType::f32)};
}

struct OpenBackend {
    std::unique_ptr<Backend> backend;
    DType compute;
};

// Where a benchmark without a model folder runs.
OpenBackend open_backend(const PipelineOptions& options) {
    auto backend = make_backend(options.device == "auto" ? "cpu" : options.device, {.threads = options.threads});
    if (options.dtype != "auto" && options.dtype != "f32" && options.dtype != "bf16")
        throw Error(ErrorCode::usage, "unknown dtype \"" + options.dtype + "\" (auto, f32, bf16)", "--dtype");
    const DType compute = options.dtype == "auto"   ? default_compute_dtype(*backend)
                          : options.dtype == "bf16" ? DType::bf16
                                                    : DType::f32;
    if (!backend->supports(Op::linear, compute)) throw Error(ErrorCode::resource, "this CPU does not multiply bf16", "--dtype");
    return {std::move(backend), compute};
}

// One operation at the shapes of op_cases that models use.
Report bench_operation(const Arguments& a) {
    const Op op = op_by_name(a.op);
    const auto [backend, compute] = open_backend(a.model);
    Report report{{}, machine_name(backend->description() + ", " + std::string(name_of(compute))), measure_matrix_peak_gflops(*backend, compute)};
    for (const auto& timing : bench_op(*backend, op, compute, a.runs)) report.rows.push_back({timing.name, timing.times_ms, timing.flops});
    return report;
}

class ScratchFolder {
  public:
    ScratchFolder() : path_((fs::temp_directory_path() / "t2i-bench-XXXXXX").string()) {
        if (!::mkdtemp(path_.data())) throw Error(ErrorCode::input, "cannot make a temporary folder", path_);
    }
    ~ScratchFolder() {
        std::error_code ec;
        fs::remove_all(path_, ec);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// One denoiser step on a CFG pair at 32x32 latents.
Report bench_random(const Arguments& a) {
    const PixArtShape shape = random_model_shape(a.random);
    const auto [backend, compute] = open_backend(a.model);
    const ScratchFolder folder;
    std::fprintf(stderr, "writing random weights to %s\n", folder.path().c_str());
    write_random_pixart(shape, folder.path());
    const auto denoiser = load_denoiser(*backend, folder.path(), compute);

    Arena scratch([&](std::size_t bytes) { return backend->allocate(bytes); });
    Tracer tracer;
    const ExecContext ctx{*backend, scratch, &tracer};
    TorchGenerator noise(0);
    Conditioning text{Tensor::host({2, a.text_tokens, shape.caption_channels}), {a.text_tokens, a.text_tokens}};
    noise.normal(text.embeddings.as<float>());
    text.embeddings = upload(*backend, text.embeddings);
    const Tensor drawn = Tensor::host({2, 4, 32, 32});
    noise.normal(drawn.as<float>());
    const Tensor latents = upload(*backend, drawn), out = allocate(*backend, drawn.shape());
    const std::vector<float> timesteps{500.0F};
    const auto request = denoiser->prepare(ctx, timesteps, latents.shape(), a.text_tokens);
    denoiser->set_text(ctx, *request, text);
    backend->wait(backend->mark());

    BenchRow step{shape.name + ", one CFG step, " + std::to_string(a.text_tokens) + " text tokens", {}};
    for (int run = -a.warm_ups; run < a.runs; ++run) {
        tracer.clear();
        const auto start = std::chrono::steady_clock::now();
        denoiser->forward(ctx, *request, 0, latents, out);
        backend->wait(backend->mark());
        if (run < 0) continue;
        step.times_ms.push_back(elapsed_ms(start));
        step.flops = tracer.flops();
    }
    return {{step}, machine_name(backend->description() + ", " + std::string(name_of(compute))),
            measure_matrix_peak_gflops(*backend, compute)};
}

}  // namespace

int run_bench(const std::vector<std::string>& arguments) {
    Arguments a;
    a.request.prompt = "a red apple";
    CLI::App app{"Times stages and whole pictures (median, p10, p90, fraction of the matrix peak measured in the same run).", "t2i bench"};
    add_model_flags(app, a.model);
    app.add_option("-p,--prompt", a.request.prompt, "prompt of the timed pictures")->capture_default_str();
    app.add_option("--steps", a.request.steps, "denoising steps (default: the model's)");
    app.add_option("--cfg-scale", a.request.cfg_scale, "guidance (default: the model's)");
    app.add_option("--runs", a.runs, "timed runs")->check(CLI::Range(1, 10000))->capture_default_str();
    app.add_option("--warm-ups", a.warm_ups, "runs before them")->check(CLI::Range(0, 1000))->capture_default_str();
    auto* random = app.add_option("--random", a.random, "time one CFG step of a random model of this shape: pixart-xl-2");
    app.add_option("--text-tokens", a.text_tokens, "with --random")->check(CLI::Range(1, 4096))->capture_default_str()->needs(random);
    app.add_option("--op", a.op, "time one operation: linear, attention, conv2d, group_norm …")->excludes(random);
    app.add_option("--json", a.json, "write the figures to this file too");
    if (!parse(app, arguments)) return 0;

    const Report report = !a.op.empty() ? bench_operation(a) : !a.random.empty() ? bench_random(a) : bench_pictures(a);
    print_bench(report.rows, report.machine, report.peak_gflops);
    if (!a.json.empty()) {
        const std::string text = bench_json(report.rows, report.machine, report.peak_gflops);
        write_file_atomically(a.json, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    }
    return 0;
}

}  // namespace t2i::app
