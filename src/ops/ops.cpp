#include "ops/ops.h"

#include <initializer_list>

namespace t2i {

std::string_view name_of(Op op) {
    switch (op) {
        case Op::linear:
            return "linear";
        case Op::attention:
            return "attention";
        case Op::norm_modulate:
            return "norm_modulate";
        case Op::rms_norm:
            return "rms_norm";
        case Op::group_norm:
            return "group_norm";
        case Op::conv2d:
            return "conv2d";
        case Op::upsample2x:
            return "upsample2x";
        case Op::unary:
            return "unary";
        case Op::gated_gelu:
            return "gated_gelu";
        case Op::lincomb:
            return "lincomb";
        case Op::gather:
            return "gather";
        case Op::patchify:
            return "patchify";
        case Op::unpatchify:
            return "unpatchify";
        case Op::timestep_embed:
            return "timestep_embed";
        case Op::cast:
            return "cast";
        case Op::to_channels_last:
            return "to_channels_last";
        case Op::to_channels_first:
            return "to_channels_first";
    }
    return "?";
}

}  // namespace t2i

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
    T2I_CHECK(
        t.dtype == DType::f32 && t.elements() == count,
        std::string(name_of(op)) + ": " + text(t) + " where f32[" + std::to_string(count) + "] belongs");
}

// f32 [G, columns] whose rows are shared by `rows` rows, rows a multiple of G.
void check_shared_rows(Op op, const TensorView& t, std::int64_t rows, std::int64_t columns) {
    check_filled(op, {&t});
    T2I_CHECK(t.dtype == DType::f32 && t.shape.columns() == columns && rows % t.shape.rows() == 0,
              std::string(name_of(op)) + ": " + text(t) + " cannot be shared by rows of [" +
                  std::to_string(rows) + ", " + std::to_string(columns) + "]");
}

void check_apart(Op op, const TensorView& out, const TensorView& in) {
    T2I_CHECK(!overlap(out, in),
              std::string(name_of(op)) + ": the output " + text(out) + " overlaps an input");
}

void check_matrix_in_columns(const Columns& c, std::int64_t rows, std::int64_t width) {
    check_filled(Op::attention, {&c.matrix});
    T2I_CHECK(c.begin >= 0 && c.width == width && c.begin + c.width <= c.matrix.shape.columns() &&
                  c.matrix.shape.rows() == rows,
              "attention: columns " + std::to_string(c.begin) + "+" + std::to_string(c.width) + " of " +
                  text(c.matrix));
}

// Products and convolutions report their work: `each` · the product of the extents.
void count_flops(const ExecContext& ctx, double each, std::initializer_list<std::int64_t> extents) {
    if (!ctx.tracer) return;
    for (const auto extent : extents) each *= static_cast<double>(extent);
    ctx.tracer->add_flops(each);
}

std::int64_t convolved(std::int64_t size, std::int64_t before, std::int64_t after, std::int64_t kernel,
                       std::int64_t stride) {
    return (size + before + after - kernel) / stride + 1;
}

}  // namespace

void linear(const ExecContext& ctx, const LinearArgs& a) {
    T2I_CHECK(a.weight != nullptr && a.weight->shape.rank() == 2, "linear without a packed [N, K] weight");
    check_filled(Op::linear, {&a.x, &a.out});
    const std::int64_t m = a.x.shape.rows(), k = a.weight->shape[1], n = a.weight->shape[0];
    T2I_CHECK(a.x.dtype == a.weight->compute && a.x.shape.columns() == k,
              "linear: x " + text(a.x) + " times a weight of " + a.weight->shape.text());
    T2I_CHECK((a.out.dtype == DType::f32 || a.out.dtype == a.weight->compute) && a.out.shape.rows() == m &&
                  a.out.shape.columns() == n,
              "linear: out " + text(a.out) + " for x " + text(a.x) + " and weight " + a.weight->shape.text());
    check_apart(Op::linear, a.out, a.x);
    if (a.bias) check_vector(Op::linear, *a.bias, n);
    if (a.gate) check_shared_rows(Op::linear, *a.gate, m, n);
    if (a.residual) {
        check_shared_rows(Op::linear, *a.residual, m, n);
        const bool in_place = a.residual->data == a.out.data && a.residual->elements() == a.out.elements() &&
                              a.out.dtype == DType::f32;
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
              "attention: q " + text(a.q.matrix) + " and k " + text(a.k.matrix) + " in " +
                  std::to_string(a.batch) + " sequences of " + std::to_string(a.heads) + " heads");
    check_matrix_in_columns(a.q, rows_q, a.q.width);
    check_matrix_in_columns(a.k, rows_k, a.q.width);
    check_matrix_in_columns(a.v, rows_k, a.q.width);
    check_filled(Op::attention, {&a.out});
    T2I_CHECK(a.k.matrix.dtype == a.q.matrix.dtype && a.v.matrix.dtype == a.q.matrix.dtype &&
                  a.out.dtype == a.q.matrix.dtype && a.out.shape.rows() == rows_q &&
                  a.out.shape.columns() == a.q.width,
              "attention: q " + text(a.q.matrix) + ", k " + text(a.k.matrix) + ", v " + text(a.v.matrix) +
                  ", out " + text(a.out));
    for (const TensorView* in : {&a.q.matrix, &a.k.matrix, &a.v.matrix})
        check_apart(Op::attention, a.out, *in);
    if (a.bias)
        T2I_CHECK(
            a.bias->dtype == DType::f32 && same_dims(*a.bias, {a.heads, rows_q / a.batch, rows_k / a.batch}),
            "attention: bias " + text(*a.bias));
    T2I_CHECK(a.key_lengths.empty() || static_cast<std::int64_t>(a.key_lengths.size()) == a.batch,
              "attention: one key length per sequence");
    for (const auto length : a.key_lengths)
        T2I_CHECK(length >= 1 && length <= rows_k / a.batch,
                  "attention: key length " + std::to_string(length));
    std::int64_t keys = a.key_lengths.empty() ? rows_k : 0;         // of all sequences
    for (const auto length : a.key_lengths) keys += length;
    count_flops(ctx, 4.0, {rows_q / a.batch, keys, a.q.width});
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
    T2I_CHECK(a.shift.shape.rows() == a.scale.shape.rows(),
              "norm_modulate: shift " + text(a.shift) + ", scale " + text(a.scale));
    if (a.out.data != a.x.data || a.out.dtype != DType::f32) check_apart(Op::norm_modulate, a.out, a.x);
    ctx.backend.norm_modulate(a);
}

