// As test_convolution_plans.cpp, for attention.
#include <dlfcn.h>

#include "backend/cuda/attention_plan.h"
#include "cuda/described_gpu.h"
#include "support/catch.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::cuda;
using namespace t2i::test;

namespace {

// cuDNN compiles these kernels and asks for the driver first. The toolkit's stub will do: it compiles, and fails only where the
// finished kernel is loaded.
bool load_driver() {
    if (::dlopen("libcuda.so.1", RTLD_NOW)) return true;
    return ::dlopen(T2I_CUDA_STUB, RTLD_NOW) != nullptr && ::dlopen("libcuda.so.1", RTLD_NOW) != nullptr;
}

}  // namespace

TEST_CASE("cuDNN has a plan for the attention of the denoisers") {
    const auto gpu = described_gpu();
    if (!gpu) return;
    if (!load_driver()) {
        WARN("skipped: no driver, and no stub of one");
        return;
    }
    struct Case {
        std::int64_t batch, heads, queries, keys, head_size;
    };
    const auto c = GENERATE(values<Case>({
        {2, 16, 256, 256, 72},  // DiT-XL/2 and PixArt-XL/2 with guidance
        {64, 16, 256, 256, 72},
        {2, 6, 256, 256, 64},
        {2, 4, 64, 24, 64},  // the bundled model
    }));
    const AttentionShape shape{.batch = c.batch,
                               .heads = c.heads,
                               .queries = c.queries,
                               .keys = c.keys,
                               .head_size = c.head_size,
                               .q_stride = 3 * c.heads * c.head_size,
                               .k_stride = 3 * c.heads * c.head_size,
                               .v_stride = 3 * c.heads * c.head_size};
    std::string why;
    const auto plan = AttentionPlan::find(cudnn(), {.properties = &*gpu}, shape, std::size_t{256} << 20, why);
    INFO(shape.text() << ": " << why);
    if (!plan) CHECK(contains(why, "0 are not exact enough"));
    CHECK_FALSE(contains(why, "of 0 plans"));
}
