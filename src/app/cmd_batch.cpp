// t2i batch FILE -o FOLDER: a prompt file to pictures; --verify, --merge and --dry-run about such a folder.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "app/arguments.h"
#include "app/batch_report.h"
#include "app/command.h"
#include "app/config_file.h"
#include "app/exit_code.h"
#include "app/output_names.h"
#include "app/picture_flags.h"
#include "app/signals.h"
#include "app/standard_streams.h"
#include "batch/dry_run.h"
#include "batch/encoding.h"
#include "batch/folder.h"
#include "batch/runner.h"
#include "core/escape.h"
#include "core/files.h"
#include "core/number_text.h"
#include "pipeline/request.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::app {

namespace {

struct Arguments {
    PipelineOptions model;
    batch::BatchOptions batch;
    BatchReport::Options report;
    std::vector<std::string> inputs;
    PictureFlags picture;
    std::string engine_batch = "auto", input_format, format = "files", shard, log_format = "text";
    std::optional<int> tar_samples;
    Seed seed{.value = 42};
    bool verify = false, merge = false, dry_run = false, no_metadata = false;
};

constexpr const char* footer =
    "FILE: .txt (one prompt a line, or flags: --prompt \"…\" --seed 7 --steps 20; a pasted infotext), .jsonl, .json, .csv, "
    ".tsv,\n"
    "packed with gzip or not, or - for standard input. Of .txt, blank lines and lines that begin with # are passed over.\n"
    "Names: prompt, negative_prompt, seed, steps, cfg_scale, width, height, sampler_name, scheduler, clean_caption, "
    "resolution_binning,\n"
    "init_image, mask, strength, resize_mode, keep_unmasked, batch_size, n_iter, id; other columns go into the manifest.\n"
    "Paths of init_image and mask in FILE begin at FILE's folder.\n"
    "Files are named by --name; over 10,000 pictures they go to 256 sub-folders, 00 to ff, by a hash of the id.\n"
    "Beside them: journal.jsonl (what is done), manifest.jsonl (each picture's file and parameters), failed.jsonl.\n"
    "The same command again goes on where it stopped: new lines are made; a picture that its line asks for otherwise now (other\n"
    "settings, flags, model or dtype) is left as it is, named, and counted as exit code 5, unless --remake says to make it "
    "again;\n"
    "one without an id whose settings changed is another picture, made beside the earlier one.\n"
    "A file that is in no journal is never replaced. In a Slurm or Open MPI job each task makes its own share.\n"
    "Exit codes: 0 done, 2 usage, 3 input or output, 4 device or memory, 5 some lines failed or were left (failed.jsonl), 130 "
    "interrupted.";

void add_defaults(CLI::App& app, Arguments& a) {
    GenerateRequest& r = a.batch.defaults;
    app.add_option("-n,--negative-prompt", r.negative_prompt, "of lines without one");
    add_whole(app, "--steps", r.steps, 1, most_steps, "of lines without their own (default: the model's; also the flags below)");
    add_real(app, "--cfg-scale", r.cfg_scale, "guidance; 1 turns it off");
    add_seed(app, "-s,--seed", a.seed, "of lines without their own; below 0: one that follows from the id");
    add_whole(app, "-W,--width", r.width, 1, longest_side, "pixels");
    add_whole(app, "-H,--height", r.height, 1, longest_side, "pixels");
    app.add_option("--sampling-method", r.sampler, "sampler (t2i --sampling-method list)")->type_name(sampler_choices(false));
    app.add_option("--scheduler", r.scheduler, "noise schedule")->type_name(schedule_choices());
    add_init_image_flags(app, r);
    add_caption_flags(app, r);
}

void add_flags(CLI::App& app, Arguments& a) {
    app.add_option("FILE", a.inputs, "prompt file, or - for standard input; with --merge: folders to merge into --output")
        ->type_name("PATH");
    app.add_option("-o,--output", a.batch.output.folder, "folder of the pictures; made when it is not there")
        ->type_name("FOLDER")
        ->required();
    add_defaults(app, a);
    add_model_flags(app, a.model);
    app.remove_option(app.get_option("--engine-batch"));
    app.add_option("--engine-batch", a.engine_batch, "pictures made at a time: a number, or auto (measured); changes no picture")
        ->capture_default_str();
    app.add_option("--text-cache", a.model.text_cache_folder, "folder where encoded prompts are kept for later runs")
        ->type_name("FOLDER");
    app.add_option("--input-format", a.input_format, "of FILE (default: by its name and content)")
        ->type_name("{txt,jsonl,json,csv,tsv}");
    app.add_option("--encoding", a.batch.prompts.encoding, "of FILE, such as gbk (default: by its byte-order mark, else UTF-8)");
    app.add_option("--prompt-column", a.batch.prompts.prompt_column, "column or key that holds the prompt (default: prompt)");
    app.add_option("--format", a.format, "a file each (png is an older word for that), or tar shards")
        ->check(CLI::IsMember({"files", "webdataset", "png"}))
        ->capture_default_str();
    a.picture.add_to(app, "of the pictures (default: png)");
    add_whole(app, "--tar-samples", a.tar_samples, 1, 1'000'000, "pictures in a tar shard (default: 1000)");
    app.add_option("--name", a.batch.output.name, "file names: {id} {seed} {prompt} {number} {width} {height} {steps} {sampler}")
        ->capture_default_str();
    app.add_option("--shard", a.shard, "I/N: make part I of N, from 0 (default: from Slurm's or Open MPI's variables)");
    auto* verify = app.add_flag("--verify", a.verify, "compare every file, and the manifest, with the journal");
    auto* merge = app.add_flag("--merge", a.merge, "make one journal and manifest of all shards'")->excludes(verify);
    app.add_flag("--dry-run", a.dry_run, "count, estimate time and disk, write nothing; exits as the run would")
        ->excludes(verify)
        ->excludes(merge);
    app.add_flag("--retry-failed", a.batch.retry_failed, "try again what failed in an earlier run");
    app.add_flag("--remake", a.batch.remake,
                 "make pictures again that an earlier run made from another request, model, dtype or flags, or that were changed "
                 "since (default: they are left, and named)");
    app.add_flag("--quick-check", a.batch.quick_check, "trust the size of finished files instead of reading them again");
    app.add_flag("--no-metadata", a.no_metadata, "leave the parameters out of the files");
    app.add_flag("-q,--quiet", a.report.quiet, "print failures and errors only");
    app.add_option("--log-format", a.log_format, "text or json (lines on standard error)")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    app.add_option(
           "--metrics-file", a.report.metrics_file,
           "Prometheus' text format, rewritten every 5 seconds; - prints it once, at the end, in place of the files' names")
        ->type_name("FILE");
}

int engine_batch(const std::string& text) {
    if (text == "auto") return 0;
    std::int64_t value = 0;
    if (!read_whole(text, 1, 4096, value).empty())
        throw Error(ErrorCode::invalid_argument, "\"" + text + "\" is neither auto nor a number from 1 to 4096",
                    "--engine-batch");
    return static_cast<int>(value);
}

std::string mib_text(double bytes) {
    const double mib = bytes / (1 << 20);
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), mib < 100 ? "%.1f MiB" : "%.0f MiB", mib);
    return text.data();
}

