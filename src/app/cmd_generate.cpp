// t2i [generate] --prompt TEXT -o out.png
#include <chrono>
#include <cstdio>
#include <exception>
#include <mutex>
#include <random>

#include "app/arguments.h"
#include "app/command.h"
#include "app/config_file.h"
#include "app/output_names.h"
#include "app/picture_flags.h"
#include "app/progress_bar.h"
#include "app/signals.h"
#include "app/standard_streams.h"
#include "app/trace_flag.h"
#include "core/escape.h"
#include "core/folders.h"
#include "pipeline/picture_encode.h"
#include "pipeline/picture_format.h"
#include "pipeline/picture_writer.h"
#include "pipeline/pipeline_access.h"
#include "pipeline/request.h"
#include "sampling/sampler.h"
#include "t2i/error.h"
#include "t2i/version.h"

namespace t2i::app {

namespace {

struct Arguments {
    PipelineOptions model;
    GenerateRequest request;
    Seed seed{.value = 42};
    std::string output = "out.png";
    PictureFlags picture;
    bool quiet = false, verbose = false, no_metadata = false;
    TraceFlag trace;
};

// The commands stand in the table that holds this one, too.
std::string footer() {
    return "--output: several pictures of a plain name are name_0.png, name_1.png and so on, those in a folder 000.png, "
           "001.png.\n"
           "The last folder is made when it is not there. In the last part of a name %d or %03d is the picture's number, %% a "
           "percent "
           "sign.\n"
           "Files that exist are replaced, also by the numbered names of -b.\n"
           "--init-image: the picture's pixels are brought to -W and -H by Lanczos' filter, noised, and go through the last\n"
           "steps x strength steps, as in diffusers' img2img pipelines; a model needs its autoencoder's encoder for it. --mask "
           "tells\n"
           "latents apart, so its edge follows blocks of 8 pixels.\n"
           "--clean-caption, --resolution-binning: a plain call of diffusers' PixArt pipelines does both. One step of the first "
           "is left out:\n"
           "ftfy's repair of text that was decoded by the wrong encoding.\n"
           "\nCommands (t2i help COMMAND, or t2i COMMAND --help):\n" +
           list_of_commands() + "\nExit codes: 0 done, 2 usage, 3 input or output, 4 device or memory, 130 interrupted.";
}

void add_flags(CLI::App& app, Arguments& a) {
    app.add_option("-p,--prompt", a.request.prompt, "what to draw (UTF-8); of a class-conditional model a class's name or number")
        ->required();
    app.add_option("-n,--negative-prompt", a.request.negative_prompt,
                   "what to stay away from; of a class-conditional model another class (default: none)");
    app.add_option("-o,--output", a.output,
                   "a name that ends in " + known_extensions() + ", a folder, or - for standard output (see below)")
        ->type_name("PATH")
        ->capture_default_str();
    a.picture.add_to(app, "of pictures in a folder (default: png); a file's name says its own");
    add_whole(app, "--steps", a.request.steps, 1, most_steps, "denoising steps (default: the model's)");
    add_real(app, "--cfg-scale", a.request.cfg_scale, "guidance; 1 turns it off (default: the model's)");
    add_seed(app, "-s,--seed", a.seed, "picture i has seed + i; below 0 picks one and prints it");
    add_whole(app, "-W,--width", a.request.width, 1, longest_side, "pixels (default: the model's)");
    add_whole(app, "-H,--height", a.request.height, 1, longest_side, "pixels (default: the model's)");
    add_whole(app, "-b,--batch-count", a.request.count, 1, most_pictures, "pictures");
    app.add_option("--sampling-method", a.request.sampler, "sampler, or list (default: the model's)")
        ->type_name(sampler_choices(true));
    app.add_option("--scheduler", a.request.scheduler, "noise schedule (default: the model's)")->type_name(schedule_choices());
    add_init_image_flags(app, a.request);
    add_caption_flags(app, a.request);
    add_model_flags(app, a.model);
    auto* quiet = app.add_flag("-q,--quiet", a.quiet, "print errors only");
    app.add_flag("-v,--verbose", a.verbose, "print times by stage, and what of the model no config file says")->excludes(quiet);
    app.add_flag("--no-metadata", a.no_metadata, "leave the parameters out of the file");
    a.trace.add_to(app);
}

void list_samplers() {
    for (const auto& row : samplers()) std::printf("%-14s %s\n", row.name.c_str(), row.description.c_str());
}

void print_times(const Pipeline& pipeline, double load_ms, double write_ms) {
    const StageTimes t = pipeline.last_times();
    std::fprintf(stderr,
                 "load %.1f ms, text %.1f ms, prepare %.1f ms, denoise %.1f ms (%.0f GFLOP/s), decode %.1f ms (%.0f GFLOP/s), "
                 "write %.1f ms\n",
                 load_ms + t.load_ms, t.text_ms, t.prepare_ms, t.denoise_ms, t.denoise_flops / t.denoise_ms * 1e-6, t.decode_ms,
                 t.decode_flops / t.decode_ms * 1e-6, write_ms);
}

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// The first signal lets the step end and leaves no file. Returns the time from the last picture to its file, ms.
double make_pictures(Pipeline& pipeline, const Arguments& a, const OutputNames& names, Tracer* tracer, const Signals& signals) {
    ProgressBar bar(!a.quiet);
    std::mutex screen;  // the bar and the names of written files share it
    const bool lists_files = !is_standard_output(names.path(0)) && !a.trace.takes_output();
    const auto written = [&](const std::string& path) {
        const std::lock_guard lock(screen);
        if (!lists_files) return;
        bar.clear();
        std::printf("%s\n", listed(path).c_str());
        std::fflush(stdout);
    };
    const PictureEncoding encoding = a.picture.encoding(names.format());
    PictureWriter writer(written, tracer);
    Clock::time_point last_picture = Clock::now();
    const auto save = [&](int index, Image image) {
        last_picture = Clock::now();
        if (a.no_metadata) image.parameters.clear();
        if (!names.folder().empty()) make_folder(names.folder());  // not before there is something to put into it
        writer.write(names.path(index), std::move(image), encoding);
    };
    const auto step = [&](const Progress& progress) {
        const std::lock_guard lock(screen);
        bar.update(progress);
        return !signals.requested();
    };
    const auto warn = [&](const std::string& line) {
        if (a.quiet) return;
        const std::lock_guard lock(screen);
        bar.clear();
        print_warning(LogLevel::warning, line);
    };
    std::exception_ptr failure;
    try {
        pipeline.generate(a.request, {save, step, warn});
    } catch (...) {
        failure = std::current_exception();
    }
    // What is finished is kept, also when a later picture fails or is interrupted.
    writer.finish();
    bar.clear();
    if (failure) std::rethrow_exception(failure);
    return ms_since(last_picture);
}

}  // namespace

int run_generate(const CommandLine& line) {
    Arguments a;
    CLI::App app{"t2i: text to image. Without a GPU or Python, from a model folder in diffusers layout.", "t2i"};
    app.footer(footer);
    app.set_version_flag("--version", "t2i " T2I_VERSION);
    add_config_flag(app);
    add_flags(app, a);
    const auto& words = line.arguments;
    for (std::size_t i = 0; i + 1 < words.size(); ++i)
        if (words[i] == "--sampling-method" && words[i + 1] == "list") return list_samplers(), 0;
    if (!parse(app, line)) return 0;

    const OutputNames names(a.output, a.request.count, a.picture.format());
    static_cast<void>(a.picture.encoding(names.format()));
    if (!a.no_metadata) check_prompt_fits(names.format(), a.request.prompt, a.request.negative_prompt);
    if (a.seed.picks) {
        a.request.seed = std::random_device{}();
        std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(a.request.seed));
    } else {
        a.request.seed = a.seed.value;
    }
    if (a.model.model.empty()) a.model.model = bundled_model();
    Tracer* const tracer = a.trace.tracer();
    constexpr int compared_names = 1000;
    for (int i = 0; i < std::min(a.request.count, compared_names); ++i)
        refuse_same_file("--trace", a.trace.path(), names.path(i), "a picture's file");
    refuse_same_file("--trace", a.trace.path(), config_path(app), "the file of --config");
    if (a.trace.takes_output() && is_standard_output(names.path(0)))
        throw Error(ErrorCode::invalid_argument, "standard output takes the picture or the trace, not both", "--trace");
    const Signals signals;
    const Clock::time_point begin = Clock::now();
    Pipeline pipeline = PipelineAccess::load(a.model, {.tracer = tracer});
    const double load_ms = ms_since(begin);
    if (a.verbose)
        for (const std::string& note : pipeline.info().notes) std::fprintf(stderr, "%s\n", escaped(note).c_str());
    if (!a.quiet) std::fprintf(stderr, "%s\n", escaped(pipeline.info().name + " on " + pipeline.info().runs_on).c_str());
    const double write_ms = make_pictures(pipeline, a, names, tracer, signals);
    a.trace.write();
    if (a.verbose) print_times(pipeline, load_ms, write_ms);
    return 0;
}

}  // namespace t2i::app
