#include "ops/ops.h"

#include <initializer_list>
#include <limits>
#include <utility>

namespace t2i::ops {
namespace {

std::string text(const TensorView& t) {
    return std::string(name_of(t.dtype)) + t.shape.text();
}

bool is_activation(DType t) {
    return t == DType::f32 || t == DType::bf16;
}

bool same_dims(const TensorView& t, std::initializer_list<std::int64_t> dims) {
    return t.shape == Shape(dims);
}

bool overlap(const TensorView& a, const TensorView& b) {
    const auto* a0 = static_cast<const std::byte*>(a.data);
    const auto* b0 = static_cast<const std::byte*>(b.data);
    return a0 < b0 + b.bytes() && b0 < a0 + a.bytes();
}

// Every tensor of an op must have memory and at least one element.
void check_filled(Op op, std::initializer_list<const TensorView*> tensors) {
    for (const TensorView* t : tensors)
        T2I_CHECK(t->data != nullptr && t->elements() > 0, std::string(name_of(op)) + ": a tensor is empty");
}

void check_activation(Op op, const TensorView& t) {
    T2I_CHECK(is_activation(t.dtype), std::string(name_of(op)) + " takes f32 or bf16, not " + text(t));
}

// A vector of parameters per channel: f32, `count` elements.
void check_vector(Op op, const TensorView& t, std::int64_t count) {
    check_filled(op, {&t});
    T2I_CHECK(t.dtype == DType::f32 && t.elements() == count,
              std::string(name_of(op)) + ": " + text(t) + " where f32[" + std::to_string(count) + "] belongs");
}

// f32 [G, columns] whose rows are shared by `rows` rows, rows a multiple of G.
void check_shared_rows(Op op, const TensorView& t, std::int64_t rows, std::int64_t columns) {
    check_filled(op, {&t});
    T2I_CHECK(t.dtype == DType::f32 && t.shape.columns() == columns && rows % t.shape.rows() == 0,
              std::string(name_of(op)) + ": " + text(t) + " cannot be shared by rows of [" + std::to_string(rows) + ", " +
                  std::to_string(columns) + "]");
}

void check_apart(Op op, const TensorView& out, const TensorView& in) {
    T2I_CHECK(!overlap(out, in), std::string(name_of(op)) + ": the output " + text(out) + " overlaps an input");
}

void check_matrix_in_columns(const Columns& c, std::int64_t rows, std::int64_t width) {
    check_filled(Op::attention, {&c.matrix});
    T2I_CHECK(c.begin >= 0 && c.width == width && c.begin + c.width <= c.matrix.shape.columns() && c.matrix.shape.rows() == rows,
              "attention: columns " + std::to_string(c.begin) + "+" + std::to_string(c.width) + " of " + text(c.matrix));
}

// Lengths in a device's memory are its kernels' to keep in range.
void check_key_lengths(const TensorView& lengths, std::int64_t batch, std::int64_t keys) {
    check_filled(Op::attention, {&lengths});
    T2I_CHECK(lengths.dtype == DType::i32 && lengths.elements() == batch,
              "attention: key lengths " + text(lengths) + " for " + std::to_string(batch) + " sequences");
    if (lengths.device != Device::host) return;
    for (const auto length : lengths.as<std::int32_t>())
        T2I_CHECK(length >= 1 && length <= keys, "attention: key length " + std::to_string(length));
}

// Keys of all sequences that take part, where the host can read it; else all.
std::int64_t keys_read(const std::optional<TensorView>& lengths, std::int64_t all) {
    if (!lengths || lengths->device != Device::host) return all;
    std::int64_t keys = 0;
    for (const auto length : lengths->as<std::int32_t>()) keys += length;
    return keys;
}

// The terms of a sum that is written to `out`; a term may be `out` itself unless `apart`.
void check_terms(Op op, std::span<const LincombTerm> terms, const TensorView& out, bool apart) {
    check_filled(op, {&out});
    T2I_CHECK(!terms.empty() && out.dtype == DType::f32,
              std::string(name_of(op)) + " of " + std::to_string(terms.size()) + " terms to " + text(out));
    for (const auto& term : terms) {
        check_filled(op, {&term.x});
        T2I_CHECK(term.x.dtype == DType::f32 && term.x.elements() == out.elements(),
                  std::string(name_of(op)) + ": " + text(term.x) + " to " + text(out));
        if (apart || term.x.data != out.data) check_apart(op, out, term.x);
    }
}

// Products and convolutions report their work: `each` · the product of the extents.
void count_flops(const ExecContext& ctx, double each, std::initializer_list<std::int64_t> extents) {
    if (!ctx.tracer) return;
    for (const auto extent : extents) each *= static_cast<double>(extent);
    ctx.tracer->add_flops(each);
}

void check_norm(Op op, const InputNorm& norm, const TensorView& x) {
    const std::int64_t channels = x.shape[3];
    T2I_CHECK(norm.groups >= 1 && channels % norm.groups == 0,
              std::string(name_of(op)) + ": " + std::to_string(norm.groups) + " groups of " + text(x));
    T2I_CHECK(norm.activation == Activation::none || norm.activation == Activation::silu,
              std::string(name_of(op)) + ": activation of the norm");
    check_vector(op, norm.weight, channels);
    check_vector(op, norm.bias, channels);
}

// The same convolution of an input that is normalised and doubled already, unless the backend does that itself.
Conv2dArgs with_input_made(const ExecContext& ctx, Conv2dArgs a) {
    if ((!a.norm && !a.upsample) || ctx.backend.makes_conv2d_input(a)) return a;
    if (const auto norm = std::exchange(a.norm, std::nullopt)) {
        const TensorView normed = ctx.scratch.take(a.x.shape, a.x.dtype);
        ctx.backend.group_norm({a.x, norm->weight, norm->bias, norm->groups, norm->eps, norm->activation, normed});
        a.x = normed;
    }
    if (std::exchange(a.upsample, false)) {
        const Shape& s = a.x.shape;
        const TensorView doubled = ctx.scratch.take({s[0], 2 * s[1], 2 * s[2], s[3]}, a.x.dtype);
        ctx.backend.upsample2x(a.x, doubled);
        a.x = doubled;
    }
    return a;
}

std::int64_t convolved(std::int64_t size, std::int64_t before, std::int64_t after, std::int64_t kernel, std::int64_t stride) {
    return (size + before + after - kernel) / stride + 1;
}

}  // namespace

void linear(const ExecContext& ctx, const LinearArgs& a) {
    T2I_CHECK(a.weight != nullptr && a.weight->shape.rank() == 2, "linear without a packed [N, K] weight");
    check_filled(Op::linear, {&a.x, &a.out});
    const std::int64_t m = a.x.shape.rows(), k = a.weight->shape[1], n = a.weight->shape[0];
    T2I_CHECK(a.x.dtype == a.weight->compute && a.x.shape.columns() == k,
              "linear: x " + text(a.x) + " times a weight of " + a.weight->shape.text());
    T2I_CHECK(
        (a.out.dtype == DType::f32 || a.out.dtype == a.weight->compute) && a.out.shape.rows() == m && a.out.shape.columns() == n,
        "linear: out " + text(a.out) + " for x " + text(a.x) + " and weight " + a.weight->shape.text());
    check_apart(Op::linear, a.out, a.x);
    if (a.bias) check_vector(Op::linear, *a.bias, n);
    if (a.gate) check_shared_rows(Op::linear, *a.gate, m, n);
    if (a.residual) {
        check_shared_rows(Op::linear, *a.residual, m, n);
        const bool in_place =
            a.residual->data == a.out.data && a.residual->elements() == a.out.elements() && a.out.dtype == DType::f32;
        if (!in_place) check_apart(Op::linear, a.out, *a.residual);
    }
    count_flops(ctx, 2.0, {m, n, k});
    ctx.backend.linear(a);
}

void attention(const ExecContext& ctx, const AttentionArgs& a) {
    check_activation(Op::attention, a.q.matrix);
    T2I_CHECK(a.batch >= 1 && a.heads >= 1, "attention without a batch or heads");
    const std::int64_t rows_q = a.q.matrix.shape.rows(), rows_k = a.k.matrix.shape.rows();
    T2I_CHECK(rows_q % a.batch == 0 && rows_k % a.batch == 0 && a.q.width % a.heads == 0,
              "attention: q " + text(a.q.matrix) + " and k " + text(a.k.matrix) + " in " + std::to_string(a.batch) +
                  " sequences of " + std::to_string(a.heads) + " heads");
    check_matrix_in_columns(a.q, rows_q, a.q.width);
    check_matrix_in_columns(a.k, rows_k, a.q.width);
    check_matrix_in_columns(a.v, rows_k, a.q.width);
    check_filled(Op::attention, {&a.out});
    T2I_CHECK(
        a.k.matrix.dtype == a.q.matrix.dtype && a.v.matrix.dtype == a.q.matrix.dtype && a.out.dtype == a.q.matrix.dtype &&
            a.out.shape.rows() == rows_q && a.out.shape.columns() == a.q.width,
        "attention: q " + text(a.q.matrix) + ", k " + text(a.k.matrix) + ", v " + text(a.v.matrix) + ", out " + text(a.out));
    for (const TensorView* in : {&a.q.matrix, &a.k.matrix, &a.v.matrix}) check_apart(Op::attention, a.out, *in);
    if (a.bias)
        T2I_CHECK(a.bias->dtype == DType::f32 && same_dims(*a.bias, {a.heads, rows_q / a.batch, rows_k / a.batch}),
                  "attention: bias " + text(*a.bias));
    if (a.key_lengths) check_key_lengths(*a.key_lengths, a.batch, rows_k / a.batch);
    count_flops(ctx, 4.0, {rows_q / a.batch, keys_read(a.key_lengths, rows_k), a.q.width});
    ctx.backend.attention(a);
}

void norm_modulate(const ExecContext& ctx, const NormModulateArgs& a) {
    check_filled(Op::norm_modulate, {&a.x, &a.out});
    check_activation(Op::norm_modulate, a.out);
    const std::int64_t m = a.x.shape.rows(), c = a.x.shape.columns();
    T2I_CHECK(a.x.dtype == DType::f32 && a.out.shape.rows() == m && a.out.shape.columns() == c,
              "norm_modulate: " + text(a.x) + " to " + text(a.out));
    check_shared_rows(Op::norm_modulate, a.shift, m, c);
    check_shared_rows(Op::norm_modulate, a.scale, m, c);
    T2I_CHECK(a.shift.shape.rows() == a.scale.shape.rows(), "norm_modulate: shift " + text(a.shift) + ", scale " + text(a.scale));
    if (a.out.data != a.x.data || a.out.dtype != DType::f32) check_apart(Op::norm_modulate, a.out, a.x);
    ctx.backend.norm_modulate(a);
}

void rms_norm(const ExecContext& ctx, const TensorView& x, const TensorView& weight, float eps, const TensorView& out) {
    check_filled(Op::rms_norm, {&x, &out});
    check_activation(Op::rms_norm, out);
    T2I_CHECK(x.dtype == DType::f32 && out.shape.rows() == x.shape.rows() && out.shape.columns() == x.shape.columns(),
              "rms_norm: " + text(x) + " to " + text(out));
    check_vector(Op::rms_norm, weight, x.shape.columns());
    if (out.data != x.data || out.dtype != DType::f32) check_apart(Op::rms_norm, out, x);
    ctx.backend.rms_norm(x, weight, eps, out);
}

void group_norm(const ExecContext& ctx, const GroupNormArgs& a) {
    check_filled(Op::group_norm, {&a.x, &a.out});
    check_activation(Op::group_norm, a.x);
    T2I_CHECK(a.x.shape.rank() == 4 && a.out.shape == a.x.shape && a.out.dtype == a.x.dtype,
              "group_norm: " + text(a.x) + " to " + text(a.out));
    check_norm(Op::group_norm, {a.weight, a.bias, a.groups, a.eps, a.activation}, a.x);
    if (a.out.data != a.x.data) check_apart(Op::group_norm, a.out, a.x);
    ctx.backend.group_norm(a);
}

void conv2d(const ExecContext& ctx, const Conv2dArgs& a) {
    T2I_CHECK(a.weight != nullptr && a.weight->shape.rank() == 4, "conv2d without a packed [Cout, Cin, KH, KW] weight");
    check_filled(Op::conv2d, {&a.x, &a.out});
    const Shape& w = a.weight->shape;
    T2I_CHECK(a.x.dtype == a.weight->compute && a.x.shape.rank() == 4 && a.x.shape[3] == w[1],
              "conv2d: x " + text(a.x) + " with a filter of " + w.text());
    if (a.norm) check_norm(Op::conv2d, *a.norm, a.x);
    T2I_CHECK(!a.upsample || (w[2] == 3 && w[3] == 3 && a.stride == 1 && a.padding == std::array<std::int64_t, 4>{1, 1, 1, 1}),
              "conv2d: a doubled picture with a filter of " + w.text());
    const std::int64_t factor = a.upsample ? 2 : 1, rows = factor * a.x.shape[1], columns = factor * a.x.shape[2];
    T2I_CHECK(a.stride >= 1, "conv2d: stride " + std::to_string(a.stride));
    for (const auto p : a.padding) T2I_CHECK(p >= 0, "conv2d: padding " + std::to_string(p));
    T2I_CHECK(rows + a.padding[0] + a.padding[2] >= w[2] && columns + a.padding[1] + a.padding[3] >= w[3],
              "conv2d: filter " + w.text() + " is larger than " + text(a.x));
    const std::int64_t height = convolved(rows, a.padding[0], a.padding[2], w[2], a.stride);
    const std::int64_t width = convolved(columns, a.padding[1], a.padding[3], w[3], a.stride);
    T2I_CHECK(a.out.dtype == a.x.dtype && same_dims(a.out, {a.x.shape[0], height, width, w[0]}),
              "conv2d: out " + text(a.out) + " for x " + text(a.x) + " and filter " + w.text());
    T2I_CHECK(a.activation == Activation::none || a.activation == Activation::relu, "conv2d: activation");
    check_apart(Op::conv2d, a.out, a.x);
    if (a.bias) check_vector(Op::conv2d, *a.bias, w[0]);
    if (a.residual) {
        check_filled(Op::conv2d, {&*a.residual});
        T2I_CHECK(a.residual->dtype == a.out.dtype && a.residual->shape == a.out.shape,
                  "conv2d: residual " + text(*a.residual) + " for out " + text(a.out));
        if (a.residual->data != a.out.data) check_apart(Op::conv2d, a.out, *a.residual);
    }
    count_flops(ctx, 2.0, {a.out.elements(), w[1], w[2], w[3]});
    const Arena::Mark mark(ctx.scratch);
    ctx.backend.conv2d(with_input_made(ctx, a));
}

void upsample2x(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::upsample2x, {&x, &out});
    check_activation(Op::upsample2x, x);
    T2I_CHECK(
        x.shape.rank() == 4 && out.dtype == x.dtype && same_dims(out, {x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3]}),
        "upsample2x: " + text(x) + " to " + text(out));
    check_apart(Op::upsample2x, out, x);
    ctx.backend.upsample2x(x, out);
}

