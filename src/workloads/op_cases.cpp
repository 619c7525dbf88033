#include "workloads/op_cases.h"

#include <cmath>

#include "ops/ops.h"
#include "workloads/attention_cases.h"
#include "workloads/case_names.h"
#include "workloads/conv2d_cases.h"
#include "workloads/linear_cases.h"

namespace t2i {
namespace {

OpCase norm_modulate(std::int64_t m, std::int64_t c, std::int64_t groups, bool narrow) {
    OpCase out{
        .op = Op::norm_modulate, .name = "norm_modulate " + joined({m, c}) + " groups " + std::to_string(groups), .terms = c};
    if (narrow) out.name += " narrow";
    out.set_up = [=](PreparedOp& p) {
        NormModulateArgs a{.x = p.input({m, c}, DType::f32),
                           .shift = p.input({groups, c}, DType::f32),
                           .scale = p.input({groups, c}, DType::f32),
                           .eps = 1e-6F,
                           .out = {}};
        a.out = p.output({m, c}, narrow ? p.dtype() : DType::f32);
        p.set_call([a](const ExecContext& ctx) { ops::norm_modulate(ctx, a); });
    };
    return out;
}

enum class Watch : std::uint8_t { first, second, third };  // which of several outputs the case compares

// Watch: what the next layer reads, or the stream. groups 0: no norm; gates 0: no gate
OpCase residual_norm(std::int64_t m, std::int64_t c, std::int64_t gates, std::int64_t groups, Watch watch) {
    OpCase out{
        .op = Op::residual_norm,
        .name = "residual_norm " + joined({m, c}) + " gates " + std::to_string(gates) + " groups " + std::to_string(groups),
        .purpose = watch == Watch::first ? Purpose::both : Purpose::test,
        .terms = c};
    if (watch == Watch::second) out.name += " stream";
    out.set_up = [=](PreparedOp& p) {
        ResidualNormArgs a;
        a.y = p.input({m, c}, p.dtype());
        if (gates) a.gate = p.input({gates, c}, DType::f32);
        if (groups) {
            a.shift = p.input({groups, c}, DType::f32);
            a.scale = p.input({groups, c}, DType::f32);
        }
        // Whatever is not watched starts from the same numbers on every backend too.
        a.stream = watch == Watch::second ? p.in_place({m, c}, DType::f32) : p.input({m, c}, DType::f32);
        if (watch == Watch::first) p.add_traffic(4 * m * c);  // the stream is written too
        a.out = watch == Watch::first ? p.output({m, c}, p.dtype()) : p.input({m, c}, p.dtype());
        p.set_call([a](const ExecContext& ctx) { ops::residual_norm(ctx, a); });
    };
    return out;
}

// Watch: x, x0, or what the model reads next.
OpCase sampler_update(std::int64_t count, std::int64_t copies, std::int64_t history, Watch watch) {
    constexpr const char* names[] = {" x", " x0", " inputs"};
    OpCase out{.op = Op::sampler_update,
               .name = "sampler_update " + joined({count, copies, history}) + names[static_cast<int>(watch)],
               .purpose = watch == Watch::first ? Purpose::both : Purpose::test,
               .terms = history + 3};
    out.set_up = [=](PreparedOp& p) {
        const TensorView model = p.input({copies, count}, DType::f32);
        const TensorView x = watch == Watch::first ? p.in_place({count}, DType::f32) : p.input({count}, DType::f32);
        const TensorView x0 = watch == Watch::second ? p.output({count}, DType::f32) : p.input({count}, DType::f32);
        std::vector<LincombTerm> to_x0{{1.0, x}}, to_x{{0.875, x}, {0.1, x0}};
        for (std::int64_t i = 0; i < copies; ++i) to_x0.push_back({0.7 * real(i) - 0.4, model.slice(i, 1)});
        for (std::int64_t i = 0; i < history; ++i) to_x.push_back({-0.01 * real(i + 1), p.input({count}, DType::f32)});
        SamplerUpdateArgs a;
        a.x0 = x0;
        a.x = x;
        a.input_scale = 0.9;
        a.inputs = watch == Watch::third ? p.output({copies, count}, DType::f32) : p.input({copies, count}, DType::f32);
        a.step = 3;
        a.first_bad = p.integers({100});
        p.set_call([=](const ExecContext& ctx) {
            SamplerUpdateArgs with_terms = a;
            with_terms.x0_terms = to_x0;
            with_terms.x_terms = to_x;
            ops::sampler_update(ctx, with_terms);
        });
    };
    return out;
}

OpCase limit(std::int64_t rows, std::int64_t columns, float range, double quantile) {
    OpCase out{.op = Op::limit,
               .name = "limit " + joined({rows, columns}) + (quantile > 0.0 ? " quantile" : ""),
               .purpose = columns > 1 ? Purpose::both : Purpose::test};
    out.set_up = [=](PreparedOp& p) {
        // Larger than 1, below which no quantile counts, and not in place, so that it can be repeated.
        const TensorView x = p.input({rows, columns}, DType::f32, 3.0F), y = p.output({rows, columns}, DType::f32);
        p.set_call([=](const ExecContext& ctx) {
            const std::array copy{LincombTerm{1.0, x}};
            ops::lincomb(ctx, copy, y);
            ops::limit(ctx, {.x = y, .range = range, .quantile = quantile});
        });
    };
    return out;
}

OpCase to_rgb8(std::int64_t count) {
    OpCase out{.op = Op::to_rgb8, .name = "to_rgb8 " + std::to_string(count)};
    out.set_up = [=](PreparedOp& p) {
        const TensorView x = p.input({count}, DType::f32, 1.2F), y = p.output({count}, DType::u8);
        p.set_call([=](const ExecContext& ctx) { ops::to_rgb8(ctx, x, y); });
    };
    return out;
}

OpCase rms_norm(std::int64_t m, std::int64_t c) {
    OpCase out{.op = Op::rms_norm, .name = "rms_norm " + joined({m, c}), .terms = c};
    out.set_up = [=](PreparedOp& p) {
        const TensorView x = p.input({m, c}, DType::f32), weight = p.input({c}, DType::f32), y = p.output({m, c}, p.dtype());
        p.set_call([=](const ExecContext& ctx) { ops::rms_norm(ctx, x, weight, 1e-6F, y); });
    };
    return out;
}

OpCase group_norm(const Shape& shape, std::int64_t groups, Activation activation, Purpose purpose = Purpose::both) {
    OpCase out{.op = Op::group_norm,
               .name = "group_norm " + shape.text() + " groups " + std::to_string(groups),
               .purpose = purpose,
               .terms = shape[1] * shape[2] * shape[3] / groups};
    if (activation == Activation::silu) out.name += " silu";
    out.set_up = [=](PreparedOp& p) {
        const std::int64_t c = shape[3];
        const GroupNormArgs a{.x = p.input(shape, p.dtype()),
                              .weight = p.input({c}, DType::f32),
                              .bias = p.input({c}, DType::f32),
                              .groups = groups,
                              .eps = 1e-6F,
                              .activation = activation,
                              .out = p.output(shape, p.dtype())};
        p.set_call([a](const ExecContext& ctx) { ops::group_norm(ctx, a); });
    };
    return out;
}

// An op that maps one tensor of activations to another.
OpCase mapped(Op op, const std::string& name, const Shape& from, const Shape& to, float amplitude,
              void (*call)(const ExecContext&, const TensorView&, const TensorView&)) {
    OpCase out{.op = op, .name = name + " " + from.text()};
    out.set_up = [=](PreparedOp& p) {
        const TensorView x = p.input(from, p.dtype(), amplitude), y = p.output(to, p.dtype());
        p.set_call([=](const ExecContext& ctx) { call(ctx, x, y); });
    };
    return out;
}

template <Unary f>
OpCase unary(const char* name, std::int64_t count) {
    OpCase out = mapped(Op::unary, std::string("unary ") + name, {count}, {count}, 6.0F,
                        [](const ExecContext& ctx, const TensorView& x, const TensorView& y) { ops::unary(ctx, f, x, y); });
    out.curved = f != Unary::relu;
    return out;
}

OpCase gated_gelu(std::int64_t m, std::int64_t f) {
    OpCase out = mapped(Op::gated_gelu, "gated_gelu", {m, 2 * f}, {m, f}, 3.0F, ops::gated_gelu);
    out.curved = true;
    return out;
}

OpCase lincomb(std::int64_t terms, std::int64_t count, bool in_place) {
    OpCase out{.op = Op::lincomb, .name = "lincomb " + joined({terms, count}) + (in_place ? " in place" : ""), .terms = terms};
    out.set_up = [=](PreparedOp& p) {
        std::vector<LincombTerm> list;
        for (std::int64_t t = 0; t < terms; ++t) list.push_back({0.3 * real(t) - 0.7, p.input({count}, DType::f32)});
        const TensorView y = in_place ? p.in_place({count}, DType::f32) : p.output({count}, DType::f32);
        if (in_place) list.back().x = y;
        p.set_call([=](const ExecContext& ctx) { ops::lincomb(ctx, list, y); });
    };
    return out;
}

OpCase gather(std::int64_t table, std::int64_t columns, std::int64_t rows, bool f16) {
    OpCase out{.op = Op::gather, .name = "gather " + joined({table, columns, rows}) + (f16 ? " f16" : "")};
    out.set_up = [=](PreparedOp& p) {
        const TensorView t = f16 ? p.f16_input({table, columns}) : p.input({table, columns}, p.dtype());
        p.add_traffic((rows - table) * columns * static_cast<std::int64_t>(size_of(t.dtype)));  // not the whole table
        const TensorView y = p.output({rows, columns}, DType::f32);
        p.set_call([=, ids = p.indices(rows, static_cast<std::int32_t>(table))](const ExecContext& ctx) {
            ops::gather(ctx, t, ids, y);
        });
    };
    return out;
}

OpCase patchify(const Shape& latents, std::int64_t p) {
    const std::int64_t tokens = latents[0] * latents[2] * latents[3] / (p * p);
    OpCase out{.op = Op::patchify, .name = "patchify " + latents.text() + " by " + std::to_string(p)};
    out.set_up = [=](PreparedOp& prepared) {
        const TensorView x = prepared.input(latents, DType::f32);
        const TensorView y = prepared.output({tokens, latents[1] * p * p}, prepared.dtype());
        prepared.set_call([=](const ExecContext& ctx) { ops::patchify(ctx, x, p, y); });
    };
    return out;
}

OpCase unpatchify(const Shape& latents, std::int64_t p, std::int64_t channels) {
    const std::int64_t tokens = latents[0] * latents[2] * latents[3] / (p * p);
    OpCase out{.op = Op::unpatchify,
               .name = "unpatchify " + latents.text() + " by " + std::to_string(p) + " of " + std::to_string(channels)};
    out.set_up = [=](PreparedOp& prepared) {
        const TensorView x = prepared.input({tokens, channels * p * p}, DType::f32), y = prepared.output(latents, DType::f32);
        prepared.set_call([=](const ExecContext& ctx) { ops::unpatchify(ctx, x, p, y); });
    };
    return out;
}

OpCase timestep_embed(std::int64_t count, std::int64_t columns, float shift) {
    OpCase out{.op = Op::timestep_embed, .name = "timestep_embed " + joined({count, columns}) + (shift != 0 ? " shifted" : "")};
    out.set_up = [=](PreparedOp& p) {
        const TensorView y = p.output({count, columns}, p.dtype());
        p.set_call([=, t = p.numbers(count, 999.0F)](const ExecContext& ctx) { ops::timestep_embed(ctx, t, shift, y); });
    };
    return out;
}

OpCase unpack(DType blocks, std::int64_t count) {
    OpCase out{.op = Op::cast, .name = "cast from " + std::string(name_of(blocks)) + " " + std::to_string(count)};
    out.curved = true;
    out.set_up = [=](PreparedOp& p) {
        const TensorView x = p.block_input({count}, blocks), y = p.output({count}, p.dtype());
        p.set_call([=](const ExecContext& ctx) { ops::cast(ctx, x, y); });
    };
    return out;
}

enum class Cast : std::uint8_t { to, from, from_f16 };
OpCase cast(Cast direction, std::int64_t count) {
    constexpr const char* names[] = {"to", "from", "from f16"};
    OpCase out{.op = Op::cast, .name = std::string("cast ") + names[static_cast<int>(direction)] + " " + std::to_string(count)};
    out.set_up = [=](PreparedOp& p) {
        const TensorView x =
            direction == Cast::from_f16 ? p.f16_input({count}) : p.input({count}, direction == Cast::to ? DType::f32 : p.dtype());
        const TensorView y = p.output({count}, direction == Cast::to ? p.dtype() : DType::f32);
        p.set_call([=](const ExecContext& ctx) { ops::cast(ctx, x, y); });
    };
    return out;
}

OpCase channels(Op op, const Shape& from, const Shape& to) {
    const bool last = op == Op::to_channels_last;
    OpCase out{.op = op, .name = std::string(name_of(op)) + " " + from.text()};
    out.set_up = [=](PreparedOp& p) {
        const TensorView x = p.input(from, last ? DType::f32 : p.dtype()), y = p.output(to, last ? p.dtype() : DType::f32);
        p.set_call([=](const ExecContext& ctx) { last ? ops::to_channels_last(ctx, x, y) : ops::to_channels_first(ctx, x, y); });
    };
    return out;
}

}  // namespace

std::unique_ptr<PreparedOp> OpCase::prepare(Backend& backend, DType dtype, Fill fill) const {
    auto prepared = std::make_unique<PreparedOp>(backend, dtype, fill);
    set_up(*prepared);
    return prepared;
}

const std::vector<Op>& all_ops() {
    using enum Op;
    static const std::vector<Op> ops{
        linear, attention,        norm_modulate,     rms_norm,      group_norm,     conv2d,     upsample2x,
        unary,  gated_gelu,       lincomb,           gather,        patchify,       unpatchify, timestep_embed,
        cast,   to_channels_last, to_channels_first, residual_norm, sampler_update, limit,      to_rgb8};
    return ops;
}

std::vector<OpCase> op_cases(Op op) {
    using enum Activation;
    switch (op) {
        case Op::linear:
            return linear_cases();
        case Op::attention:
            return attention_cases();
        case Op::norm_modulate:
            return {norm_modulate(1, 2, 1, false), norm_modulate(17, 17, 17, true), norm_modulate(34, 1023, 2, false),
                    norm_modulate(512, 1152, 2, true)};
        case Op::rms_norm:
            return {rms_norm(1, 1), rms_norm(17, 1023), rms_norm(120, 4096)};
        case Op::group_norm:
            return {group_norm({1, 1, 3, 1}, 1, none), group_norm({2, 3, 5, 34}, 2, silu), group_norm({1, 17, 23, 17}, 17, none),
                    group_norm({2, 32, 32, 64}, 32, silu), group_norm({1, 256, 256, 128}, 32, silu, Purpose::time)};
        case Op::conv2d:
            return conv2d_cases();
        case Op::upsample2x:
            return {mapped(op, "upsample2x", {1, 1, 1, 1}, {1, 2, 2, 1}, 1.0F, ops::upsample2x),
                    mapped(op, "upsample2x", {2, 3, 17, 5}, {2, 6, 34, 5}, 1.0F, ops::upsample2x),
                    mapped(op, "upsample2x", {1, 32, 32, 64}, {1, 64, 64, 64}, 1.0F, ops::upsample2x)};
        case Op::unary:
            return {unary<Unary::silu>("silu", 1),
                    unary<Unary::silu>("silu", 1023),
                    unary<Unary::gelu_tanh>("gelu", 1023),
                    unary<Unary::relu>("relu", 17),
                    unary<Unary::soft_clamp3>("soft_clamp3", 4096),
                    unary<Unary::exp>("exp", 1023),
                    unary<Unary::silu>("silu", 294912)};
        case Op::gated_gelu:
            return {gated_gelu(1, 1), gated_gelu(17, 1023), gated_gelu(120, 2816)};
        case Op::lincomb:
            return {lincomb(1, 1, false), lincomb(2, 1023, true), lincomb(5, 8192, false), lincomb(3, 16411, true)};
        case Op::gather:
            return {gather(1, 1, 1, false), gather(17, 1023, 5, true), gather(1000, 384, 120, false)};
        case Op::patchify:
            return {patchify({1, 1, 1, 1}, 1), patchify({2, 4, 32, 32}, 2), patchify({1, 3, 12, 6}, 3)};
        case Op::unpatchify:
            return {unpatchify({1, 1, 1, 1}, 1, 1), unpatchify({2, 4, 32, 32}, 2, 8), unpatchify({1, 3, 12, 6}, 3, 3)};
        case Op::timestep_embed:
            return {timestep_embed(1, 2, 0.0F), timestep_embed(17, 256, 0.0F), timestep_embed(50, 320, 1.0F)};
        case Op::cast:
            return {cast(Cast::to, 1),        cast(Cast::to, 1023),    cast(Cast::from, 1023),  cast(Cast::from_f16, 1023),
                    cast(Cast::to, 294912),   unpack(DType::q8_0, 96), unpack(DType::q4_0, 96), unpack(DType::q4_k, 512),
                    unpack(DType::q5_k, 512), unpack(DType::q6_k, 512)};
        case Op::to_channels_last:
            return {channels(op, {1, 1, 1, 1}, {1, 1, 1, 1}), channels(op, {2, 4, 32, 32}, {2, 32, 32, 4}),
                    channels(op, {1, 17, 3, 5}, {1, 3, 5, 17})};
        case Op::to_channels_first:
            return {channels(op, {1, 1, 1, 1}, {1, 1, 1, 1}), channels(op, {1, 256, 256, 3}, {1, 3, 256, 256}),
                    channels(op, {2, 3, 5, 17}, {2, 17, 3, 5})};
        case Op::residual_norm:
            return {residual_norm(1, 2, 0, 0, Watch::first),      residual_norm(17, 17, 17, 1, Watch::first),
                    residual_norm(34, 1023, 2, 0, Watch::first),  residual_norm(34, 1023, 2, 2, Watch::second),
                    residual_norm(128, 256, 1, 1, Watch::first),  residual_norm(512, 1152, 1, 1, Watch::first),
                    residual_norm(512, 1152, 0, 1, Watch::second)};
        case Op::sampler_update:
            return {sampler_update(1, 1, 0, Watch::first), sampler_update(1023, 2, 1, Watch::first),
                    sampler_update(4096, 2, 1, Watch::second), sampler_update(4096, 2, 2, Watch::third),
                    sampler_update(16384, 2, 3, Watch::first)};
        case Op::limit:
            return {limit(1, 1, 1.0F, 0.0),     limit(3, 1023, 0.5F, 0.0),      limit(1, 1, 4.0F, 0.995),
                    limit(2, 1023, 2.0F, 0.75), limit(2, 16384, 100.0F, 0.995), limit(3, 2, 3.0F, 1.0)};
        case Op::to_rgb8:
            return {to_rgb8(1), to_rgb8(1023), to_rgb8(196608)};
    }
    return {};
}

}  // namespace t2i
