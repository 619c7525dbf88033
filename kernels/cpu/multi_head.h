// Attention of several heads and sequences: how it is cut, and one part of it. First every part of pack_panels_part, which
// rearranges keys and values; then every tile of queries. Parts need nothing of each other: any threads, any order, the same
// bits.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {

struct MultiHead {
    std::int64_t batch, heads, queries, keys, head_size;
    // Sequence 0, head 0; head h is h · head_size columns further, sequence b starts at row b · queries (q) or b · keys (k, v).
    HeadRows q, k, v;
    float scale;
    const float* bias;            // [heads, queries, keys] or null
    const std::int32_t* lengths;  // [batch], keys that take part, or null: all
    MutableElements out;          // [batch · queries, heads · head_size]

    [[nodiscard]] std::int64_t length(std::int64_t b) const { return lengths ? lengths[b] : keys; }
};

struct AttentionTiles {
    std::int64_t panels;      // parts of pack_panels_part: keys and values of every head of every sequence
    std::size_t panel_bytes;  // of all of them
    std::int64_t queries;     // of a tile; the last of a sequence may have fewer
    std::int64_t tiles;
    std::size_t scratch_bytes;  // for one tile
};

// Multiplied in f32, whatever the types.
struct AttentionF32 {
    MultiHead heads;
};
// Multiplied in bf16: q, k and v are bf16.
struct AttentionBf16 {
    MultiHead heads;
    Bf16Kernel kernel;
};

AttentionTiles tiles_of(const AttentionF32& a);
AttentionTiles tiles_of(const AttentionBf16& a);
void pack_panels_part(const AttentionF32& a, std::int64_t part, void* panels);
void pack_panels_part(const AttentionBf16& a, std::int64_t part, void* panels);
void attention_part(const AttentionF32& a, const AttentionTiles& tiles, std::int64_t tile, const void* panels, void* scratch);
void attention_part(const AttentionBf16& a, const AttentionTiles& tiles, std::int64_t tile, const void* panels, void* scratch);

}  // namespace t2i::cpu
