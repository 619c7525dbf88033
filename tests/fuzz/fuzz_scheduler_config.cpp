// Any bytes are either a config whose plan is finite or an Error.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "fuzz/fuzz_target.h"
#include "sampling/sampler.h"

namespace {

// Options far from any real schedule can leave no signal at all (ᾱ = 0 in float32); plans of those are not
// judged.
bool is_ordinary(const t2i::ScheduleConfig& config) {
    return config.train_steps <= 1000 && config.beta_end <= 0.02 && config.flow_shift >= 0.1 && config.flow_shift <= 10.0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const auto config = t2i::parse_schedule_config(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
        const t2i::SamplerRow& row = t2i::sampler_for(config);
        t2i::SamplerPlan plan;
        try {
            plan = row.make()->plan(config, std::min(config.train_steps, 7));
        } catch (const t2i::Error& error) {
            T2I_CHECK(error.code() == t2i::ErrorCode::invalid_argument, "a plan fails for what the user asked");
            return;
        }
        for (const t2i::SamplerStep& s : plan.steps) {
            const bool is_finite = std::isfinite(s.from_x + s.from_noise + s.x0_from_x + s.x0_from_model + s.timestep);
            T2I_CHECK(is_finite || !is_ordinary(config), "a plan that is not finite");
        }
    });
    return 0;
}
