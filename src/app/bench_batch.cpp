#include "app/bench_batch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "app/batch_report.h"
#include "app/bench_support.h"
#include "app/signals.h"
#include "backend/registry.h"
#include "batch/runner.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

namespace {

constexpr int separate_runs = 3;
// What is compared takes turns, so that a machine whose speed drifts slows all of it: ratios are medians over the turns.
constexpr int turns = 6;

// The i-th of different prompts: with as many digits, so about as many tokens; of a class-conditional model class after class.
std::string numbered_prompt(const std::string& prompt, const ModelInfo& info, int i) {
    return info.classes > 0 ? std::to_string(i % info.classes) : prompt + " " + std::to_string(i + 1000);
}

struct BatchTime {
    double ms = 0;          // a picture
    double denoise_ms = 0;  // of that, in the loop
    int batch_size = 0;     // that the run came to
};

// n different prompts through the runner, from the open file to the last synced journal line.
BatchTime time_batch(Engine& engine, const GenerateRequest& request, int n, int engine_batch, const batch::Interrupt& interrupt) {
    const TemporaryFolder folder;
    batch::BatchOptions options;
    options.input = folder.path() + "/prompts.txt";
    {
        std::ofstream file(options.input);
        for (int i = 0; i < n; ++i) file << numbered_prompt(request.prompt, engine.info(), i) << "\n";
    }
    options.output.folder = folder.path() + "/out";
    options.defaults = request;
    options.defaults.prompt.clear();
    options.engine_batch = engine_batch;
    BatchReport::Options quiet;
    quiet.quiet = true;
    quiet.list_files = false;
    BatchReport reporter(quiet);
    batch::Runner runner(engine, options, reporter, interrupt);
    const auto start = std::chrono::steady_clock::now();
    const batch::Status status = runner.run();
    if (interrupt.requested()) throw Error(ErrorCode::cancelled, "interrupted");
    const auto made = static_cast<double>(std::max<std::int64_t>(status.made, 1));
    return {elapsed_ms(start) / made, status.denoise_s * 1e3 / made, status.batch_size};
}

// The loop alone for n pictures or a few more, without text, decoding and files, as the engine's own clock has it.
BenchRow time_denoiser(Engine& engine, const GenerateRequest& request, int n, int batch_size) {
    const ResolvedRequest settings = engine.resolve(request);
    PictureJob job;
    job.prompt = engine.tokenize(numbered_prompt(request.prompt, engine.info(), 0), "prompt").ids;
    if (settings.guided) job.negative = engine.tokenize(request.negative_prompt, "negative_prompt").ids;
    std::vector<PictureJob> jobs(static_cast<std::size_t>(batch_size), job);
    for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].seed = i;
    BenchRow row{"denoiser alone, " + counted(settings.steps, "step") + ", " + std::to_string(batch_size) + " in a batch", {}};
    for (int made = 0; made < n; made += batch_size) {
        const StageTimes before = engine.times();
        engine.make(settings, jobs, {.picture = [](std::size_t, Engine::Picture) {}, .progress = {}});
        engine.flush();
        row.times_ms.push_back((engine.times().denoise_ms - before.denoise_ms) / batch_size);
        row.flops = (engine.times().denoise_flops - before.denoise_flops) / batch_size;
    }
    return row;
}

