// t2i batch FILE -o FOLDER: a prompt file to pictures; --verify, --merge and --dry-run about such a folder.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "app/arguments.h"
#include "app/batch_report.h"
#include "app/command.h"
#include "app/exit_code.h"
#include "app/signals.h"
#include "app/standard_streams.h"
#include "batch/dry_run.h"
#include "batch/folder.h"
#include "batch/runner.h"
#include "core/escape.h"
#include "core/files.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

struct Arguments {
    PipelineOptions model;
    batch::BatchOptions batch;
    BatchReport::Options report;
    std::vector<std::string> inputs;
    std::string engine_batch = "auto", input_format, format = "png", shard, log_format = "text";
    long long seed = 42;
    bool verify = false, merge = false, dry_run = false, no_metadata = false;
};

constexpr const char* footer =
    "FILE: .txt (one prompt a line, or flags: --prompt \"…\" --seed 7 --steps 20), .jsonl, .csv, .tsv, or - for standard input.\n"
    "Names: prompt, negative_prompt, seed, steps, cfg_scale, width, height, sampler_name, scheduler, batch_size, id.\n"
    "The same command again goes on where it stopped. In a Slurm or Open MPI job each task makes its own share.\n"
    "Exit codes: 0 done, 2 usage, 3 input or output, 4 device or memory, 5 some lines failed (failed.jsonl), 130 interrupted.";

void add_defaults(CLI::App& app, Arguments& a) {
    GenerateRequest& r = a.batch.defaults;
    app.add_option("-n,--negative-prompt", r.negative_prompt, "of lines without one");
    app.add_option("--steps", r.steps, "of lines without their own (default: the model's; also the flags below)");
    app.add_option("--cfg-scale", r.cfg_scale, "guidance; 1 turns it off");
    app.add_option("-s,--seed", a.seed, "of lines without their own; below 0: one that follows from the id")
        ->capture_default_str();
    app.add_option("-W,--width", r.width, "pixels");
    app.add_option("-H,--height", r.height, "pixels");
    app.add_option("--sampling-method", r.sampler, "sampler (t2i --sampling-method list)");
    app.add_option("--scheduler", r.scheduler, "discrete, karras or flow");
}

void add_flags(CLI::App& app, Arguments& a) {
    app.add_option("FILE", a.inputs, "prompt file, or - for standard input; with --merge: folders to merge into --output");
    app.add_option("-o,--output", a.batch.output.folder, "folder of the pictures; made when it is not there")->required();
    add_defaults(app, a);
    add_model_flags(app, a.model);
    app.remove_option(app.get_option("--engine-batch"));
    app.add_option("--engine-batch", a.engine_batch, "pictures made at a time: a number, or auto (measured); changes no picture")
        ->capture_default_str();
    app.add_option("--text-cache", a.model.text_cache_folder, "folder where encoded prompts are kept for later runs");
    app.add_option("--input-format", a.input_format, "txt, jsonl, csv or tsv (default: by the file's name; txt for -)");
    app.add_option("--format", a.format, "png (a file each) or webdataset (tar shards)")
        ->check(CLI::IsMember({"png", "webdataset"}))
        ->capture_default_str();
    app.add_option("--tar-samples", a.batch.output.samples_per_tar, "pictures in a tar shard")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    app.add_option("--name", a.batch.output.name, "file names: {id} {seed} {prompt} {number} {width} {height} {steps} {sampler}")
        ->capture_default_str();
    app.add_option("--shard", a.shard, "I/N: make part I of N, from 0 (default: from Slurm's or Open MPI's variables)");
    auto* verify = app.add_flag("--verify", a.verify, "compare every file with the journal");
    auto* merge = app.add_flag("--merge", a.merge, "make one journal and manifest of all shards'")->excludes(verify);
    app.add_flag("--dry-run", a.dry_run, "count, estimate time and disk, write nothing")->excludes(verify)->excludes(merge);
    app.add_flag("--retry-failed", a.batch.retry_failed, "try again what failed in an earlier run");
    app.add_flag("--quick-check", a.batch.quick_check, "trust the size of finished files instead of reading them again");
    app.add_flag("--no-metadata", a.no_metadata, "leave the parameters out of the PNGs");
    app.add_flag("-q,--quiet", a.report.quiet, "print failures and errors only");
    app.add_option("--log-format", a.log_format, "text or json (lines on standard error)")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    app.add_option(
        "--metrics-file", a.report.metrics_file,
        "Prometheus' text format, rewritten every 5 seconds; - prints it once, at the end, in place of the files' names");
}

int engine_batch(const std::string& text) {
    if (text == "auto") return 0;
    const int value = parse_number<int>(text).value_or(0);
    if (value < 1 || value > 4096)
        throw Error(ErrorCode::invalid_argument, "\"" + text + "\" is neither auto nor a number from 1 to 4096",
                    "--engine-batch");
    return value;
}

