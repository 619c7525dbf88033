// t2i convert IN OUT: a model or a part of one, written anew in another type or container.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/arguments.h"
#include "app/command.h"
#include "app/exit_code.h"
#include "app/signals.h"
#include "app/standard_streams.h"
#include "core/escape.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "generators/convert_model.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

constexpr const char* footer =
    "IN: a model's folder, a component's, or a file of weights as its makers published it (t2i inspect says what it is).\n"
    "OUT: NAME.gguf or NAME.safetensors holds one part; any other name is a folder in diffusers' layout, of a whole model with "
    "all\n"
    "that is needed to draw. What is there already is never replaced.\n"
    "Block types (q8_0, q6_k, q5_k, q4_k, q4_0) are for NAME.gguf and its matrices; norms and biases stay f32. Rows that 256 "
    "does\n"
    "not divide, as the K types need, take q8_0; rows that 32 does not divide either are kept as f16.\n"
    "Every tensor is a line: type before and after, and what that cost: the size of all differences against that of all values.\n"
    "  t2i convert PixArt-XL-2-512x512/text_encoder t5.gguf --type q8_0\n"
    "  t2i -m PixArt-XL-2-512x512 --text-encoder t5.gguf -p \"a red apple\" -o apple.png";

constexpr std::array types{DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q6_k, DType::q5_k, DType::q4_k, DType::q4_0};

std::string type_choices() {
    std::string text;
    for (const DType type : types) text += (text.empty() ? "{" : ",") + std::string(name_of(type));
    return text + "}";
}

DType type_named(const std::string& name) {
    std::vector<std::string> names;
    for (const DType type : types) {
        if (equals_without_case(name, name_of(type))) return type;
        names.emplace_back(name_of(type));
    }
    // "q8" and "q4" begin names that are written out here.
    std::string meant;
    for (const auto& known : names)
        if (name.size() > 1 && equals_without_case(name, known.substr(0, name.size())))
            meant += (meant.empty() ? "" : " or ") + known;
    if (meant.empty()) meant = nearest_name(name, names);
    throw Error(ErrorCode::invalid_argument,
                "unknown type " + in_quotes(name) + (meant.empty() ? " " + type_choices() : "; did you mean " + meant + "?"),
                Field{"type"});
}

// What all of it came to.
class Report {
  public:
    Report(bool quiet, bool json) : quiet_(quiet), json_(json) {}

    void add(const ConvertedTensor& t) {
        ++tensors_;
        const bool is_changed = t.error.largest > 0;
        if (is_changed && t.error.relative > worst_) {
            worst_ = t.error.relative;
            worst_name_ = t.name;
        }
        changed_ += is_changed ? 1 : 0;
        if (json_) {
            nlohmann::ordered_json j{{"tensor", t.name},
                                     {"shape", t.shape.text()},
                                     {"from", t.from},
                                     {"to", name_of(t.to)},
                                     {"relative_error", t.error.relative},
                                     {"largest_error", t.error.largest}};
            if (!t.part.empty()) j["part"] = t.part;
            std::printf("%s\n", escaped_json(j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).c_str());
        } else if (!quiet_) {
            const std::string name = t.part.empty() ? t.name : t.part + "/" + t.name;
            std::printf("%-72s %-20s %-8s %-5s %s\n", escaped(name).c_str(), t.shape.text().c_str(), t.from.c_str(),
                        std::string(name_of(t.to)).c_str(), error_text(t.error).c_str());
        }
    }
    void finish(const std::string& output) const {
        if (json_ || quiet_) return;
        std::printf("%s: %s, %s\n", escaped(output).c_str(), counted(tensors_, "tensor", "tensors").c_str(),
                    changed_ == 0 ? "all equal to the input"
                                  : (std::to_string(changed_) + " rounded, at worst by " + percent(worst_) + " (" +
                                     escaped(worst_name_) + ")")
                                        .c_str());
    }

  private:
    static std::string percent(double fraction) {
        std::array<char, 32> text{};
        std::snprintf(text.data(), text.size(), "%.3g %%", 100 * fraction);
        return text.data();
    }
    static std::string error_text(const ConversionError& error) {
        return error.largest > 0 ? percent(error.relative) : std::string("equal");
    }

    bool quiet_, json_;
    std::int64_t tensors_ = 0, changed_ = 0;
    double worst_ = 0;
    std::string worst_name_;
};

}  // namespace

int run_convert(const CommandLine& line) {
    ConvertOptions options;
    std::vector<std::string> paths;
    std::string type;
    bool quiet = false, json = false;
    CLI::App app{"Writes a model, or a part of one, in another type or container, and says what each tensor lost.",
                 "t2i convert"};
    app.footer(footer);
    app.add_option("IN OUT", paths, "what is read, and what is made");
    app.add_option("--type", type, "of the weights (default: each keeps its own)")->type_name(type_choices());
    app.add_option("--variant", options.variant, "of IN's weights, such as fp16");
    add_whole(app, "-t,--threads", options.threads, 1, 1024, "CPU threads (default: one per core)", "");
    app.add_flag("--json", json, "an object a line");
    app.add_flag("-q,--quiet", quiet, "print errors only");
    if (!parse(app, line)) return 0;
    if (paths.size() != 2)
        throw Error(ErrorCode::invalid_argument, "give what is read and what is made: t2i convert IN OUT", "IN OUT");
    refuse_standard_output("OUT", paths[1], "weights; name a file or a folder");
    options.input = paths[0];
    options.output = paths[1];
    if (!type.empty()) options.type = type_named(type);
    options.log = print_warning;
    Report report(quiet, json);
    options.told = [&](const ConvertedTensor& t) { report.add(t); };
    const Signals signals;
    options.is_stopped = [&] { return signals.requested(); };
    convert_model(options);
    report.finish(options.output);
    return 0;
}

}  // namespace t2i::app
