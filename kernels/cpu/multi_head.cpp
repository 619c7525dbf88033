#include "kernels/cpu/multi_head.h"

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace t2i::cpu {
namespace {

std::int64_t round_up(std::int64_t n, std::int64_t step) {
    return (n + step - 1) / step * step;
}

template <typename E>  // Elements or MutableElements
E at(E e, std::int64_t offset) {
    const std::int64_t size = e.is_bf16 ? sizeof(std::uint16_t) : sizeof(float);
    if constexpr (std::is_same_v<E, Elements>) return {static_cast<const std::byte*>(e.data) + offset * size, e.is_bf16};
    else return {static_cast<std::byte*>(e.data) + offset * size, e.is_bf16};
}
HeadRows rows_at(const HeadRows& r, std::int64_t row, std::int64_t column) {
    return {at(r.data, row * r.stride + column), r.stride};
}
const std::uint16_t* bf16_at(const HeadRows& r, std::int64_t row, std::int64_t column) {
    return static_cast<const std::uint16_t*>(r.data.data) + row * r.stride + column;
}

// Sizes of the panels of one head of one sequence, and where they stand: all keys, then all values.
struct PanelsF32 {
    explicit PanelsF32(const MultiHead& m)
        : key_floats(round_up(m.keys, panel_width()) * m.head_size),
          value_floats(round_up(m.head_size, panel_width()) * m.keys),
          pairs(m.batch * m.heads) {}
    std::int64_t key_floats, value_floats, pairs;
    [[nodiscard]] std::int64_t keys(std::int64_t pair) const { return pair * key_floats; }
    [[nodiscard]] std::int64_t values(std::int64_t pair) const { return pairs * key_floats + pair * value_floats; }
};
struct PanelsBf16 {
    explicit PanelsBf16(const MultiHead& m)
        : all_keys(round_up(m.keys, bf16_panel)),
          width(round_up(m.head_size, bf16_panel)),
          elements(all_keys * width),
          pairs(m.batch * m.heads) {}
    std::int64_t all_keys, width, elements, pairs;
    [[nodiscard]] std::int64_t keys(std::int64_t pair) const { return pair * elements; }
    [[nodiscard]] std::int64_t values(std::int64_t pair) const { return (pairs + pair) * elements; }
};

// The queries of a tile, and the head and sequence they belong to.
struct Tile {
    Tile(const MultiHead& m, const AttentionTiles& tiles, std::int64_t tile) {
        const std::int64_t each = (m.queries + tiles.queries - 1) / tiles.queries;
        pair = tile / each;
        b = pair / m.heads;
        h = pair % m.heads;
        first = tile % each * tiles.queries;
        row = b * m.queries + first;
        count = std::min(tiles.queries, m.queries - first);
        bias = m.bias ? m.bias + (h * m.queries + first) * m.keys : nullptr;
        out = at(m.out, row * m.heads * m.head_size + h * m.head_size);
    }
    std::int64_t pair, b, h, first, row, count;
    const float* bias;
    MutableElements out;
};

std::int64_t tile_count(const MultiHead& m, std::int64_t queries) {
    return m.batch * m.heads * ((m.queries + queries - 1) / queries);
}

}  // namespace

AttentionTiles tiles_of(const AttentionF32& a) {
    // 24 queries: whole steps of both panel heights, and their scores over 1024 keys take 98 KB.
    constexpr std::int64_t queries = 24;
    const MultiHead& m = a.heads;
    const PanelsF32 panels(m);
    return {.panels = 2 * panels.pairs,
            .panel_bytes = static_cast<std::size_t>(panels.pairs * (panels.key_floats + panels.value_floats)) * sizeof(float),
            .queries = queries,
            .tiles = tile_count(m, queries),
            .scratch_bytes = static_cast<std::size_t>(attention_scratch(queries, m.keys, m.head_size)) * sizeof(float)};
}

void pack_panels_part(const AttentionF32& a, std::int64_t part, void* panels) {
    const MultiHead& m = a.heads;
    const PanelsF32 sizes(m);
    const std::int64_t pair = part / 2, row = pair / m.heads * m.keys, column = pair % m.heads * m.head_size;
    auto* to = static_cast<float*>(panels);
    if (part % 2 == 0) pack_keys(rows_at(m.k, row, column), m.keys, m.head_size, to + sizes.keys(pair));
    else pack_values(rows_at(m.v, row, column), m.keys, m.head_size, to + sizes.values(pair));
}

void attention_part(const AttentionF32& a, const AttentionTiles& tiles, std::int64_t tile, const void* panels, void* scratch) {
    const MultiHead& m = a.heads;
    const PanelsF32 sizes(m);
    const Tile t(m, tiles, tile);
    attention_tile({.q = rows_at(m.q, t.row, t.h * m.head_size),
                    .queries = t.count,
                    .keys = m.length(t.b),
                    .head_size = m.head_size,
                    .packed_keys = m.keys,
                    .key_panels = static_cast<const float*>(panels) + sizes.keys(t.pair),
                    .value_panels = static_cast<const float*>(panels) + sizes.values(t.pair),
                    .scale = m.scale,
                    .bias = t.bias,
                    .bias_stride = m.keys,
                    .out = t.out,
                    .out_stride = m.heads * m.head_size,
                    .scratch = static_cast<float*>(scratch)});
}

AttentionTiles tiles_of(const AttentionBf16& a) {
    constexpr std::int64_t queries = 32;  // two tiles of rows
    const PanelsBf16 panels(a.heads);
    // Scratch of a tile: scores and sums in f32, the two halves of the weights and padded queries in bf16.
    const std::int64_t floats = queries * (2 * panels.all_keys + panels.width + 1);
    return {.panels = 2 * panels.pairs,
            .panel_bytes = static_cast<std::size_t>(2 * panels.pairs * panels.elements) * sizeof(std::uint16_t),
            .queries = queries,
            .tiles = tile_count(a.heads, queries),
            .scratch_bytes = static_cast<std::size_t>(floats) * sizeof(float) +
                             static_cast<std::size_t>(queries * panels.width) * sizeof(std::uint16_t)};
}

// Keys beyond a sequence's length become zeros, whatever they hold.
void pack_panels_part(const AttentionBf16& a, std::int64_t part, void* panels) {
    const MultiHead& m = a.heads;
    const PanelsBf16 sizes(m);
    const std::int64_t pair = part / 2, b = pair / m.heads, row = b * m.keys, column = pair % m.heads * m.head_size;
    auto* to = static_cast<std::uint16_t*>(panels);
    if (part % 2 == 0) pack_bf16(bf16_at(m.k, row, column), m.length(b), m.head_size, m.k.stride, to + sizes.keys(pair));
    else pack_bf16_columns(bf16_at(m.v, row, column), m.length(b), m.head_size, m.v.stride, to + sizes.values(pair));
}

void attention_part(const AttentionBf16& a, const AttentionTiles& tiles, std::int64_t tile, const void* panels, void* scratch) {
    const MultiHead& m = a.heads;
    const PanelsBf16 sizes(m);
    const Tile t(m, tiles, tile);
    const std::int64_t used = m.length(t.b), stride = round_up(used, bf16_panel), width = sizes.width;
    const std::int64_t score_floats = tiles.queries * sizes.all_keys;
    const auto* packed = static_cast<const std::uint16_t*>(panels);
    auto* scores = static_cast<float*>(scratch);
    float *sums = scores + score_floats, *inverse = sums + tiles.queries * width;
    auto* weights = reinterpret_cast<std::uint16_t*>(inverse + tiles.queries);
    std::uint16_t *rests = weights + score_floats, *copy = rests + score_floats;

    const std::uint16_t* q = bf16_at(m.q, t.row, t.h * m.head_size);
    std::int64_t q_stride = m.q.stride;
    if (m.head_size != width) {
        for (std::int64_t i = 0; i < t.count; ++i) {
            std::copy_n(q + i * q_stride, m.head_size, copy + i * width);
            std::fill_n(copy + i * width + m.head_size, width - m.head_size, std::uint16_t{0});
        }
        q = copy;
        q_stride = width;
    }
    // rows [count, k] (+ more) times `columns` of the panels, to [count, columns]
    const auto multiply = [&](const std::uint16_t* rows, const std::uint16_t* more, std::int64_t row_stride, std::int64_t k,
                              const std::uint16_t* panel, std::int64_t columns, float* to) {
        multiply_bf16(a.kernel,
                      {.x = rows,
                       .more = more,
                       .stride = row_stride,
                       .rows = t.count,
                       .steps = k / bf16_step,
                       .panel = panel,
                       .panels = columns / bf16_panel,
                       .panel_stride = bf16_panel * k,
                       .sums_stride = columns,
                       .overlapped = nullptr,
                       .context = nullptr},
                      to);
    };
    multiply(q, nullptr, q_stride, width, packed + sizes.keys(t.pair), stride, scores);
    softmax_tile({.scores = scores,
                  .stride = stride,
                  .queries = t.count,
                  .keys = used,
                  .scale = m.scale,
                  .bias = t.bias,
                  .bias_stride = m.keys,
                  .weights = weights,
                  .rests = rests,
                  .inverse = inverse});
    multiply(weights, rests, stride, stride, packed + sizes.values(t.pair), width, sums);
    scale_rows(sums, width, inverse, t.count, m.head_size, t.out, m.heads * m.head_size);
}

}  // namespace t2i::cpu
