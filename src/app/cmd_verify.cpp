// t2i verify PNG…: makes pictures again from their parameters and compares.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "app/arguments.h"
#include "app/command.h"
#include "core/escape.h"
#include "core/files.h"
#include "pipeline/parameters.h"
#include "pipeline/png_read.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

constexpr const char* footer =
    "A picture comes out the same to the last bit on the same device, instruction set (or GPU and its libraries), dtype and "
    "build of t2i, with any\n"
    "number of threads; its metadata names them. Elsewhere it may differ by a level or two (--tolerance), and this command says "
    "what was another.\n"
    "--dtype auto takes another dtype on another machine: name the one that the metadata names.\n"
    "Exit codes: 0 all are the same, 2 usage, 3 one is not, or has no parameters, or is of another model; 4 device or memory.";

struct Difference {
    int levels = 0;                  // the largest, of 255
    std::size_t values = 0, of = 0;  // how many differ, of how many
    std::string origin{};            // what was made otherwise, for a person
};

Difference compare(const Image& a, const Image& b) {
    Difference d{.levels = 0, .values = 0, .of = a.rgb.size()};
    for (std::size_t i = 0; i < a.rgb.size(); ++i) {
        const int levels = std::abs(int{a.rgb[i]} - int{b.rgb[i]});
        d.levels = std::max(d.levels, levels);
        d.values += levels > 0 ? 1 : 0;
    }
    return d;
}

Parameters parameters_of(const std::vector<std::uint8_t>& file, const std::string& path) {
    for (const auto& [keyword, text] : read_png_info(file, path).text)
        if (keyword == "parameters") return read_parameters(text, path);
    throw Error(ErrorCode::input, "has no parameters chunk, so nothing says how it was made", path);
}

// Throws Error{input} when it cannot be made again here.
Difference verify(Pipeline& pipeline, const std::string& path) {
    const auto file = read_file(path);
    const Image before = decode_png(file, path);
    const Parameters p = parameters_of(file, path);
    const ModelInfo& info = pipeline.info();
    if (p.hash != pipeline.model_hash())
        throw Error(ErrorCode::input,
                    "was made by " + p.model + " (hash " + p.hash + "), this is " + info.name + " (hash " +
                        pipeline.model_hash() + "); --model names another",
                    path);
    std::vector<Image> after;
    try {
        after = pipeline.generate(p.request);
    } catch (const Error& error) {  // a value of the file's, not of the command line's
        if (error.code() != ErrorCode::invalid_argument) throw;
        throw Error(ErrorCode::input, error.what(), path);
    }
    if (after.front().width != before.width || after.front().height != before.height)
        throw Error(ErrorCode::input,
                    "is " + std::to_string(before.width) + "x" + std::to_string(before.height) + ", not of its parameters' size",
                    path);
    Difference d = compare(before, after.front());
    const std::string other = differences(p.origin, origin_of(info));
    d.origin = other.empty() ? "made with the hardware, dtype and build of here" : "made with " + other;
    return d;
}

}  // namespace

int run_verify(const std::vector<std::string>& arguments) {
    PipelineOptions model;
    std::vector<std::string> paths;
    int tolerance = 0;
    CLI::App app{"Makes pictures again from the parameters in their PNGs and compares.", "t2i verify"};
    app.footer(footer);
    app.add_option("PNG", paths, "pictures that t2i made")->required();
    app.add_option("--tolerance", tolerance, "levels of 255 that still count as the same")
        ->check(CLI::Range(0, 255))
        ->capture_default_str();
    add_model_flags(app, model);
    if (!parse(app, arguments)) return 0;
    if (model.model.empty()) model.model = bundled_model();

    Pipeline pipeline = Pipeline::load(model);
    std::size_t different = 0;
    for (const auto& path : paths) {
        const Difference d = verify(pipeline, path);
        if (d.values == 0) std::printf("%s: the same\n", escaped(path).c_str());
        else
            std::printf("%s: up to %d levels of 255 apart, in %.2f %% of its values; %s\n", escaped(path).c_str(), d.levels,
                        100.0 * static_cast<double>(d.values) / static_cast<double>(d.of), escaped(d.origin).c_str());
        std::fflush(stdout);
        different += d.levels > tolerance ? 1 : 0;
    }
    if (different > 0)
        throw Error(ErrorCode::input, std::to_string(different) + " of " + std::to_string(paths.size()) +
                                          (paths.size() == 1 ? " picture is" : " pictures are") +
                                          " not what the parameters make on " + pipeline.info().runs_on);
    return 0;
}

}  // namespace t2i::app