void unary(const ExecContext& ctx, Unary f, const TensorView& x, const TensorView& out) {
    check_filled(Op::unary, {&x, &out});
    check_activation(Op::unary, x);
    T2I_CHECK(out.shape == x.shape && out.dtype == x.dtype, "unary: " + text(x) + " to " + text(out));
    if (out.data != x.data) check_apart(Op::unary, out, x);
    ctx.backend.unary(f, x, out);
}

void gated_gelu(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::gated_gelu, {&x, &out});
    check_activation(Op::gated_gelu, x);
    T2I_CHECK(out.dtype == x.dtype && out.shape.rows() == x.shape.rows() && 2 * out.shape.columns() == x.shape.columns(),
              "gated_gelu: " + text(x) + " to " + text(out));
    check_apart(Op::gated_gelu, out, x);
    ctx.backend.gated_gelu(x, out);
}

void lincomb(const ExecContext& ctx, std::span<const LincombTerm> terms, const TensorView& out) {
    check_terms(Op::lincomb, terms, out, false);
    ctx.backend.lincomb(terms, out);
}

void gather(const ExecContext& ctx, const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out) {
    check_filled(Op::gather, {&table, &out});
    T2I_CHECK(table.shape.rank() == 2 && (is_activation(table.dtype) || table.dtype == DType::f16), "gather from " + text(table));
    T2I_CHECK(out.dtype == DType::f32 && out.shape.columns() == table.shape[1] &&
                  out.shape.rows() == static_cast<std::int64_t>(ids.size()),
              "gather: " + std::to_string(ids.size()) + " rows of " + text(table) + " to " + text(out));
    for (const auto id : ids)
        T2I_CHECK(id >= 0 && id < table.shape[0], "gather: row " + std::to_string(id) + " of " + text(table));
    check_apart(Op::gather, out, table);
    ctx.backend.gather(table, ids, out);
}

