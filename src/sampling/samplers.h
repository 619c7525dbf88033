// One maker per sampler, for the registry.
#pragma once

#include <memory>

#include "sampling/sampler.h"

namespace t2i {

[[nodiscard]] std::unique_ptr<Sampler> make_ddim();
[[nodiscard]] std::unique_ptr<Sampler> make_ddpm();
[[nodiscard]] std::unique_ptr<Sampler> make_iddpm();
[[nodiscard]] std::unique_ptr<Sampler> make_deis();
[[nodiscard]] std::unique_ptr<Sampler> make_dpmsolver_multistep();
[[nodiscard]] std::unique_ptr<Sampler> make_dpmsolver_singlestep();
[[nodiscard]] std::unique_ptr<Sampler> make_euler();
[[nodiscard]] std::unique_ptr<Sampler> make_euler_ancestral();
[[nodiscard]] std::unique_ptr<Sampler> make_flow_euler();
[[nodiscard]] std::unique_ptr<Sampler> make_flow_euler_ancestral();
[[nodiscard]] std::unique_ptr<Sampler> make_heun();
[[nodiscard]] std::unique_ptr<Sampler> make_lcm();
[[nodiscard]] std::unique_ptr<Sampler> make_pndm();
[[nodiscard]] std::unique_ptr<Sampler> make_sa_solver();
[[nodiscard]] std::unique_ptr<Sampler> make_unipc();

}  // namespace t2i
