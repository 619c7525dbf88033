// The diffusion generator: a sampler's plan, executed on a denoiser step by step.
#pragma once

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

// Rules of the schedule in folder/scheduler_config.json. Throws Error{input} naming the file.
[[nodiscard]] std::unique_ptr<RequestRules> read_diffusion_rules(const std::string& folder, const GenerationDefaults& defaults);
// The files that it reads.
[[nodiscard]] std::vector<std::string> schedule_files(const std::string& folder);
// The same from the file's text; `where` names it in errors.
[[nodiscard]] std::unique_ptr<RequestRules> make_diffusion_rules(const std::string& json, const std::string& where,
                                                                 const GenerationDefaults& defaults);

[[nodiscard]] std::unique_ptr<Generator> make_diffusion(std::unique_ptr<Denoiser> denoiser);

}  // namespace t2i