void patchify(const ExecContext& ctx, const TensorView& latents, std::int64_t patch, const TensorView& out) {
    check_filled(Op::patchify, {&latents, &out});
    check_activation(Op::patchify, out);
    const Shape& s = latents.shape;
    T2I_CHECK(latents.dtype == DType::f32 && s.rank() == 4 && patch >= 1 && s[2] % patch == 0 && s[3] % patch == 0,
              "patchify: " + text(latents) + " in patches of " + std::to_string(patch));
    T2I_CHECK(out.shape.rows() == s[0] * (s[2] / patch) * (s[3] / patch) && out.shape.columns() == s[1] * patch * patch,
              "patchify: " + text(latents) + " to " + text(out));
    check_apart(Op::patchify, out, latents);
    ctx.backend.patchify(latents, patch, out);
}

void unpatchify(const ExecContext& ctx, const TensorView& tokens, std::int64_t patch, const TensorView& out) {
    check_filled(Op::unpatchify, {&tokens, &out});
    const Shape& s = out.shape;
    T2I_CHECK(tokens.dtype == DType::f32 && out.dtype == DType::f32 && s.rank() == 4 && patch >= 1 && s[2] % patch == 0 &&
                  s[3] % patch == 0,
              "unpatchify: " + text(tokens) + " to " + text(out));
    T2I_CHECK(tokens.shape.rows() == s[0] * (s[2] / patch) * (s[3] / patch) && tokens.shape.columns() % (patch * patch) == 0 &&
                  tokens.shape.columns() >= s[1] * patch * patch,
              "unpatchify: " + text(tokens) + " to " + text(out));
    check_apart(Op::unpatchify, out, tokens);
    ctx.backend.unpatchify(tokens, patch, out);
}