void print_estimate(const batch::Estimate& e, bool json) {
    if (json) {
        std::printf(
            "{\"lines\":%lld,\"bad_lines\":%lld,\"pictures\":%lld,\"done\":%lld,\"failed_before\":%lld,\"left\":%lld,"
            "\"taken\":%lld,\"to_make\":%lld,\"changed\":%lld,\"seconds\":%.3f,\"disk_bytes\":%.0f,\"free_bytes\":%.0f}\n",
            static_cast<long long>(e.lines), static_cast<long long>(e.bad_lines), static_cast<long long>(e.pictures),
            static_cast<long long>(e.done), static_cast<long long>(e.failed_before), static_cast<long long>(e.left),
            static_cast<long long>(e.taken), static_cast<long long>(e.to_make), static_cast<long long>(e.changed), e.seconds,
            e.disk_bytes, e.free_bytes);
        return;
    }
    std::printf("lines     %lld, %lld of them bad\n", static_cast<long long>(e.lines), static_cast<long long>(e.bad_lines));
    std::printf("pictures  %lld: %lld done, %lld failed before, %lld to make\n", static_cast<long long>(e.pictures),
                static_cast<long long>(e.done), static_cast<long long>(e.failed_before), static_cast<long long>(e.to_make));
    if (e.changed > 0)
        std::printf("remade    %lld of those to make take the place of earlier ones\n", static_cast<long long>(e.changed));
    if (e.left > 0)
        std::printf("left      %lld as they are, made otherwise by earlier runs (--remake makes them again)\n",
                    static_cast<long long>(e.left));
    if (e.taken > 0)
        std::printf("taken     %lld whose file's name is taken, by a file in no journal or an earlier line; they will fail\n",
                    static_cast<long long>(e.taken));
    std::printf("time      about %s, one at a time\n", batch::duration_text(e.seconds).c_str());
    std::printf("disk      about %s of %s free\n", mib_text(e.disk_bytes).c_str(), mib_text(e.free_bytes).c_str());
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
    if (r.manifest > 0) std::printf("the manifest does not match the journal\n");
    return r.bad == 0 && r.unknown == 0 && r.manifest == 0 ? 0 : static_cast<int>(ExitCode::input);
}

