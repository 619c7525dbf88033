// Makes pictures again from what their files say, and compares.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "generators/model_folder.h"
#include "generators/model_hash.h"
#include "pipeline/parameters.h"
#include "t2i/pipeline.h"

namespace t2i::app {

struct VerifyOptions {
    PipelineOptions model;
    bool device_given = false, dtype_given = false;   // else as each file says
    int tolerance = 0;                                // levels of 255 that still count as the same
    std::vector<std::string> init_images{}, masks{};  // files and folders, to find by their pixels what a picture began with
};

struct Verdict {
    enum class Kind : std::uint8_t { same, different, unchecked };
    std::string file;
    Kind kind = Kind::unchecked;
    int levels = 0;                   // the largest difference, of 255
    std::int64_t values = 0, of = 0;  // how many differ, of how many
    std::string why;                  // unchecked: what stands in the way; different: what was made otherwise
    std::string runs_on;              // what made it again
};

class Verifier {
  public:
    // Throws Error{input} as read_model() does.
    explicit Verifier(VerifyOptions options);

    // Each file once, those together that one pipeline can make. Throws Error: input (the model cannot be loaded), resource.
    void check(std::span<const std::string> files, const std::function<void(const Verdict&)>& verdict);

  private:
    // Which of the parts that were named are used.
    struct Parts {
        bool other_decoder = false;
        std::set<std::string> others;  // by component
        std::string formulas, variant;
        auto operator<=>(const Parts&) const = default;
    };
    // What a pipeline is loaded for.
    struct Needs {
        std::string device, dtype;
        bool fast_math = false;
        Parts parts;
        auto operator<=>(const Needs&) const = default;
    };
    struct Item {
        std::string file;
        Parameters parameters;
    };
    [[nodiscard]] Parameters read(const std::string& file) const;
    [[nodiscard]] Needs needs_of(const Parameters& p) const;
    // Throw Error{input} saying what the file was made by, where that is not at hand.
    void add_init_image(Parameters& p) const;
    void check_decoder(const Parameters& p, const Needs& needs);
    void check_model(const Item& item, const Needs& needs);
    void check_parts(const Parameters& p, const ModelHashes* here) const;
    [[nodiscard]] PipelineOptions options_with(const Parts& parts) const;
    [[nodiscard]] const ModelHashes& hashes(const Parts& parts);
    [[nodiscard]] const std::string& decoder_hash(const std::string& variant);
    void check_group(const Needs& needs, std::span<const Item> items, const std::function<void(const Verdict&)>& verdict);
    [[nodiscard]] Verdict compare(Pipeline& pipeline, const Item& item, const Needs& needs) const;

    VerifyOptions options_;
    std::vector<std::string> devices_;  // kinds that can be used here
    ModelFolder folder_;
    std::map<std::string, std::string> decoder_hashes_;       // by variant, of the decoder that was named
    std::map<std::string, std::string> init_images_, masks_;  // paths by the hashes of their pixels
    std::map<Parts, ModelHashes> hashes_;
    std::optional<std::string> hash_0_1_;
};

}  // namespace t2i::app
