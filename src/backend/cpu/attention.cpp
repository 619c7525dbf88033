#include "backend/cpu/attention.h"

#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {
namespace {

HeadRows rows_at(const Columns& c, std::int64_t row, std::int64_t column) {
    const std::int64_t stride = c.matrix.shape.columns();
    const auto offset = static_cast<std::size_t>(row * stride + c.begin + column) * size_of(c.matrix.dtype);
    return {{static_cast<const std::byte*>(c.matrix.data) + offset, c.matrix.dtype == DType::bf16}, stride};
}

}  // namespace

void Attention::run(const AttentionArgs& a) {
    // 24 queries: whole steps of both panel heights, and their scores over 1024 keys take 98 KB.
    constexpr std::int64_t tile_queries = 24;
    const std::int64_t queries = a.q.matrix.shape.rows() / a.batch, keys = a.k.matrix.shape.rows() / a.batch;
    const std::int64_t head_size = a.q.width / a.heads, width = panel_width();
    const auto padded = [width](std::int64_t n) { return (n + width - 1) / width * width; };
    const std::int64_t key_floats = padded(keys) * head_size, value_floats = padded(head_size) * keys;
    const std::int64_t pairs = a.batch * a.heads;
    const std::size_t panel_bytes =
        static_cast<std::size_t>(pairs * (key_floats + value_floats)) * sizeof(float);
    if (panels_.bytes() < panel_bytes) {
        panels_ = Buffer();
        panels_ = Buffer::host(panel_bytes);
    }
    auto* key_panels = static_cast<float*>(panels_.data());
    float* value_panels = key_panels + pairs * key_floats;
    workers_.reserve(static_cast<std::size_t>(attention_scratch(tile_queries, keys, head_size)) *
                     sizeof(float));

    workers_.run(2 * pairs, [&](std::int64_t part, void*) {
        const std::int64_t pair = part / 2, row = pair / a.heads * keys, column = pair % a.heads * head_size;
        if (part % 2 == 0)
            pack_keys(rows_at(a.k, row, column), keys, head_size, key_panels + pair * key_floats);
        else
            pack_values(rows_at(a.v, row, column), keys, head_size, value_panels + pair * value_floats);
    });
    const std::int32_t* lengths = a.key_lengths ? a.key_lengths->as<std::int32_t>().data() : nullptr;
    const std::int64_t tiles = (queries + tile_queries - 1) / tile_queries;
    workers_.run(pairs * tiles, [&](std::int64_t part, void* scratch) {
        const std::int64_t pair = part / tiles, b = pair / a.heads, h = pair % a.heads;
        const std::int64_t first = part % tiles * tile_queries, row = b * queries + first;
        const auto out_offset =
            static_cast<std::size_t>(row * a.q.width + h * head_size) * size_of(a.out.dtype);
        const auto* bias =
            a.bias ? static_cast<const float*>(a.bias->data) + (h * queries + first) * keys : nullptr;
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

}  // namespace t2i::cpu