void timestep_embed(const ExecContext& ctx, std::span<const float> timesteps, float shift, const TensorView& out) {
    check_filled(Op::timestep_embed, {&out});
    check_activation(Op::timestep_embed, out);
    const std::int64_t half = out.shape.columns() / 2;
    T2I_CHECK(out.shape.columns() % 2 == 0 && out.shape.rows() == static_cast<std::int64_t>(timesteps.size()) &&
                  static_cast<float>(half) > shift,
              "timestep_embed: " + std::to_string(timesteps.size()) + " timesteps to " + text(out));
    ctx.backend.timestep_embed(timesteps, shift, out);
}

void cast(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::cast, {&x, &out});
    const bool known = ((is_activation(x.dtype) || is_block_type(x.dtype)) && is_activation(out.dtype)) ||
                       (x.dtype == DType::f16 && out.dtype == DType::f32);
    T2I_CHECK(known && out.elements() == x.elements(), "cast: " + text(x) + " to " + text(out));
    check_apart(Op::cast, out, x);
    ctx.backend.cast(x, out);
}

void residual_norm(const ExecContext& ctx, const ResidualNormArgs& a) {
    constexpr Op op = Op::residual_norm;
    check_filled(op, {&a.y, &a.stream, &a.out});
    check_activation(op, a.y);
    check_activation(op, a.out);
    const std::int64_t m = a.stream.shape.rows(), c = a.stream.shape.columns();
    for (const TensorView* t : {&a.y, &a.out})
        T2I_CHECK(a.stream.dtype == DType::f32 && t->shape.rows() == m && t->shape.columns() == c,
                  "residual_norm: " + text(*t) + " with a stream of " + text(a.stream));
    if (a.gate) check_shared_rows(op, *a.gate, m, c);
    T2I_CHECK(a.shift.has_value() == a.scale.has_value(), "residual_norm: shift and scale go together");
    if (a.shift) {
        check_shared_rows(op, *a.shift, m, c);
        check_shared_rows(op, *a.scale, m, c);
        T2I_CHECK(a.shift->shape.rows() == a.scale->shape.rows(),
                  "residual_norm: shift " + text(*a.shift) + ", scale " + text(*a.scale));
    }
    check_apart(op, a.stream, a.y);
    check_apart(op, a.out, a.stream);
    if (a.out.data != a.y.data || a.out.dtype != a.y.dtype) check_apart(op, a.out, a.y);
    ctx.backend.residual_norm(a);
}

