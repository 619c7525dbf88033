#include "workloads/conv2d_cases.h"

#include <algorithm>

#include "ops/ops.h"

namespace t2i {
namespace {

struct Conv {
    Shape x;       // [B, H, W, Cin]
    Shape filter;  // [Cout, Cin, KH, KW]
    std::int64_t stride = 1;
    std::array<std::int64_t, 4> padding{};
    Activation activation = Activation::none;
    bool bias = true;
    int residual = 0;  // 1: apart, 2: in place
    Purpose purpose = Purpose::both;
    std::int64_t groups = 0;  // of a norm with SiLU before it; 0: none
    bool upsample = false;
};

OpCase make(const Conv& c) {
    const std::int64_t factor = c.upsample ? 2 : 1;
    const std::int64_t height = (factor * c.x[1] + c.padding[0] + c.padding[2] - c.filter[2]) / c.stride + 1;
    const std::int64_t width = (factor * c.x[2] + c.padding[1] + c.padding[3] - c.filter[3]) / c.stride + 1;
    const Shape shape{c.x[0], height, width, c.filter[0]};
    OpCase out{.op = Op::conv2d,
               .name = "conv2d " + c.x.text() + " with " + c.filter.text(),
               .purpose = c.purpose,
               .terms = c.filter.elements() / c.filter[0] + 2};
    if (c.stride > 1) out.name += " stride " + std::to_string(c.stride);
    if (c.activation == Activation::relu) out.name += " relu";
    if (!c.bias) out.name += " unbiased";
    if (c.residual) out.name += c.residual == 1 ? " residual" : " in place";
    if (c.groups) out.name += " after norm " + std::to_string(c.groups);
    if (c.upsample) out.name += " doubled";
    out.curved = c.groups > 0;
    // The CPU's form of doubled pictures has no fractions, and with few channels it sums directly.
    constexpr std::int64_t least_channels = 8;
    if (c.filter[2] == 3 && c.filter[3] == 3 && c.stride == 1 && !c.upsample && c.x[3] >= least_channels)
        out.winograd_channels = c.x[3];
    constexpr std::int64_t bf16_channels = 64;
    out.few_channels = std::min(c.filter[0], c.filter[1]) < bf16_channels;
    out.flops = 2 * static_cast<double>(shape.elements() * c.filter.elements() / c.filter[0]);
    out.set_up = [=](PreparedOp& p) {
        // Sums of magnitudes bound the rounding. In place of what a norm makes of small numbers they take
        // eight times the fill, more than the norm's parameters (at most 2) and the filter (at most 2, where
        // the fill is at most 1) bring in.
        constexpr float above_norm = 8.0F;
        const bool is_bound = p.fill() == Fill::magnitudes;
        Conv2dArgs a;
        a.x = p.input(c.x, p.dtype(), c.groups > 0 && is_bound ? above_norm : 1.0F);
        a.weight = p.conv2d_weight(c.filter, {c.stride, c.upsample});
        a.upsample = c.upsample;
        if (c.groups > 0 && !is_bound)
            a.norm = {.weight = p.input({c.x[3]}, DType::f32),
                      .bias = p.input({c.x[3]}, DType::f32),
                      .groups = c.groups,
                      .activation = Activation::silu};
        if (c.bias) a.bias = p.input({c.filter[0]}, DType::f32);
        a.stride = c.stride;
        a.padding = c.padding;
        a.activation = c.activation;
        if (c.residual == 1) a.residual = p.input(shape, p.dtype());
        if (c.residual == 2) a.residual = a.out = p.in_place(shape, p.dtype());
        else a.out = p.output(shape, p.dtype());
        p.set_call([a](const ExecContext& ctx) { ops::conv2d(ctx, a); });
    };
    return out;
}

}  // namespace

std::vector<OpCase> conv2d_cases() {
    using enum Activation;
    constexpr std::array<std::int64_t, 4> same{1, 1, 1, 1};
    const Conv cases[] = {
        {{1, 1, 1, 1}, {1, 1, 1, 1}},
        {{2, 5, 17, 3}, {17, 3, 3, 3}, 1, same, none, false},
        {{1, 17, 5, 7}, {5, 7, 2, 4}, 3, {0, 2, 1, 0}, relu, true, 1},
        {{1, 16, 16, 32}, {32, 32, 3, 3}, 2, {0, 0, 1, 1}},
        {{2, 32, 32, 4}, {4, 4, 1, 1}, 1, {}, none, true, 2},
        {{2, 32, 32, 4}, {64, 4, 3, 3}, 1, same},
        {{2, 32, 32, 64}, {64, 64, 3, 3}, 1, same, relu, true, 1},
        {{1, 64, 64, 64}, {3, 64, 3, 3}, 1, same},
        {{1, 1, 1, 8}, {1, 8, 3, 3}, 1, same},
        {{2, 5, 17, 9}, {17, 9, 3, 3}, 1, same, none, false},
        {{1, 7, 6, 16}, {3, 16, 3, 3}, 1, {0, 2, 1, 0}, relu, true, 1},
        {{2, 9, 7, 8}, {3, 8, 3, 3}, 1, same, none, false},
        {{2, 3, 133, 33}, {40, 33, 3, 3}, 1, {2, 0, 0, 1}, none, true, 2},
        {{1, 9, 11, 16}, {140, 16, 3, 3}, 1, {}, none, true, 1},
        {{1, 5, 7, 4}, {6, 4, 3, 3}, 2, {1, 1, 0, 0}, none, true, 0, Purpose::both, 2},
        {{1, 4, 3, 3}, {5, 3, 3, 3}, 1, same, none, true, 0, Purpose::both, 0, true},
        {{1, 1, 1, 8}, {9, 8, 3, 3}, 1, same, none, true, 0, Purpose::both, 0, true},
        {{2, 5, 67, 17}, {18, 17, 3, 3}, 1, same, none, true, 1, Purpose::both, 0, true},
        {{3, 9, 11, 20}, {24, 20, 3, 3}, 1, same, relu, true, 2, Purpose::both, 5},
        {{2, 6, 5, 12}, {18, 12, 3, 3}, 1, same, none, true, 1, Purpose::both, 3, true},
        {{1, 70, 40, 16}, {16, 16, 3, 3}, 1, same, none, true, 0, Purpose::both, 2},
        {{1, 256, 256, 16}, {3, 16, 3, 3}, 1, same, none, true, 0, Purpose::time, 2},
        {{1, 128, 128, 16}, {16, 16, 3, 3}, 1, same, none, true, 0, Purpose::time, 0, true},
        {{1, 256, 256, 16}, {16, 16, 3, 3}, 1, same, none, true, 1, Purpose::time, 2},
        {{1, 64, 64, 64}, {32, 64, 3, 3}, 1, same, none, true, 0, Purpose::time, 2},
        {{1, 256, 256, 64}, {64, 64, 3, 3}, 1, same, relu, true, 0, Purpose::time},
        {{1, 128, 128, 128}, {128, 128, 3, 3}, 1, same, none, true, 0, Purpose::time},
        {{1, 128, 128, 256}, {256, 256, 3, 3}, 1, same, none, true, 2, Purpose::time},
        {{1, 64, 64, 512}, {512, 512, 3, 3}, 1, same, none, true, 0, Purpose::time},
    };
    std::vector<OpCase> out;
    for (const auto& c : cases) out.push_back(make(c));
    return out;
}

}  // namespace t2i
