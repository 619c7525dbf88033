#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/rng.h"
#include "support/files.h"
#include "support/place.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace {

// torch's vector build takes log, sin and cos from other polynomials than the C library: a few ULP of
// float32.
bool is_close(float ours, float theirs) {
    constexpr float ulps = 8.0F * 0x1p-23F;
    return std::abs(ours - theirs) <= ulps * std::max(1.0F, std::abs(theirs));
}

}  // namespace

TEST_CASE("rng: raw MT19937 words of seed 0") {
    TorchGenerator generator(0);
    CHECK(generator.next() == 2357136044U);
    CHECK(generator.next() == 2546248239U);
    CHECK(generator.next() == 3071714933U);
    CHECK(generator.next() == 3626093760U);
}

TEST_CASE("rng: normal noise equals torch.randn, short, long, ragged and consecutive") {
    const auto golden = nlohmann::json::parse(file_text(source_folder() / "tests/golden/rng.json"));
    float largest = 0.0F;
    for (const auto& c : golden["cases"]) {
        TorchGenerator generator(std::stoull(c["seed"].get<std::string>()));
        for (const auto& draw : c["draws"]) {
            std::vector<float> ours(draw["size"].get<std::size_t>());
            generator.normal(ours);
            const auto theirs = draw["values"].get<std::vector<float>>();
            const std::size_t skipped = ours.size() - theirs.size();  // long draws keep both ends
            for (std::size_t i = 0; i < theirs.size(); ++i) {
                const bool is_cut = skipped > 0 && i >= theirs.size() / 2;
                const float value = ours[is_cut ? i + skipped : i];
                largest = std::max(largest, std::abs(value - theirs[i]));
                INFO("seed " << c["seed"] << ", draw of " << ours.size() << ", kept value " << i);
                if (!is_close(value, theirs[i])) FAIL(value << " instead of " << theirs[i]);
            }
        }
    }
    INFO("largest difference " << largest);
    CHECK(largest < 1e-5F);
}

TEST_CASE("rng: only the low 32 bits of the seed count, as in torch") {
    std::vector<float> a(16), b(16);
    TorchGenerator(5).normal(a);
    TorchGenerator((std::uint64_t{1} << 32) + 5).normal(b);
    CHECK(a == b);
}
