#include "workloads/attention_cases.h"

#include <cmath>

#include "ops/ops.h"
#include "workloads/case_names.h"

namespace t2i {
namespace {

struct AttentionCase {
    std::int64_t batch, heads, queries, keys, head_size;
    bool bias = false;
    std::vector<std::int32_t> lengths = {};
    bool fused = false;  // q, k and v are columns of one matrix
    Purpose purpose = Purpose::both;
};

OpCase make(const AttentionCase& c) {
    OpCase out{.op = Op::attention,
               .name = "attention " + joined({c.batch, c.heads, c.queries, c.keys, c.head_size}),
               .purpose = c.purpose,
               .terms = c.keys + c.head_size,
               .head_size = c.head_size};
    if (c.bias) out.name += " bias";
    if (!c.lengths.empty()) out.name += " lengths";
    if (c.fused) out.name += " fused";
    out.flops = 4 * real(c.batch * c.heads) * real(c.queries) * real(c.keys) * real(c.head_size);
    out.set_up = [c](PreparedOp& p) {
        const std::int64_t width = c.heads * c.head_size;
        AttentionArgs a;
        a.batch = c.batch;
        a.heads = c.heads;
        a.scale = 1.0F / std::sqrt(static_cast<float>(c.head_size));
        if (c.fused) {
            const TensorView qkv = p.input({c.batch * c.queries, 3 * width}, p.dtype());
            a.q = {qkv, 0, width};
            a.k = {qkv, width, width};
            a.v = {qkv, 2 * width, width};
        } else {
            a.q = Columns::all(p.input({c.batch * c.queries, width}, p.dtype()));
            a.k = Columns::all(p.input({c.batch * c.keys, width}, p.dtype()));
            a.v = Columns::all(p.input({c.batch * c.keys, width}, p.dtype()));
        }
        if (c.bias) a.bias = p.input({c.heads, c.queries, c.keys}, DType::f32);
        a.out = p.output({c.batch * c.queries, width}, p.dtype());
        if (!c.lengths.empty()) a.key_lengths = p.integers(c.lengths);
        p.set_call([a](const ExecContext& ctx) { ops::attention(ctx, a); });
    };
    return out;
}

}  // namespace

std::vector<OpCase> attention_cases() {
    const AttentionCase cases[] = {
        {1, 1, 1, 1, 1},
        {1, 1, 3, 5, 600, false, {}, false, Purpose::test},
        {1, 3, 17, 17, 64, true, {}, true},
        {1, 1, 31, 33, 24, false, {}, false, Purpose::test},
        {1, 2, 33, 65, 8, false, {}, false, Purpose::test},
        {1, 2, 33, 35, 100, true, {}, false, Purpose::test},
        {2, 1, 64, 64, 16, true, {64, 63}, false, Purpose::test},
        {1, 1, 20, 40, 200, true, {}, false, Purpose::test},
        {1, 1, 65, 70, 80, true, {}, false, Purpose::test},
        {1, 2, 40, 96, 32, false, {}, false, Purpose::test},
        {1, 2, 16, 130, 128, false, {100}, false, Purpose::test},
        {1, 2, 70, 129, 40, false, {}, false, Purpose::test},
        {3, 2, 5, 1023, 17, false, {1, 1022, 1023}},
        {2, 2, 130, 77, 72, true, {77, 1}, false, Purpose::test},
        {2, 4, 32, 32, 64, true, {17, 32}, true},
        {2, 2, 256, 120, 72, false, {17, 120}},
        {2, 4, 256, 256, 72, false, {}, true},
        {1, 1, 257, 130, 512},
        {2, 16, 256, 256, 72, false, {}, true, Purpose::time},
        {2, 16, 256, 120, 72, false, {17, 120}, false, Purpose::time},
        {1, 64, 120, 120, 64, true, {}, false, Purpose::time},
        {1, 1, 1024, 1024, 512, false, {}, false, Purpose::time},
    };
    std::vector<OpCase> out;
    for (const auto& c : cases) out.push_back(make(c));
    return out;
}

}  // namespace t2i
