#include "backend/cpu/attention.h"

#include "backend/kernel_arguments.h"

namespace t2i::cpu {

void Attention::run(const AttentionArgs& a) {
    const auto is_bf16 = [](const Columns& c) { return c.matrix.dtype == DType::bf16; };
    const auto rows_of = [](const Columns& c) { return HeadRows{elements(c.matrix, c.begin), c.matrix.shape.columns()}; };
    const MultiHead heads{.batch = a.batch,
                          .heads = a.heads,
                          .queries = a.q.matrix.shape.rows() / a.batch,
                          .keys = a.k.matrix.shape.rows() / a.batch,
                          .head_size = a.q.width / a.heads,
                          .q = rows_of(a.q),
                          .k = rows_of(a.k),
                          .v = rows_of(a.v),
                          .scale = a.scale,
                          .bias = floats(a.bias),
                          .lengths = a.key_lengths ? a.key_lengths->as<std::int32_t>().data() : nullptr,
                          .out = mutable_elements(a.out)};
    if (bf16_ != Bf16Kernel::none && is_bf16(a.q) && is_bf16(a.k) && is_bf16(a.v)) run_parts(AttentionBf16{heads, bf16_});
    else run_parts(AttentionF32{heads});
}

template <typename Kind>
void Attention::run_parts(const Kind& attention) {
    const AttentionTiles tiles = tiles_of(attention);
    if (panels_.bytes() < tiles.panel_bytes) {
        panels_ = Buffer();  // freed before the larger one is made
        panels_ = Buffer::host(tiles.panel_bytes);
    }
    void* panels = panels_.data();
    workers_.reserve(tiles.scratch_bytes);
    workers_.run(tiles.panels, [&](std::int64_t part, void*) { pack_panels_part(attention, part, panels); });
    workers_.run(tiles.tiles, [&](std::int64_t tile, void* scratch) { attention_part(attention, tiles, tile, panels, scratch); });
}

}  // namespace t2i::cpu
