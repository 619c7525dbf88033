#include "workloads/linear_cases.h"

#include "ops/ops.h"
#include "workloads/case_names.h"

namespace t2i {
namespace {

struct Linear {
    std::int64_t m, k, n;
    Activation activation = Activation::none;
    bool bias = true;
    std::int64_t gates = 0;      // rows of the gate; 0: none
    std::int64_t residuals = 0;  // rows of the residual; 0: none; -1: in place
    bool out_compute = false;    // else f32
    Purpose purpose = Purpose::both;
    DType blocks = DType::f32;  // a block type: of the weight, which stays quantised where a backend can do that
};

OpCase make(const Linear& c) {
    OpCase out{.op = Op::linear, .name = "linear " + joined({c.m, c.k, c.n}), .purpose = c.purpose};
    constexpr const char* names[] = {"", " relu", " silu", " gelu"};
    out.name += names[static_cast<int>(c.activation)];
    if (!c.bias) out.name += " unbiased";
    if (c.gates) out.name += " gates " + std::to_string(c.gates);
    if (c.residuals) out.name += c.residuals < 0 ? " in place" : " residuals " + std::to_string(c.residuals);
    if (c.out_compute) out.name += " narrow";
    if (is_block_type(c.blocks)) out.name += " " + std::string(name_of(c.blocks));
    out.terms = c.k + 3;
    out.curved = is_block_type(c.blocks) || c.activation == Activation::silu || c.activation == Activation::gelu_tanh;
    out.flops = 2 * real(c.m) * real(c.k) * real(c.n);
    out.set_up = [c](PreparedOp& p) {
        LinearArgs a;
        a.x = p.input({c.m, c.k}, p.dtype());
        a.weight = is_block_type(c.blocks) ? p.block_weight(c.n, c.k, c.blocks) : p.linear_weight(c.n, c.k);
        if (c.bias) a.bias = p.input({c.n}, DType::f32);
        if (c.gates) a.gate = p.input({c.gates, c.n}, DType::f32);
        if (c.residuals > 0) a.residual = p.input({c.residuals, c.n}, DType::f32);
        // Sums of magnitudes bound the rounding of what comes before the activation.
        a.activation = p.fill() == Fill::magnitudes ? Activation::none : c.activation;
        if (c.residuals < 0) a.residual = a.out = p.in_place({c.m, c.n}, DType::f32);
        else a.out = p.output({c.m, c.n}, c.out_compute ? p.dtype() : DType::f32);
        p.set_call([a](const ExecContext& ctx) { ops::linear(ctx, a); });
    };
    return out;
}

}  // namespace

std::vector<OpCase> linear_cases() {
    using enum Activation;
    const Linear cases[] = {
        {1, 1, 1},
        {17, 17, 17, silu, true, 0, 0, true},
        {1, 1023, 17, none, false},
        {1023, 17, 33, relu, true, 3, 0, true},
        {2, 256, 1152, silu, true, 0, 0, true},
        {32, 256, 256, none, true, 0, -1},
        {512, 16, 384, none, true, 0, 256},
        {256, 384, 32},
        {128, 256, 1024, gelu_tanh, true, 0, 0, true},
        {128, 1024, 256, none, true, 2, -1},
        {120, 384, 1536, gelu_tanh, true, 0, 120, true},
        {256, 1152, 1152, none, true, 2, -1},
        {512, 1152, 1152, none, true, 2, -1, false, Purpose::time},
        {512, 1152, 3456, none, true, 0, 0, true, Purpose::time},
        {512, 1152, 4608, gelu_tanh, true, 0, 0, true, Purpose::time},
        {512, 4608, 1152, none, true, 2, -1, false, Purpose::time},
        {120, 4096, 4096, none, false, 0, 0, true, Purpose::time},
        {1, 4096, 4096, none, false, 0, 0, true, Purpose::time},
        {7, 256, 70, silu, true, 0, 0, true, Purpose::both, DType::q5_k},
        {65, 512, 96, none, true, 0, -1, false, Purpose::both, DType::q6_k},
        {120, 4096, 4096, none, false, 0, 0, true, Purpose::time, DType::q8_0},
        {1, 4096, 4096, none, false, 0, 0, true, Purpose::time, DType::q8_0},
        {120, 4096, 4096, none, false, 0, 0, true, Purpose::time, DType::q4_k},
        {1, 4096, 4096, none, false, 0, 0, true, Purpose::time, DType::q4_k},
    };
    std::vector<OpCase> out;
    for (const auto& c : cases) out.push_back(make(c));
    return out;
}

}  // namespace t2i
