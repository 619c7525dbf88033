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

#include "backend/registry.h"
#include "batch/runner.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

namespace {

constexpr int separate_runs = 3;
constexpr int timed_pictures = 20;  // of the denoiser alone, at least

class TemporaryFolder {
  public:
    TemporaryFolder() : path_((fs::temp_directory_path() / "t2i-bench-XXXXXX").string()) {
        if (!::mkdtemp(path_.data())) throw Error(ErrorCode::input, "cannot make a temporary folder", path_);
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

double elapsed_ms(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// The i-th of different prompts: with as many digits, so about as many tokens; of a class-conditional model class after class.
std::string numbered_prompt(const std::string& prompt, const ModelInfo& info, int i) {
    return info.classes > 0 ? std::to_string(i % info.classes) : prompt + " " + std::to_string(i + 1000);
}

struct BatchTime {
    double ms = 0;     // a picture
    double denoise_ms = 0;  // of that, in the loop
    int together = 0;  // in the last full batch
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
    batch::Reporter::Options quiet;
    quiet.quiet = true;
    quiet.list_files = false;
    batch::Reporter reporter(quiet);
    batch::Runner runner(engine, options, reporter, interrupt);
    engine.times() = {};
    const auto start = std::chrono::steady_clock::now();
    const batch::Status status = runner.run();
    if (interrupt.asked()) throw Error(ErrorCode::interrupted, "interrupted");
    const auto made = static_cast<double>(std::max<std::int64_t>(status.made, 1));
    return {elapsed_ms(start) / made, status.denoise_s * 1e3 / made, status.together};
}

// The loop alone, without text, decoding and files, as the engine's own clock has it.
BenchRow time_denoiser(Engine& engine, const GenerateRequest& request, int together) {
    const ResolvedRequest settings = engine.resolve(request);
    PictureJob job;
    job.prompt = engine.tokenize(numbered_prompt(request.prompt, engine.info(), 0), "--prompt").ids;
    if (settings.guided) job.negative = engine.tokenize(request.negative_prompt, "--negative-prompt").ids;
    std::vector<PictureJob> jobs(static_cast<std::size_t>(together), job);
    for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].seed = i;
    BenchRow row{"denoiser alone, " + std::to_string(settings.plan.steps.size()) + " steps, " + std::to_string(together) + " together", {}};
    for (int run = -1; run * together < timed_pictures; ++run) {  // the first warms up
        engine.times() = {};
        engine.make(settings, jobs, {[](std::size_t, Engine::Picture) {}, {}});
        engine.flush();
        if (run < 0) continue;
        row.times_ms.push_back(engine.times().denoise_ms / together);
        row.flops = engine.times().denoise_flops / together;
    }
    return row;
}

// This program, started anew for each picture.
double time_separate_run(const PipelineOptions& model, const GenerateRequest& request, const std::string& output) {
    std::vector<std::string> arguments{"t2i",     "--quiet",    "-p",    request.prompt, "-o",      output,      "-m",
                                       model.model, "--device", model.device, "--dtype",      model.dtype, "--steps", std::to_string(*request.steps)};
    if (model.threads > 0) arguments.insert(arguments.end(), {"-t", std::to_string(model.threads)});
    if (!model.vae.empty()) arguments.insert(arguments.end(), {"--vae", model.vae});
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

std::string ratio(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.2f", value);
    return text.data();
}

}  // namespace

std::string default_prompt(const ModelInfo& info) {
    return info.classes > 0 ? "0" : "a red apple";
}

BenchReport bench_batch(const PipelineOptions& model, const GenerateRequest& request, int pictures) {
    Engine engine(model);
    GenerateRequest r = request;
    if (!r.steps) r.steps = engine.info().steps;
    if (r.prompt.empty()) r.prompt = default_prompt(engine.info());
    const batch::Interrupt interrupt;
    static_cast<void>(time_batch(engine, r, std::min(pictures, 4), model.engine_batch, interrupt));  // warms up
    // The denoiser alone in the middle of the file: a machine whose speed drifts would favour one of them otherwise.
    const int half = std::max(pictures / 2, 1);
    const BatchTime before = time_batch(engine, r, half, model.engine_batch, interrupt);
    const int together = model.engine_batch > 0 ? std::min(model.engine_batch, half) : before.together;
    const BenchRow denoiser = time_denoiser(engine, r, together);
    const BatchTime after = time_batch(engine, r, half, together, interrupt);
    const BatchTime whole{(before.ms + after.ms) / 2, (before.denoise_ms + after.denoise_ms) / 2, together};
    const BatchTime single = together == 1 ? whole : time_batch(engine, r, pictures, 1, interrupt);
    BenchRow separate{"", {}};
    const TemporaryFolder folder;
    for (int i = 0; i < separate_runs; ++i) separate.times_ms.push_back(time_separate_run(model, r, folder.path() + "/a.png"));

    // A mean, as that of the batch is one.
    const double own_ms = std::accumulate(denoiser.times_ms.begin(), denoiser.times_ms.end(), 0.0) / static_cast<double>(denoiser.times_ms.size());
    const double separate_ms = quantile(separate.times_ms, 0.5);
    const auto backend = make_backend(engine.info().device, {.threads = model.threads});
    separate.what = "separate runs of t2i (the batch is " + ratio(separate_ms / whole.ms) + " times as fast)";
    return {{denoiser,
             {"batch of " + std::to_string(2 * half) + ", end to end (" + ratio(own_ms / whole.ms) + " of the denoiser's rate)", {whole.ms}},
             // Of the same seconds, so that a busy machine slows both: what a backend without a queue is judged by.
             {"its denoiser (" + ratio(whole.denoise_ms / whole.ms) + " of the batch's time)", {whole.denoise_ms}},
             {"batch, one at a time (the batch is " + ratio(single.ms / whole.ms) + " times as fast)", {single.ms}},
             separate},
            machine_name(engine.info().runs_on),
            {.matrix_gflops = measure_matrix_peak_gflops(*backend, engine.info().dtype == name_of(DType::bf16) ? DType::bf16 : DType::f32)}};
}

}  // namespace t2i::app
