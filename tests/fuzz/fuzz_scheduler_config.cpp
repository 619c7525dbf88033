// Any bytes are either a config whose plan is finite or an Error; and so are they for every sampler that is asked for by name.
#include <algorithm>
#include <cstdint>

#include "core/json_options.h"
#include "fuzz/fuzz_target.h"
#include "sampling/sampler.h"

namespace {

// plan_steps refuses what is not finite.
void plan(const t2i::ScheduleConfig& config, int steps) {
    try {
        static_cast<void>(t2i::plan_steps(config, std::min(config.train_steps, steps)));
    } catch (const t2i::Error& error) {
        T2I_CHECK(error.code() == t2i::ErrorCode::invalid_argument, "a plan fails for what the user asked");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const auto file = t2i::JsonOptions::parse(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
        // One sampler an input, by its bytes, so that an input stays quick.
        const t2i::SamplerRow& row = t2i::samplers()[size % t2i::samplers().size()];
        try {
            plan(t2i::read_schedule(file, row.name), 1 + static_cast<int>(size / 8 % 9));
        } catch (const t2i::Error& error) {
            T2I_CHECK(error.code() == t2i::ErrorCode::input || error.code() == t2i::ErrorCode::invalid_argument, error.what());
        }
        plan(t2i::read_schedule(file), 7);
    });
    return 0;
}