void sampler_update(const ExecContext& ctx, const SamplerUpdateArgs& a) {
    constexpr Op op = Op::sampler_update;
    check_terms(op, a.x0_terms, a.x0, true);
    check_terms(op, a.x_terms, a.x, false);
    T2I_CHECK(a.x.elements() == a.x0.elements(), "sampler_update: x " + text(a.x) + ", x0 " + text(a.x0));
    check_apart(op, a.x0, a.x);
    check_filled(op, {&a.first_bad});
    T2I_CHECK(a.first_bad.dtype == DType::i32 && a.first_bad.elements() == 1, "sampler_update: first_bad " + text(a.first_bad));
    if (a.inputs) {
        check_filled(op, {&*a.inputs});
        T2I_CHECK(a.inputs->dtype == DType::f32 && a.inputs->elements() % a.x.elements() == 0,
                  "sampler_update: inputs " + text(*a.inputs) + " for x " + text(a.x));
        check_apart(op, *a.inputs, a.x);
        check_apart(op, *a.inputs, a.x0);
        for (const auto& terms : {a.x0_terms, a.x_terms})
            for (const auto& term : terms) check_apart(op, *a.inputs, term.x);
    }
    ctx.backend.sampler_update(a);
}

void limit(const ExecContext& ctx, const LimitArgs& a) {
    check_filled(Op::limit, {&a.x});
    T2I_CHECK(a.x.dtype == DType::f32 && a.x.shape.rank() == 2 && a.x.shape.columns() <= std::numeric_limits<std::int32_t>::max(),
              "limit: " + text(a.x));
    T2I_CHECK(a.range > 0.0F && a.quantile >= 0.0 && a.quantile <= 1.0,
              "limit: range " + std::to_string(a.range) + ", quantile " + std::to_string(a.quantile));
    ctx.backend.limit(a);
}

