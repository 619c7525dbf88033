#include "app/arguments.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <iostream>

#include "app/hints.h"
#include "core/escape.h"
#include "core/nearest.h"
#include "pipeline/picture_fit.h"
#include "sampling/sampler.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

std::string hint_for(const std::string& name, const CLI::App& app) {
    const auto near = nearest_flag(name, app);
    return near.empty() ? "; --help lists them" : "; did you mean " + near + "?";
}

// -steps is -s with the value "teps" to a parser, and never meant so.
void reject_single_dashes(const CLI::App& app, const std::vector<std::string>& arguments) {
    for (const auto& argument : arguments) {
        const std::string name = argument.substr(0, argument.find('='));
        if (name.size() > 2 && name[0] == '-' && name[1] != '-' && app.get_option_no_throw("-" + name))
            throw Error(ErrorCode::invalid_argument, "unknown flag " + name + "; did you mean -" + name + "?");
    }
}

// The first argument that no flag took, as an error; nothing when all were.
void reject_extras(const CLI::App& app) {
    const auto extras = app.remaining();
    if (extras.empty()) return;
    const std::string& first = extras.front();
    if (!first.starts_with("-")) {
        const CLI::Option* prompt = app.get_option_no_throw("--prompt");
        throw Error(ErrorCode::invalid_argument,
                    "unexpected argument " + in_quotes(first) +
                        (prompt && prompt->count() > 0 ? "; a prompt of several words needs quotation marks" : ""));
    }
    const std::string name = first.substr(0, first.find('='));
    throw Error(ErrorCode::invalid_argument, "unknown flag " + shortened(name, 80) + hint_for(name, app));
}

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

// CLI11 counts values: "--steps: At Most 1 required but received 2", "--steps: 1 required INT missing".
std::string in_plain_words(const std::string& text) {
    const std::string flag = text.substr(0, text.find(':'));
    if (text.find("At Most 1 required") != std::string::npos) return flag + " is given more than once";
    if (text.find(" missing") != std::string::npos || text.find("requires") != std::string::npos) return flag + " needs a value";
    return text;
}

// read: takes the value's text and returns what is wrong with it, if anything.
CLI::Option* add_number(CLI::App& app, const std::string& names, const char* type, const std::string& help,
                        const std::string& shown, std::function<std::string(const std::string&)> read) {
    const std::string name = names.substr(names.find_last_of(',') + 1);
    const std::function<void(const std::string&)> take = [name, read = std::move(read)](const std::string& text) {
        if (const std::string problem = read(text); !problem.empty()) throw CLI::ValidationError(name, problem);
    };
    return app.add_option_function<std::string>(names, take, help)->type_name(type)->default_str(shown);
}

// An empty value names nothing, and is most often a variable of the shell that is not set; a prompt alone may be empty.
void reject_empty(const CLI::App& app) {
    for (const CLI::Option* option : app.get_options()) {
        const bool is_prompt = option->check_lname("prompt") || option->check_lname("negative-prompt");
        if (is_prompt || option->get_items_expected_max() == 0) continue;
        if (std::ranges::find(option->results(), std::string()) != option->results().end())
            throw Error(ErrorCode::invalid_argument, option->get_name() + ": the value is empty (a variable that is not set?)");
    }
}

}  // namespace

CLI::Option* add_whole(CLI::App& app, const std::string& names, int& value, int least, int most, const std::string& help,
                       const std::string& shown) {
    return add_number(app, names, "INT", help, shown, [&value, least, most](const std::string& text) {
        std::int64_t number = value;
        const std::string problem = read_whole(text, least, most, number);
        value = static_cast<int>(number);
        return problem;
    });
}

CLI::Option* add_whole(CLI::App& app, const std::string& names, int& value, int least, int most, const std::string& help) {
    return add_whole(app, names, value, least, most, help, std::to_string(value));
}

CLI::Option* add_whole(CLI::App& app, const std::string& names, std::optional<int>& value, int least, int most,
                       const std::string& help) {
    return add_number(app, names, "INT", help, {}, [&value, least, most](const std::string& text) {
        std::int64_t number = 0;
        const std::string problem = read_whole(text, least, most, number);
        if (problem.empty()) value = static_cast<int>(number);
        return problem;
    });
}

CLI::Option* add_real(CLI::App& app, const std::string& names, std::optional<double>& value, const std::string& help) {
    return add_number(app, names, "FLOAT", help, {}, [&value](const std::string& text) -> std::string {
        const auto number = parse_number<double>(text);
        if (!number || !std::isfinite(*number)) return in_quotes(text) + " is not a number";
        value = number;
        return {};
    });
}

CLI::Option* add_seed(CLI::App& app, const std::string& names, Seed& seed, const std::string& help) {
    return add_number(app, names, "INT", help, std::to_string(seed.value),
                      [&seed](const std::string& text) { return read_seed(text, seed); });
}

void add_caption_flags(CLI::App& app, GenerateRequest& request) {
    app.add_flag_callback(
        "--clean-caption", [&request] { request.clean_caption = true; },
        "clean prompts of the web's ways first: links, HTML, sizes, names of files, Chinese; as diffusers' PixArt pipelines do");
    app.add_flag_callback(
        "--resolution-binning", [&request] { request.resolution_binning = true; },
        "draw at the model's own size of the nearest shape, then resize and crop to -W and -H, which may be any; as they do");
}

