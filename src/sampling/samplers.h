// One maker per sampler file, for the registry.
#pragma once

#include <memory>

#include "sampling/sampler.h"

namespace t2i {

[[nodiscard]] std::unique_ptr<Sampler> make_ddim();
[[nodiscard]] std::unique_ptr<Sampler> make_ddpm();
[[nodiscard]] std::unique_ptr<Sampler> make_dpmsolver();
[[nodiscard]] std::unique_ptr<Sampler> make_dpmsolver_sde();
[[nodiscard]] std::unique_ptr<Sampler> make_euler();
[[nodiscard]] std::unique_ptr<Sampler> make_euler_ancestral();
[[nodiscard]] std::unique_ptr<Sampler> make_flow_euler();
[[nodiscard]] std::unique_ptr<Sampler> make_flow_euler_ancestral();

}  // namespace t2i