void to_rgb8(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::to_rgb8, {&x, &out});
    T2I_CHECK(x.dtype == DType::f32 && out.dtype == DType::u8 && out.elements() == x.elements(),
              "to_rgb8: " + text(x) + " to " + text(out));
    check_apart(Op::to_rgb8, out, x);
    ctx.backend.to_rgb8(x, out);
}

void to_channels_last(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::to_channels_last, {&x, &out});
    check_activation(Op::to_channels_last, out);
    T2I_CHECK(x.dtype == DType::f32 && x.shape.rank() == 4 && same_dims(out, {x.shape[0], x.shape[2], x.shape[3], x.shape[1]}),
              "to_channels_last: " + text(x) + " to " + text(out));
    check_apart(Op::to_channels_last, out, x);
    ctx.backend.to_channels_last(x, out);
}

void to_channels_first(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::to_channels_first, {&x, &out});
    check_activation(Op::to_channels_first, x);
    T2I_CHECK(out.dtype == DType::f32 && x.shape.rank() == 4 && same_dims(out, {x.shape[0], x.shape[3], x.shape[1], x.shape[2]}),
              "to_channels_first: " + text(x) + " to " + text(out));
    check_apart(Op::to_channels_first, out, x);
    ctx.backend.to_channels_first(x, out);
}

std::unique_ptr<PackedWeight> pack_linear(Backend& backend, const TensorView& weight, DType compute) {
    check_filled(Op::linear, {&weight});
    T2I_CHECK(weight.shape.rank() == 2 && weight.device == Device::host && holds_reals(weight.dtype),
              "pack_linear: " + text(weight));
    T2I_CHECK(backend.supports(Op::linear, compute),
              "linear in " + std::string(name_of(compute)) + " on " + backend.description());
    return backend.pack_linear(weight, compute);
}

std::unique_ptr<PackedWeight> pack_stacked(Backend& backend, std::span<const TensorView> weights, DType compute) {
    T2I_CHECK(!weights.empty(), "a stacked weight of no parts");
    if (weights.size() == 1) return pack_linear(backend, weights[0], compute);
    for (const TensorView& weight : weights) {
        check_filled(Op::linear, {&weight});
        T2I_CHECK(weight.shape.rank() == 2 && weight.device == Device::host && weight.shape[1] == weights[0].shape[1],
                  "pack_stacked: " + text(weight) + " under " + text(weights[0]));
    }
    T2I_CHECK(backend.supports(Op::linear, compute),
              "linear in " + std::string(name_of(compute)) + " on " + backend.description());
    return backend.pack_stacked(weights, compute);
}

std::unique_ptr<PackedWeight> pack_conv2d(Backend& backend, const TensorView& weight, DType compute, const Conv2dUse& use) {
    check_filled(Op::conv2d, {&weight});
    T2I_CHECK(
        weight.shape.rank() == 4 && weight.device == Device::host && holds_reals(weight.dtype) && !is_block_type(weight.dtype),
        "pack_conv2d: " + text(weight));
    T2I_CHECK(backend.supports(Op::conv2d, compute),
              "conv2d in " + std::string(name_of(compute)) + " on " + backend.description());
    return backend.pack_conv2d(weight, compute, use);
}

}  // namespace t2i::ops
