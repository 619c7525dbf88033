// The text of a PNG's `parameters` chunk, in AUTOMATIC1111's form: the request that made a picture, and what it was made with.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "generators/model_hash.h"
#include "pipeline/request.h"

namespace t2i {

// "PROMPT\nNegative prompt: …\nSteps: 20, Sampler: dpm++2m, CFG scale: 4, Seed: 42, Size: 256x256, Model hash: …, …"
// The settings are the generator's fields; without steps the line begins with "Seed: ". Where a line within the prompt or the
// negative prompt looks like the beginning of another, "Prompt lines: N" says where the prompt ends; programs that do not know it
// read the rest as always.
[[nodiscard]] std::string parameters_text(const ResolvedRequest& r, const ModelInfo& info, const ModelHashes& hashes,
                                          std::uint64_t seed);

// What the bits of a picture depend on besides model and request. Where all of it is the same, so is the picture; elsewhere
// sums are taken in another order, and values may be a level or two of 255 apart.
struct Origin {
    std::string device, hardware, dtype, version, compiler;  // "" where a text has none
};
// This build on what the pipeline of `info` runs on.
[[nodiscard]] Origin origin_of(const ModelInfo& info);
// "hardware AVX2, here AVX3; dtype bf16, here f32"; empty when nothing differs. What `then` does not know is "unknown". Of a
// device its kind counts: two GPUs of a kind are told apart by their hardware.
[[nodiscard]] std::string differences(const Origin& then, const Origin& here);

// A text in AUTOMATIC1111's form, whoever wrote it.
struct Infotext {
    struct Prompts {
        std::string prompt, negative_prompt;
    };
    Prompts prompts;
    std::vector<Prompts> others;  // how else the lines before the settings may be read: only 0.1.0 left that open
    std::vector<std::pair<std::string, std::string>> fields;  // of the last line, in its order

    // The first field of that name; "" where there is none.
    [[nodiscard]] const std::string& value(std::string_view name) const;
    // "0.2.0": of t2i, which wrote the text; "" where another program did.
    [[nodiscard]] std::string_view version() const;
};

// Takes apart the settings, the last line that begins with "Steps: " or "Seed: ", and the lines before it. Throws Error{input}:
// no such line, a quoted value without its end. `where` names the file.
[[nodiscard]] Infotext read_infotext(std::string_view text, const std::string& where);

struct Parameters {
    GenerateRequest request;                       // one picture, with width and height set
    std::vector<Infotext::Prompts> other_prompts;  // see Infotext
    std::string model, hash;                       // as written, as the next ones; "" where the text has none
    std::string vae, vae_hash;                     // of another decoder
    struct Part {
        std::string name, hash;
    };
    std::map<std::string, Part> parts;    // that were named in place of the model's, by component
    Part init_image, mask;                // what the picture began with; the request has the rest, but neither of them
    std::string base, formulas, variant;  // as ModelInfo has them
    bool fast_math = false;
    std::string version;  // of t2i: "0.2.0"; "" where another program wrote the text
    Origin origin;
};

// The reverse of parameters_text(); fields of other programs are passed over. Throws Error{input} as read_infotext() does, and
// where there is no seed or size, or a value is no number.
[[nodiscard]] Parameters read_parameters(std::string_view text, const std::string& where);

}  // namespace t2i
