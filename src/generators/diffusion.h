// The diffusion generator: a sampler's plan, executed on a denoiser step by step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "generators/generator.h"

namespace t2i {

// The model's own settings, for requests that are silent.
struct GenerationDefaults {
    int steps = 20;
    double cfg_scale = 4.5;
};

// What a picture of one step is: x after it, or the data prediction that it was made from (diffusers' PixArtAlphaPipeline).
enum class OneStep : std::uint8_t { stepped, predicted };

// Rules of the schedule in folder/scheduler_config.json, read as one of that class; empty: of the class that it names itself.
// Throws Error{input} naming the file where it is no JSON object; a class or option that is not supported is an error of the
// plans that need it.
[[nodiscard]] std::unique_ptr<RequestRules> read_diffusion_rules(const std::string& folder, const std::string& class_name,
                                                                 const GenerationDefaults& defaults,
                                                                 OneStep one_step = OneStep::stepped);
// The files that it reads.
[[nodiscard]] std::vector<std::string> schedule_files(const std::string& folder);
// The same from the file's text; `where` names it in errors.
[[nodiscard]] std::unique_ptr<RequestRules> make_diffusion_rules(const std::string& json, const std::string& where,
                                                                 const GenerationDefaults& defaults,
                                                                 const std::string& class_name = {},
                                                                 OneStep one_step = OneStep::stepped);

[[nodiscard]] std::unique_ptr<Generator> make_diffusion(std::unique_ptr<Denoiser> denoiser);

}  // namespace t2i
