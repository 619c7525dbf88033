// The text of a PNG's `parameters` chunk, in AUTOMATIC1111's form: the request that made a picture, and what it was made with.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/request.h"

namespace t2i {

// "PROMPT\nNegative prompt: …\nSteps: 20, Sampler: dpm++2m, CFG scale: 4, Seed: 42, Size: 256x256, Model hash: …, …"
// The settings are the generator's fields; without steps the line begins with "Seed: ". hash: of the weights.
[[nodiscard]] std::string parameters_text(const ResolvedRequest& r, const ModelInfo& info, const std::string& hash,
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

struct Parameters {
    GenerateRequest request;  // one picture, with width and height set
    std::string model, hash;  // as written; "" where the text has none
    Origin origin;
};

// The reverse of parameters_text(); fields of other programs are passed over. The last line that begins with
// "Steps: " or "Seed: " and the last one before it that begins with "Negative prompt: " count. Throws Error{input}: no such line,
// no seed or size, a value that is no number. `where` names the file.
[[nodiscard]] Parameters read_parameters(std::string_view text, const std::string& where);

}  // namespace t2i