// This program, started anew for each picture.
double time_separate_run(const PipelineOptions& model, const GenerateRequest& request, const std::string& output) {
    std::vector<std::string> arguments{"t2i", "--quiet",   "-p",       request.prompt, "-o",      output,
                                       "-m",  model.model, "--device", model.device,   "--dtype", model.dtype};
    if (request.steps) arguments.insert(arguments.end(), {"--steps", std::to_string(*request.steps)});
    if (model.threads > 0) arguments.insert(arguments.end(), {"-t", std::to_string(model.threads)});
    for (const auto& [flag, value] : {std::pair{"--vae", model.vae},
                                      {"--base", model.base},
                                      {"--transformer", model.transformer},
                                      {"--text-encoder", model.text_encoder},
                                      {"--tokenizer", model.tokenizer},
                                      {"--as", model.formulas},
                                      {"--variant", model.variant}})
        if (!value.empty()) arguments.insert(arguments.end(), {flag, value});
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    const auto start = std::chrono::steady_clock::now();
    const pid_t pid = ::fork();
    if (pid < 0) throw Error(ErrorCode::resource, "cannot start another process");
    if (pid == 0) {
        if (std::freopen("/dev/null", "w", stdout)) ::execv("/proc/self/exe", argv.data());
        ::_exit(127);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw Error(ErrorCode::input, "a separate run of t2i failed");
    return elapsed_ms(start);
}

double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::string ratio(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.2f", value);
    return text.data();
}

}  // namespace

std::string default_prompt(const ModelInfo& info) {
    return info.classes > 0 ? "0" : "a red apple";
}

BenchReport bench_batch(const PipelineOptions& model, const GenerateRequest& request, int pictures, Tracer* tracer) {
    Engine engine(model, {.tracer = tracer});
    GenerateRequest r = request;
    if (!r.steps && engine.info().steps > 0) r.steps = engine.info().steps;
    if (r.prompt.empty()) r.prompt = default_prompt(engine.info());
    const Signals interrupt;
    static_cast<void>(time_batch(engine, r, std::min(pictures, 4), model.engine_batch, interrupt));  // warms up
    const int each = std::max((pictures + turns - 1) / turns, 4);
    const int batch_size = model.engine_batch > 0 ? std::min(model.engine_batch, each)
                                                  : time_batch(engine, r, each, 0, interrupt).batch_size;  // measures and chooses
    BenchRow denoiser{"", {}}, whole{"", {}}, own{"", {}}, single{"", {}};
    std::vector<double> of_denoiser, of_own, over_single;
    for (int turn = 0; turn < turns; ++turn) {
        const BatchTime batch = time_batch(engine, r, each, batch_size, interrupt);
        const BenchRow alone = time_denoiser(engine, r, each, batch_size);
        const BatchTime one = batch_size == 1 ? batch : time_batch(engine, r, each, 1, interrupt);
        denoiser.what = alone.what;
        denoiser.flops = alone.flops;
        denoiser.times_ms.push_back(mean(alone.times_ms));
        whole.times_ms.push_back(batch.ms);
        own.times_ms.push_back(batch.denoise_ms);
        single.times_ms.push_back(one.ms);
        of_denoiser.push_back(denoiser.times_ms.back() / batch.ms);
        of_own.push_back(batch.denoise_ms / batch.ms);
        over_single.push_back(one.ms / batch.ms);
    }
    BenchRow separate{"", {}};
    const TemporaryFolder folder;
    for (int i = 0; i < separate_runs; ++i) separate.times_ms.push_back(time_separate_run(model, r, folder.path() + "/a.png"));

    const double separate_ms = quantile(separate.times_ms, 0.5), whole_ms = quantile(whole.times_ms, 0.5);
    const auto backend = make_backend(engine.info().device, {.threads = model.threads});
    whole.what = "batch of " + std::to_string(turns * each) + ", end to end (" + ratio(quantile(of_denoiser, 0.5)) +
                 " of the denoiser's rate)";
    // Of the same seconds: what a backend without a queue is judged by.
    own.what = "its denoiser (" + ratio(quantile(of_own, 0.5)) + " of the batch's time)";
    single.what = "batch, one at a time (the batch is " + ratio(quantile(over_single, 0.5)) + " times as fast)";
    separate.what = "separate runs of t2i (the batch is " + ratio(separate_ms / whole_ms) + " times as fast)";
    return {{denoiser, whole, own, single, separate},
            machine_name(engine.info().runs_on),
            {.matrix_gflops =
                 measure_matrix_peak_gflops(*backend, engine.info().dtype == name_of(DType::bf16) ? DType::bf16 : DType::f32)}};
}

}  // namespace t2i::app
