#include "app/arguments.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "core/escape.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

std::vector<std::string> flag_names(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
        for (const auto& name : option->get_lnames()) names.push_back("--" + name);
        for (const auto& name : option->get_snames()) names.push_back("-" + name);
    }
    return names;
}

// The first argument that no flag took, as an error; nothing when all were.
void reject_extras(const CLI::App& app) {
    const auto extras = app.remaining();
    if (extras.empty()) return;
    const std::string& first = extras.front();
    if (!first.starts_with("-")) throw Error(ErrorCode::invalid_argument, "unexpected argument \"" + first + "\"");
    const std::string name = first.substr(0, first.find('='));
    const auto near = nearest_name(name, flag_names(app));
    throw Error(ErrorCode::invalid_argument, "unknown flag " + name + (near.empty() ? "" : "; did you mean " + near + "?"));
}

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

}  // namespace

bool parse(CLI::App& app, const std::vector<std::string>& arguments) {
    try {
        std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // CLI11 takes them from the back
        app.parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
        std::cout << app.help();
        return false;
    } catch (const CLI::CallForVersion& version) {
        std::cout << version.what() << "\n";
        return false;
    } catch (const CLI::FileError& error) {
        throw Error(ErrorCode::input, one_line(error.what()));
    } catch (const CLI::ParseError& error) {
        reject_extras(app);  // an unknown flag explains a missing one better than the other way round
        throw Error(ErrorCode::invalid_argument, one_line(error.what()));
    }
    return true;
}

void print_warning(LogLevel /*level*/, const std::string& line) {
    std::fprintf(stderr, "t2i: warning: %s\n", escaped(line).c_str());
}

void add_model_flags(CLI::App& app, PipelineOptions& options) {
    options.log = print_warning;
    app.add_option("-m,--model", options.model, "model folder in diffusers layout (default: the bundled model)");
    auto* vae = app.add_option("--vae", options.vae, "another decoder: an AutoencoderKL or AutoencoderTiny folder");
    app.add_option("--taesd", options.vae, "a TAESD decoder: a safetensors file or an AutoencoderTiny folder")->excludes(vae);
    app.add_option(
           "--device", options.device,
           "auto, cuda, cuda:N, cpu, ref (slow, double precision), or emulated (the GPU's kernels without one, very slow)")
        ->capture_default_str();
    app.add_flag("--fast-math", options.fast_math, "on a GPU: quicker products and attention; last bits may depend on the batch");
    app.add_option("--dtype", options.dtype, "auto, f32 or bf16")->capture_default_str();
    app.add_option("--engine-batch", options.engine_batch,
                   "pictures made at a time (default: 1 on a CPU, up to 32 on a GPU); changes no picture")
        ->check(CLI::Range(1, 4096));
    app.add_option("-t,--threads", options.threads, "CPU threads (default: one per core)")->check(CLI::Range(1, 1024));
}

}  // namespace t2i::app
