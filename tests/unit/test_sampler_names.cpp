// What other programs call our samplers.
#include "expect_error.h"
#include "sampling/sampler.h"
#include "support/catch.h"

namespace t2i {
namespace {

using Names = std::pair<std::string, std::string>;

Names translated(std::string sampler, std::string scheduler = {}) {
    translate_sampler(sampler, scheduler);
    return {sampler, scheduler};
}

TEST_CASE("sampler names: AUTOMATIC1111's, k-diffusion's and diffusers' are ours") {
    CHECK(translated("DPM++ 2M Karras") == Names{"dpm++2m", "karras"});
    CHECK(translated("DPM++ 2M") == Names{"dpm++2m", ""});
    CHECK(translated("DPM++ 2M SDE Karras") == Names{"dpm++2m_sde", "karras"});
    CHECK(translated("dpm++ 2m sde") == Names{"dpm++2m_sde", ""});
    CHECK(translated("Euler a") == Names{"euler_a", ""});
    CHECK(translated("Euler") == Names{"euler", ""});
    CHECK(translated("DDIM") == Names{"ddim", ""});
    CHECK(translated("DDPM") == Names{"ddpm", ""});
    CHECK(translated("UniPC") == Names{"unipc", ""});
    CHECK(translated("LCM") == Names{"lcm", ""});
    CHECK(translated("Heun") == Names{"heun", ""});
    CHECK(translated("PLMS") == Names{"plms", ""});
    CHECK(translated("DPM++ 2M SDE Exponential") == Names{"dpm++2m_sde", "exponential"});
    CHECK(translated("UniPCMultistepScheduler") == Names{"unipc", ""});
    CHECK(translated("DPMSolverSinglestepScheduler", "Beta") == Names{"dpm++2s", "beta"});
    CHECK(translated("k_euler_a") == Names{"euler_a", ""});
    CHECK(translated("dpmpp_2m_karras") == Names{"dpm++2m", "karras"});
    CHECK(translated("EulerAncestralDiscreteScheduler") == Names{"euler_a", ""});
    CHECK(translated("DPM++ 2M", "Karras") == Names{"dpm++2m", "karras"});
    CHECK(translated("DPM++ 2M", "Automatic") == Names{"dpm++2m", ""});
    CHECK(translated("") == Names{"", ""});
    for (const auto& row : samplers()) CHECK(translated(row.name) == Names{row.name, ""});
}

TEST_CASE("sampler names: what nobody has stays, for its error, and a contradiction is one") {
    for (const char* name :
         {"DPM++ SDE Karras", "DPM++ 2S a", "DPM++ 3M SDE Exponential", "DPM2", "karras", "eulr", "DPM++ 2M SDE Heun"})
        CHECK(translated(name) == Names{name, ""});
    CHECK(translated("DDIM", "Polyexponential") == Names{"ddim", "Polyexponential"});
    CHECK(translated("DDIM", "Exponential") == Names{"ddim", "exponential"});
    CHECK(test::contains(test::message_of(ErrorCode::invalid_argument, [] { translated("DPM++ 2M Karras", "discrete"); }),
                         "asks for the schedule karras"));
}

}  // namespace
}  // namespace t2i