void print_estimate(const batch::Estimate& e, bool json) {
    const double mib = e.disk_bytes / (1 << 20), free_mib = e.free_bytes / (1 << 20);
    if (json) {
        std::printf(
            "{\"lines\":%lld,\"bad_lines\":%lld,\"pictures\":%lld,\"done\":%lld,\"failed_before\":%lld,\"to_make\":%lld,"
            "\"seconds\":%.3f,"
            "\"disk_bytes\":%.0f,\"free_bytes\":%.0f}\n",
            static_cast<long long>(e.lines), static_cast<long long>(e.bad_lines), static_cast<long long>(e.pictures),
            static_cast<long long>(e.done), static_cast<long long>(e.failed_before), static_cast<long long>(e.to_make), e.seconds,
            e.disk_bytes, e.free_bytes);
        return;
    }
    std::printf("lines     %lld, %lld of them bad\n", static_cast<long long>(e.lines), static_cast<long long>(e.bad_lines));
    std::printf("pictures  %lld: %lld done, %lld failed before, %lld to make\n", static_cast<long long>(e.pictures),
                static_cast<long long>(e.done), static_cast<long long>(e.failed_before), static_cast<long long>(e.to_make));
    std::printf("time      about %s, one at a time\n", batch::duration_text(e.seconds).c_str());
    std::printf("disk      about %.1f MiB of %.0f MiB free\n", mib, free_mib);
}

void tell(FileSystemLacks& lacks) {
    if (const std::string line = lacks.take_line(); !line.empty()) print_warning(LogLevel::warning, line);
}

int verify(const Arguments& a) {
    FileSystemLacks lacks;
    const auto r = batch::verify_folder(
        a.batch.output.folder,
        [](const std::string& path, const std::string& what) { std::printf("%s\n", escaped(path + ": " + what).c_str()); },
        lacks);
    tell(lacks);
    std::printf("%lld good, %lld missing or damaged, %lld unknown, %lld failed\n", static_cast<long long>(r.good),
                static_cast<long long>(r.bad), static_cast<long long>(r.unknown), static_cast<long long>(r.failed));
    return r.bad == 0 && r.unknown == 0 ? 0 : static_cast<int>(ExitCode::input);
}

int merge(const Arguments& a) {
    FileSystemLacks lacks;
    const auto r = batch::merge_folders(a.batch.output.folder, a.inputs, lacks);
    tell(lacks);
    std::printf("%lld journals merged: %lld pictures, %lld failed\n", static_cast<long long>(r.journals),
                static_cast<long long>(r.pictures), static_cast<long long>(r.failed));
    return 0;
}

// "shard 3/16 (SLURM_ARRAY_TASK_ID)".
std::string shard_text(const batch::Shard& shard) {
    return "shard " + std::to_string(shard.index) + "/" + std::to_string(shard.count) + " (" + shard.source + ")";
}

batch::Shard shard_from_environment() {
    try {
        return batch::shard_from_environment([](const char* name) -> const char* { return std::getenv(name); });
    } catch (const Error& error) {
        throw Error(error.code(), error.message() + "; or say the part with --shard I/N (0/1: the whole file)", error.where());
    }
}

void complete(Arguments& a) {
    batch::BatchOptions& b = a.batch;
    if (a.inputs.size() != 1)
        throw Error(ErrorCode::invalid_argument, a.inputs.empty() ? "no prompt file given" : "more than one prompt file given",
                    "FILE");
    b.input = a.inputs.front();
    b.format = a.input_format.empty() ? batch::format_of(b.input) : batch::format_named(a.input_format);
    b.output.webdataset = a.format == "webdataset";
    batch::check_name_template(b.output.name);
    b.engine_batch = engine_batch(a.engine_batch);
    b.picks_seed = a.seed < 0;
    b.defaults.seed = a.seed < 0 ? 0 : static_cast<std::uint64_t>(a.seed);
    b.metadata = !a.no_metadata;
    b.vae = a.model.vae;
    b.shard = a.shard.empty() ? shard_from_environment() : batch::parse_shard(a.shard);
    if (!a.shard.empty()) b.shard.source = "--shard";
    a.report.json = a.log_format == "json";
    a.report.metrics_file = output_path(a.report.metrics_file);
    if (!a.report.metrics_file.empty()) check_can_be_written(a.report.metrics_file);
    if (a.model.model.empty()) a.model.model = bundled_model();
}

}  // namespace

int run_batch(const std::vector<std::string>& arguments) {
    Arguments a;
    CLI::App app{"Makes a picture of every line of a prompt file, resumably, on one machine or many.", "t2i batch"};
    app.footer(footer);
    app.set_config("--config", "", "a TOML file with these flags; the command line wins");
    add_flags(app, a);
    if (!parse(app, arguments)) return 0;
    while (a.batch.output.folder.size() > 1 && a.batch.output.folder.ends_with('/')) a.batch.output.folder.pop_back();
    if (a.verify) return verify(a);
    if (a.merge) return merge(a);
    complete(a);
    // Found out before a model is loaded. A pipe can be opened only once.
    if (!std::filesystem::is_fifo(a.batch.input)) static_cast<void>(batch::open_source(a.batch.input));

    const Signals interrupt;
    Engine engine(a.model);
    BatchReport reporter(a.report);
    if (!a.batch.shard.is_whole() && a.shard.empty())
        reporter.notice(shard_text(a.batch.shard) + ": this task makes its part alone; --shard 0/1 makes the whole file");
    if (a.dry_run) {
        print_estimate(batch::dry_run(engine, a.batch,
                                      [&](std::int64_t line, const std::string& reason) { reporter.failed(line, {}, reason); }),
                       a.report.json);
        return 0;
    }
    batch::Runner runner(engine, a.batch, reporter, interrupt);
    reporter.started(engine.info().name + " on " + engine.info().runs_on +
                     (a.shard.empty() || a.batch.shard.is_whole() ? "" : ", " + shard_text(a.batch.shard)));
    const batch::Status status = runner.run();
    if (interrupt.requested()) return static_cast<int>(ExitCode::interrupted);
    return status.failed > 0 ? static_cast<int>(ExitCode::partial) : 0;
}

}  // namespace t2i::app