void rms_norm(const ExecContext& ctx, const TensorView& x, const TensorView& weight, float eps,
              const TensorView& out) {
    check_filled(Op::rms_norm, {&x, &out});
    check_activation(Op::rms_norm, out);
    T2I_CHECK(x.dtype == DType::f32 && out.shape.rows() == x.shape.rows() &&
                  out.shape.columns() == x.shape.columns(),
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
    T2I_CHECK(a.groups >= 1 && a.x.shape[3] % a.groups == 0,
              "group_norm: " + std::to_string(a.groups) + " groups of " + text(a.x));
    T2I_CHECK(a.activation == Activation::none || a.activation == Activation::silu, "group_norm: activation");
    check_vector(Op::group_norm, a.weight, a.x.shape[3]);
    check_vector(Op::group_norm, a.bias, a.x.shape[3]);
    if (a.out.data != a.x.data) check_apart(Op::group_norm, a.out, a.x);
    ctx.backend.group_norm(a);
}

void conv2d(const ExecContext& ctx, const Conv2dArgs& a) {
    T2I_CHECK(a.weight != nullptr && a.weight->shape.rank() == 4,
              "conv2d without a packed [Cout, Cin, KH, KW] weight");
    check_filled(Op::conv2d, {&a.x, &a.out});
    const Shape& w = a.weight->shape;
    T2I_CHECK(a.x.dtype == a.weight->compute && a.x.shape.rank() == 4 && a.x.shape[3] == w[1],
              "conv2d: x " + text(a.x) + " with a filter of " + w.text());
    T2I_CHECK(a.stride >= 1, "conv2d: stride " + std::to_string(a.stride));
    for (const auto p : a.padding) T2I_CHECK(p >= 0, "conv2d: padding " + std::to_string(p));
    T2I_CHECK(a.x.shape[1] + a.padding[0] + a.padding[2] >= w[2] &&
                  a.x.shape[2] + a.padding[1] + a.padding[3] >= w[3],
              "conv2d: filter " + w.text() + " is larger than " + text(a.x));
    const std::int64_t height = convolved(a.x.shape[1], a.padding[0], a.padding[2], w[2], a.stride);
    const std::int64_t width = convolved(a.x.shape[2], a.padding[1], a.padding[3], w[3], a.stride);
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
    ctx.backend.conv2d(a);
}

void upsample2x(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::upsample2x, {&x, &out});
    check_activation(Op::upsample2x, x);
    T2I_CHECK(x.shape.rank() == 4 && out.dtype == x.dtype &&
                  same_dims(out, {x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3]}),
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
    T2I_CHECK(out.dtype == x.dtype && out.shape.rows() == x.shape.rows() &&
                  2 * out.shape.columns() == x.shape.columns(),
              "gated_gelu: " + text(x) + " to " + text(out));
    check_apart(Op::gated_gelu, out, x);
    ctx.backend.gated_gelu(x, out);
}

void lincomb(const ExecContext& ctx, std::span<const LincombTerm> terms, const TensorView& out) {
    check_filled(Op::lincomb, {&out});
    T2I_CHECK(!terms.empty() && out.dtype == DType::f32,
              "lincomb of " + std::to_string(terms.size()) + " terms to " + text(out));
    for (const auto& term : terms) {
        check_filled(Op::lincomb, {&term.x});
        T2I_CHECK(term.x.dtype == DType::f32 && term.x.elements() == out.elements(),
                  "lincomb: " + text(term.x) + " to " + text(out));
        if (term.x.data != out.data) check_apart(Op::lincomb, out, term.x);
    }
    ctx.backend.lincomb(terms, out);
}

