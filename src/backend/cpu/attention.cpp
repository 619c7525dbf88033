#include "backend/cpu/attention.h"

#include <algorithm>

namespace t2i::cpu {
namespace {

HeadRows rows_at(const Columns& c, std::int64_t row, std::int64_t column) {
    const std::int64_t stride = c.matrix.shape.columns();
    const auto offset = static_cast<std::size_t>(row * stride + c.begin + column) * size_of(c.matrix.dtype);
    return {{static_cast<const std::byte*>(c.matrix.data) + offset, c.matrix.dtype == DType::bf16}, stride};
}

}  // namespace

void Attention::run(const AttentionArgs& a) {
    const auto is_bf16 = [](const Columns& c) { return c.matrix.dtype == DType::bf16; };
    bf16_ != Bf16Kernel::none&& is_bf16(a.q) && is_bf16(a.k) && is_bf16(a.v) ? run_bf16(a) : run_f32(a);
}

std::byte* Attention::panels(std::size_t bytes) {
    if (panels_.bytes() < bytes) {
        panels_ = Buffer();  // freed before the larger one is made
        panels_ = Buffer::host(bytes);
    }
    return static_cast<std::byte*>(panels_.data());
}

void Attention::run_f32(const AttentionArgs& a) {
    // 24 queries: whole steps of both panel heights, and their scores over 1024 keys take 98 KB.
    constexpr std::int64_t tile_queries = 24;
    const std::int64_t queries = a.q.matrix.shape.rows() / a.batch, keys = a.k.matrix.shape.rows() / a.batch;
    const std::int64_t head_size = a.q.width / a.heads, width = panel_width();
    const auto padded = [width](std::int64_t n) { return (n + width - 1) / width * width; };
    const std::int64_t key_floats = padded(keys) * head_size, value_floats = padded(head_size) * keys;
    const std::int64_t pairs = a.batch * a.heads;
    auto* key_panels =
        reinterpret_cast<float*>(panels(static_cast<std::size_t>(pairs * (key_floats + value_floats)) * sizeof(float)));
    float* value_panels = key_panels + pairs * key_floats;
    workers_.reserve(static_cast<std::size_t>(attention_scratch(tile_queries, keys, head_size)) * sizeof(float));

    workers_.run(2 * pairs, [&](std::int64_t part, void*) {
        const std::int64_t pair = part / 2, row = pair / a.heads * keys, column = pair % a.heads * head_size;
        if (part % 2 == 0) pack_keys(rows_at(a.k, row, column), keys, head_size, key_panels + pair * key_floats);
        else pack_values(rows_at(a.v, row, column), keys, head_size, value_panels + pair * value_floats);
    });
    const std::int32_t* lengths = a.key_lengths ? a.key_lengths->as<std::int32_t>().data() : nullptr;
    const std::int64_t tiles = (queries + tile_queries - 1) / tile_queries;
    workers_.run(pairs * tiles, [&](std::int64_t part, void* scratch) {
        const std::int64_t pair = part / tiles, b = pair / a.heads, h = pair % a.heads;
        const std::int64_t first = part % tiles * tile_queries, row = b * queries + first;
        const auto out_offset = static_cast<std::size_t>(row * a.q.width + h * head_size) * size_of(a.out.dtype);
        const auto* bias = a.bias ? static_cast<const float*>(a.bias->data) + (h * queries + first) * keys : nullptr;
        attention_tile({.q = rows_at(a.q, row, h * head_size),
                        .queries = std::min(tile_queries, queries - first),
                        .keys = lengths ? lengths[b] : keys,
                        .head_size = head_size,
                        .packed_keys = keys,
                        .key_panels = key_panels + pair * key_floats,
                        .value_panels = value_panels + pair * value_floats,
                        .scale = a.scale,
                        .bias = bias,
                        .bias_stride = keys,
                        .out = {static_cast<std::byte*>(a.out.data) + out_offset, a.out.dtype == DType::bf16},
                        .out_stride = a.q.width,
                        .scratch = static_cast<float*>(scratch)});
    });
}

void Attention::run_bf16(const AttentionArgs& a) {
    constexpr std::int64_t tile_queries = 32;  // two tiles of rows
    const std::int64_t queries = a.q.matrix.shape.rows() / a.batch, keys = a.k.matrix.shape.rows() / a.batch;
    const std::int64_t head_size = a.q.width / a.heads, pairs = a.batch * a.heads;
    const auto padded = [](std::int64_t n) { return (n + bf16_panel - 1) / bf16_panel * bf16_panel; };
    const std::int64_t all_keys = padded(keys), width = padded(head_size), panel_elements = all_keys * width;
    auto* key_panels =
        reinterpret_cast<std::uint16_t*>(panels(static_cast<std::size_t>(2 * pairs * panel_elements) * sizeof(std::uint16_t)));
    std::uint16_t* value_panels = key_panels + pairs * panel_elements;
    const std::int32_t* lengths = a.key_lengths ? a.key_lengths->as<std::int32_t>().data() : nullptr;
    const auto length = [&](std::int64_t b) { return lengths ? lengths[b] : keys; };
    const auto bf16_at = [](const Columns& c, std::int64_t row, std::int64_t column) {
        return static_cast<const std::uint16_t*>(c.matrix.data) + row * c.matrix.shape.columns() + c.begin + column;
    };

    // Keys beyond a sequence's length become zeros, whatever they hold.
    workers_.run(2 * pairs, [&](std::int64_t part, void*) {
        const std::int64_t pair = part / 2, b = pair / a.heads, row = b * keys, column = pair % a.heads * head_size;
        if (part % 2 == 0)
            pack_bf16(bf16_at(a.k, row, column), length(b), head_size, a.k.matrix.shape.columns(),
                      key_panels + pair * panel_elements);
        else
            pack_bf16_columns(bf16_at(a.v, row, column), length(b), head_size, a.v.matrix.shape.columns(),
                              value_panels + pair * panel_elements);
    });

    // Scratch of a part: scores and sums in f32, the two halves of the weights and padded queries in bf16.
    const std::int64_t score_floats = tile_queries * all_keys, sum_floats = tile_queries * width;
    workers_.reserve(static_cast<std::size_t>(2 * score_floats + sum_floats + tile_queries) * sizeof(float) +
                     static_cast<std::size_t>(tile_queries * width) * sizeof(std::uint16_t));
    const std::int64_t tiles = (queries + tile_queries - 1) / tile_queries;
    workers_.run(pairs * tiles, [&](std::int64_t part, void* scratch) {
        const std::int64_t pair = part / tiles, b = pair / a.heads, h = pair % a.heads;
        const std::int64_t first = part % tiles * tile_queries, row = b * queries + first,
                           count = std::min(tile_queries, queries - first);
        const std::int64_t used = length(b), stride = padded(used);
        auto* scores = static_cast<float*>(scratch);
        float *sums = scores + score_floats, *inverse = sums + sum_floats;
        auto* weights = reinterpret_cast<std::uint16_t*>(inverse + tile_queries);
        std::uint16_t *rests = weights + score_floats, *copy = rests + score_floats;

        const std::uint16_t* q = bf16_at(a.q, row, h * head_size);
        std::int64_t q_stride = a.q.matrix.shape.columns();
        if (head_size != width) {
            for (std::int64_t i = 0; i < count; ++i) {
                std::copy_n(q + i * q_stride, head_size, copy + i * width);
                std::fill_n(copy + i * width + head_size, width - head_size, std::uint16_t{0});
            }
            q = copy;
            q_stride = width;
        }
        multiply_bf16(bf16_,
                      {.x = q,
                       .more = nullptr,
                       .stride = q_stride,
                       .rows = count,
                       .steps = width / bf16_step,
                       .panel = key_panels + pair * panel_elements,
                       .panels = stride / bf16_panel,
                       .panel_stride = bf16_panel * width,
                       .sums_stride = stride,
                       .beside = nullptr,
                       .context = nullptr},
                      scores);
        softmax_tile({.scores = scores,
                      .stride = stride,
                      .queries = count,
                      .keys = used,
                      .scale = a.scale,
                      .bias = a.bias ? static_cast<const float*>(a.bias->data) + (h * queries + first) * keys : nullptr,
                      .bias_stride = keys,
                      .weights = weights,
                      .rests = rests,
                      .inverse = inverse});
        multiply_bf16(bf16_,
                      {.x = weights,
                       .more = rests,
                       .stride = stride,
                       .rows = count,
                       .steps = stride / bf16_step,
                       .panel = value_panels + pair * panel_elements,
                       .panels = width / bf16_panel,
                       .panel_stride = bf16_panel * stride,
                       .sums_stride = width,
                       .beside = nullptr,
                       .context = nullptr},
                      sums);
        const auto offset = static_cast<std::size_t>(row * a.q.width + h * head_size) * size_of(a.out.dtype);
        scale_rows(sums, width, inverse, count, head_size,
                   {static_cast<std::byte*>(a.out.data) + offset, a.out.dtype == DType::bf16}, a.q.width);
    });
}

}  // namespace t2i::cpu