void add_init_image_flags(CLI::App& app, GenerateRequest& request) {
    app.add_option("--init-image", request.init_image.file,
                   "a PNG, JPEG or WebP to begin with; transparent parts count as white, photos stand upright")
        ->type_name("FILE");
    app.add_option("--mask", request.mask.file,
                   "a picture of the same size, white where --init-image is made anew, black where it stays")
        ->type_name("FILE");
    add_real(app, "--strength", request.strength,
             "how far from --init-image, up to 1: that share of the steps is done (default: 0.75)");
    std::string choices;
    for (const FitRow& row : fits()) choices += (choices.empty() ? "{" : ",") + std::string(row.name);
    app.add_option("--resize-mode", request.resize_mode, "how --init-image comes to -W and -H (default: crop)")
        ->type_name(choices + "}");
    app.add_flag_callback(
        "--keep-unmasked", [&request] { request.keep_unmasked = true; },
        "where --mask is black the pixels are those of --init-image, grey mixes (default: all of it went through the "
        "autoencoder)");
}

bool parse(CLI::App& app, const CommandLine& line) {
    if (line.describe) {
        line.describe(app);
        return false;
    }
    reject_single_dashes(app, line.arguments);
    try {
        std::vector<std::string> reversed(line.arguments.rbegin(), line.arguments.rend());  // CLI11 takes them from the back
        app.parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
        std::cout << app.help();
        return false;
    } catch (const CLI::CallForVersion& version) {
        std::cout << version.what() << "\n";
        return false;
    } catch (const CLI::FileError& error) {
        throw Error(ErrorCode::input, one_line(error.what()));
    } catch (const CLI::ArgumentMismatch& error) {
        throw Error(ErrorCode::invalid_argument, in_plain_words(one_line(error.what())));
    } catch (const CLI::ValidationError& error) {
        throw Error(ErrorCode::invalid_argument, one_line(error.what()));
    } catch (const CLI::ParseError& error) {
        reject_extras(app);  // an unknown flag explains a missing one better than the other way round
        throw Error(ErrorCode::invalid_argument,
                    one_line(error.what()) + (error.get_name() == "RequiredError" ? "; --help has all flags" : ""));
    }
    reject_empty(app);
    return true;
}

void print_warning(LogLevel /*level*/, const std::string& line) {
    std::fprintf(stderr, "t2i: warning: %s\n", escaped(line).c_str());
}

std::string sampler_choices(bool with_list) {
    std::string text = "{";
    for (const SamplerRow& row : samplers()) text += (text.size() == 1 ? "" : ",") + row.name;
    return text + (with_list ? ",list}" : "}");
}

std::string schedule_choices() {
    std::string text = "{";
    for (const std::string& name : schedules()) text += (text.size() == 1 ? "" : ",") + name;
    return text + "}";
}

void add_model_flags(CLI::App& app, PipelineOptions& options) {
    options.log = print_warning;
    app.add_option("-m,--model", options.model,
                   "model folder in diffusers layout, or a transformer alone: its folder or file (default: the bundled model)")
        ->type_name("PATH");
    app.add_option("--base", options.base,
                   "model folder that lends what --model lacks: text encoder, tokenizer, scheduler, decoder")
        ->type_name("FOLDER");
    app.add_option("--variant", options.variant,
                   "fp16, bf16, …: of the weights' files those with this in their names, where there are some (default: those "
                   "without, or the only ones)")
        ->type_name("NAME");
    app.add_option("--transformer", options.transformer, "another transformer: a folder or file")->type_name("PATH");
    app.add_option("--text-encoder", options.text_encoder, "another T5 encoder: a folder or file")->type_name("PATH");
    app.add_option("--tokenizer", options.tokenizer, "another tokenizer: its folder, or a file in it")->type_name("PATH");
    app.add_option("--as", options.formulas, "of weights of facebook's DiT: by whose formulas (default: facebook's)")
        ->type_name("{diffusers}");
    auto* vae = app.add_option("--vae", options.vae, "another decoder: an autoencoder's folder or file")->type_name("PATH");
    app.add_option("--taesd", options.vae, "a TAESD decoder: a file of its weights or an AutoencoderTiny folder")
        ->type_name("PATH")
        ->excludes(vae);
    app.add_option(
           "--device", options.device,
           "auto, cuda, cuda:N, cpu, ref (slow, double precision), or emulated (the GPU's kernels without one, very slow)")
        ->capture_default_str();
    app.add_flag("--keep", options.keep_text_encoder,
                 "keep a text encoder of more than 256 MB in memory; without, it is read from its files when prompts must be "
                 "encoded, a batch's in groups, and leaves memory again");
    app.add_flag("--fast-math", options.fast_math, "on a GPU: quicker products and attention; last bits may depend on the batch");
    app.add_option("--dtype", options.dtype, "what products are computed in")
        ->type_name("{auto,f32,bf16}")
        ->capture_default_str();
    add_whole(app, "--engine-batch", options.engine_batch, 1, 4096,
              "pictures made at a time (default: 1 on a CPU, up to 32 on a GPU); changes no picture", "");
    add_whole(app, "-t,--threads", options.threads, 1, 1024, "CPU threads (default: one per core)", "");
}

}  // namespace t2i::app