void gather(const ExecContext& ctx, const TensorView& table, std::span<const std::int32_t> ids,
            const TensorView& out) {
    check_filled(Op::gather, {&table, &out});
    T2I_CHECK(table.shape.rank() == 2 && (is_activation(table.dtype) || table.dtype == DType::f16),
              "gather from " + text(table));
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
    T2I_CHECK(
        latents.dtype == DType::f32 && s.rank() == 4 && patch >= 1 && s[2] % patch == 0 && s[3] % patch == 0,
        "patchify: " + text(latents) + " in patches of " + std::to_string(patch));
    T2I_CHECK(out.shape.rows() == s[0] * (s[2] / patch) * (s[3] / patch) &&
                  out.shape.columns() == s[1] * patch * patch,
              "patchify: " + text(latents) + " to " + text(out));
    check_apart(Op::patchify, out, latents);
    ctx.backend.patchify(latents, patch, out);
}

void unpatchify(const ExecContext& ctx, const TensorView& tokens, std::int64_t patch, const TensorView& out) {
    check_filled(Op::unpatchify, {&tokens, &out});
    const Shape& s = out.shape;
    T2I_CHECK(tokens.dtype == DType::f32 && out.dtype == DType::f32 && s.rank() == 4 && patch >= 1 &&
                  s[2] % patch == 0 && s[3] % patch == 0,
              "unpatchify: " + text(tokens) + " to " + text(out));
    T2I_CHECK(tokens.shape.rows() == s[0] * (s[2] / patch) * (s[3] / patch) &&
                  tokens.shape.columns() % (patch * patch) == 0 &&
                  tokens.shape.columns() >= s[1] * patch * patch,
              "unpatchify: " + text(tokens) + " to " + text(out));
    check_apart(Op::unpatchify, out, tokens);
    ctx.backend.unpatchify(tokens, patch, out);
}

void timestep_embed(const ExecContext& ctx, std::span<const float> timesteps, float shift,
                    const TensorView& out) {
    check_filled(Op::timestep_embed, {&out});
    check_activation(Op::timestep_embed, out);
    const std::int64_t half = out.shape.columns() / 2;
    T2I_CHECK(out.shape.columns() % 2 == 0 &&
                  out.shape.rows() == static_cast<std::int64_t>(timesteps.size()) &&
                  static_cast<float>(half) > shift,
              "timestep_embed: " + std::to_string(timesteps.size()) + " timesteps to " + text(out));
    ctx.backend.timestep_embed(timesteps, shift, out);
}

void cast(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::cast, {&x, &out});
    const bool known = (is_activation(x.dtype) && is_activation(out.dtype)) ||
                       (x.dtype == DType::f16 && out.dtype == DType::f32);
    T2I_CHECK(known && out.elements() == x.elements(), "cast: " + text(x) + " to " + text(out));
    check_apart(Op::cast, out, x);
    ctx.backend.cast(x, out);
}

void to_channels_last(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::to_channels_last, {&x, &out});
    check_activation(Op::to_channels_last, out);
    T2I_CHECK(x.dtype == DType::f32 && x.shape.rank() == 4 &&
                  same_dims(out, {x.shape[0], x.shape[2], x.shape[3], x.shape[1]}),
              "to_channels_last: " + text(x) + " to " + text(out));
    check_apart(Op::to_channels_last, out, x);
    ctx.backend.to_channels_last(x, out);
}

void to_channels_first(const ExecContext& ctx, const TensorView& x, const TensorView& out) {
    check_filled(Op::to_channels_first, {&x, &out});
    check_activation(Op::to_channels_first, x);
    T2I_CHECK(out.dtype == DType::f32 && x.shape.rank() == 4 &&
                  same_dims(out, {x.shape[0], x.shape[3], x.shape[1], x.shape[2]}),
              "to_channels_first: " + text(x) + " to " + text(out));
    check_apart(Op::to_channels_first, out, x);
    ctx.backend.to_channels_first(x, out);
}

std::unique_ptr<PackedWeight> pack_linear(Backend& backend, const TensorView& weight, DType compute) {
    check_filled(Op::linear, {&weight});
    T2I_CHECK(weight.shape.rank() == 2 && weight.device == Device::host &&
                  (is_activation(weight.dtype) || weight.dtype == DType::f16),
              "pack_linear: " + text(weight));
    T2I_CHECK(backend.supports(Op::linear, compute),
              "linear in " + std::string(name_of(compute)) + " on " + backend.description());
    return backend.pack_linear(weight, compute);
}

std::unique_ptr<PackedWeight> pack_conv2d(Backend& backend, const TensorView& weight, DType compute) {
    check_filled(Op::conv2d, {&weight});
    T2I_CHECK(weight.shape.rank() == 4 && weight.device == Device::host &&
                  (is_activation(weight.dtype) || weight.dtype == DType::f16),
              "pack_conv2d: " + text(weight));
    T2I_CHECK(backend.supports(Op::conv2d, compute),
              "conv2d in " + std::string(name_of(compute)) + " on " + backend.description());
    return backend.pack_conv2d(weight, compute);
}

}  // namespace t2i::ops