int merge(const Arguments& a) {
    FileSystemLacks lacks;
    const auto r = batch::merge_folders(a.batch.output.folder, a.inputs, lacks);
    tell(lacks);
    std::printf("%s merged: %s, %lld failed\n", counted(r.journals, "journal").c_str(), counted(r.pictures, "picture").c_str(),
                static_cast<long long>(r.failed));
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
    if (!a.input_format.empty()) b.prompts.format = batch::format_named(a.input_format);
    b.output.webdataset = a.format == "webdataset";
    if (a.tar_samples && !b.output.webdataset)
        throw Error(ErrorCode::invalid_argument, "without --format webdataset there are no tar shards", "--tar-samples");
    if (b.output.webdataset && b.output.name != batch::OutputOptions{}.name)
        throw Error(ErrorCode::invalid_argument, "samples of --format webdataset are named by their ids", "--name");
    if (a.tar_samples) b.output.samples_per_tar = *a.tar_samples;
    b.output.encoding = a.picture.encoding(a.picture.format().value_or(PictureFormat::png));
    batch::check_name_template(b.output.name);
    check_utf8(b.defaults.negative_prompt, "negative_prompt");
    b.engine_batch = engine_batch(a.engine_batch);
    b.picks_seed = a.seed.picks;
    b.defaults.seed = a.seed.value;
    b.metadata = !a.no_metadata;
    b.vae = a.model.vae;
    b.shard = a.shard.empty() ? shard_from_environment() : batch::parse_shard(a.shard);
    if (!a.shard.empty()) b.shard.source = "--shard";
    a.report.json = a.log_format == "json";
    a.report.metrics_file = output_path(a.report.metrics_file);
    if (!a.report.metrics_file.empty()) check_can_be_written(a.report.metrics_file);
    if (a.model.model.empty()) a.model.model = bundled_model();
}

// The metrics' file replaces neither what the run reads nor what it keeps its accounts in.
void check_metrics_file(const Arguments& a, const std::string& config) {
    const std::string& metrics = a.report.metrics_file;
    refuse_same_file("--metrics-file", metrics, a.batch.input, "the prompt file");
    refuse_same_file("--metrics-file", metrics, config, "the file of --config");
    const std::filesystem::path path(metrics);
    const std::string name = path.filename().string();
    for (const char* stem : {"journal", "manifest", "failed"})
        if (name.starts_with(stem) && name.ends_with(".jsonl"))
            refuse_same_file("--metrics-file", metrics, a.batch.output.folder + "/" + name, "a file of the run's own");
}

// What is wrong with the whole file is found out before a model is loaded. A pipe can be opened only once.
void check_prompt_file(const batch::BatchOptions& options) {
    if (!options.prompts.encoding.empty()) batch::check_encoding(options.prompts.encoding);
    const auto kind = std::filesystem::status(options.input).type();
    if (options.input == "-" || kind == std::filesystem::file_type::fifo || kind == std::filesystem::file_type::character) return;
    batch::PromptEntry first;
    static_cast<void>(batch::open_prompts(options.input, options.prompts)->next(first));
}

}  // namespace

int run_batch(const CommandLine& line) {
    Arguments a;
    CLI::App app{"Makes a picture of every line of a prompt file, resumably, on one machine or many.", "t2i batch"};
    app.footer(footer);
    add_config_flag(app);
    add_flags(app, a);
    if (!parse(app, line)) return 0;
    refuse_standard_output("--output", a.batch.output.folder, "the pictures of a batch; name a folder");
    refuse_standard_output("--text-cache", a.model.text_cache_folder, "encoded prompts; name a folder");
    while (a.batch.output.folder.size() > 1 && a.batch.output.folder.ends_with('/')) a.batch.output.folder.pop_back();
    if (a.verify) return verify(a);
    if (a.merge) return merge(a);
    complete(a);
    check_metrics_file(a, config_path(app));
    check_prompt_file(a.batch);

    const Signals interrupt;
    Engine engine(a.model);
    BatchReport reporter(a.report);
    if (!a.batch.shard.is_whole() && a.shard.empty())
        reporter.notice(shard_text(a.batch.shard) + ": this task makes its part alone; --shard 0/1 makes the whole file");
    if (a.dry_run) {
        const batch::Estimate estimate = batch::dry_run(engine, a.batch, reporter);
        for (const auto& note : estimate.notes) reporter.warning(note);
        print_estimate(estimate, a.report.json);
        if (estimate.disk_bytes > estimate.free_bytes) {
            reporter.warning("the pictures take more room than the disk has: about " + mib_text(estimate.disk_bytes) + " of " +
                             mib_text(estimate.free_bytes) + " free");
            return static_cast<int>(ExitCode::input);
        }
        return estimate.has_failures() ? static_cast<int>(ExitCode::partial) : 0;  // as the run itself would
    }
    batch::Runner runner(engine, a.batch, reporter, interrupt);
    reporter.started(engine.info().name + " on " + engine.info().runs_on +
                     (a.shard.empty() || a.batch.shard.is_whole() ? "" : ", " + shard_text(a.batch.shard)));
    const batch::Status status = runner.run();
    if (interrupt.requested()) return static_cast<int>(ExitCode::interrupted);
    return status.failed + status.left > 0 ? static_cast<int>(ExitCode::partial) : 0;
}

}  // namespace t2i::app
