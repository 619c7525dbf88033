// t2i verify PICTURE…: makes pictures again from their parameters and compares.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/arguments.h"
#include "app/command.h"
#include "app/picture_paths.h"
#include "app/verifier.h"
#include "core/escape.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

constexpr const char* footer =
    "A picture comes out the same to the last bit on the same device, instruction set (or GPU and its libraries), dtype and "
    "build of t2i, with any\n"
    "number of threads; its metadata names them. Elsewhere it may differ by a level or two (--tolerance), and this command says "
    "what was another.\n"
    "Device, dtype and --fast-math are taken from each file unless they are given here; parts in place of the model's are named "
    "by --vae, --transformer, …, and "
    "its hash compared,\n"
    "and so is the picture that one began with, by its pixels: --init-image and --mask take files and folders to look for it "
    "in.\n"
    "All files are checked, those of one device, dtype and decoder after each other, whatever is wrong with some. --json prints "
    "an "
    "object a line: file,\n"
    "result (same, different, unchecked), levels, values_different, values, why.\n"
    "Exit codes: 0 all are the same, 2 usage, 3 one is not, or cannot be checked; 4 device or memory.";

struct Counts {
    std::size_t files = 0, different = 0, unchecked = 0;
    std::string runs_on;
};

void print_json(const Verdict& v) {
    nlohmann::ordered_json j{{"file", v.file}};
    j["result"] = v.kind == Verdict::Kind::same ? "same" : v.kind == Verdict::Kind::different ? "different" : "unchecked";
    if (v.kind != Verdict::Kind::unchecked) {
        j["levels"] = v.levels;
        j["values_different"] = v.values;
        j["values"] = v.of;
    }
    if (!v.why.empty()) j["why"] = v.why;
    std::printf("%s\n", escaped_json(j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).c_str());
}

void print_text(const Verdict& v) {
    const std::string file = escaped(v.file), why = escaped(v.why);
    if (v.kind == Verdict::Kind::unchecked) std::printf("%s: not checked: %s\n", file.c_str(), why.c_str());
    else if (v.values == 0) std::printf("%s: the same\n", file.c_str());
    else
        std::printf("%s: up to %d levels of 255 apart, in %.2f %% of its values; %s\n", file.c_str(), v.levels,
                    100.0 * static_cast<double>(v.values) / static_cast<double>(v.of), why.c_str());
}

std::string summary(const Counts& c) {
    std::string text;
    if (c.different > 0)
        text = std::to_string(c.different) + " of " + std::to_string(c.files) + (c.files == 1 ? " picture" : " pictures") +
               (c.different == 1 ? " is" : " are") + " not what the parameters make on " + c.runs_on;
    if (c.unchecked > 0)
        text += (text.empty() ? "" : "; ") + std::to_string(c.unchecked) + " of " + std::to_string(c.files) +
                (c.files == 1 ? " picture" : " pictures") + " could not be checked";
    return text;
}

}  // namespace

int run_verify(const CommandLine& line) {
    VerifyOptions options;
    std::vector<std::string> paths;
    bool json = false;
    CLI::App app{"Makes pictures again from the parameters in their files and compares.", "t2i verify"};
    app.footer(footer);
    app.add_option("PICTURE", paths, "PNG or lossless WebP files that t2i made, or folders of them")->required();
    add_whole(app, "--tolerance", options.tolerance, 0, 255, "levels of 255 that still count as the same");
    app.add_flag("--json", json, "an object a line on standard output");
    app.add_option("--init-image", options.init_images, "pictures that some of them began with, or folders of such")
        ->type_name("PATH")
        ->allow_extra_args(false);
    app.add_option("--mask", options.masks, "masks that some of them were made with, or folders of such")
        ->type_name("PATH")
        ->allow_extra_args(false);
    add_model_flags(app, options.model);
    if (!parse(app, line)) return 0;
    options.device_given = app.get_option("--device")->count() > 0;
    options.dtype_given = app.get_option("--dtype")->count() > 0;

    Counts counts;
    const auto tell = [&](const Verdict& v) {
        (json ? print_json : print_text)(v);
        std::fflush(stdout);
        ++counts.files;
        counts.different += v.kind == Verdict::Kind::different ? 1 : 0;
        counts.unchecked += v.kind == Verdict::Kind::unchecked ? 1 : 0;
        if (v.kind == Verdict::Kind::different) counts.runs_on = v.runs_on;
    };
    std::vector<std::string> files;
    for (const auto& path : paths) {
        try {
            for (auto& file : picture_paths(path)) files.push_back(std::move(file));
        } catch (const Error& error) {
            tell({.file = path, .why = error.message(), .runs_on = {}});
        }
    }
    Verifier(std::move(options)).check(files, tell);
    if (counts.different + counts.unchecked > 0) throw Error(ErrorCode::input, summary(counts));
    return 0;
}

}  // namespace t2i::app
