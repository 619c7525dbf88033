#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/product.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace {

std::int64_t panel_width() {
    return kPanel;
}
std::int64_t panel_rows() {
    return kRows;
}
const char* target_name() {
    return hwy::TargetName(HWY_TARGET);
}

void pack_panels(const float* w, std::int64_t n, std::int64_t k, std::int64_t stride, float* panels) {
    for (std::int64_t begin = 0; begin < n; begin += kPanel)
        for (std::int64_t i = 0; i < k; ++i)
            for (std::int64_t column = begin; column < begin + kPanel; ++column)
                *panels++ = column < n ? w[column * stride + i] : 0.0F;
}

// One row of a tile through the epilogue: `count` columns, at most a panel, from `column` on.
template <bool Whole>
HWY_INLINE void finish_columns(const float* HWY_RESTRICT values, std::int64_t row, std::int64_t column, std::int64_t count,
                               const Epilogue& e) {
    const std::int64_t at = row * e.columns + column, second = count - kLanes;
    const auto low = [&](const auto* p) HWY_ATTR { return Whole ? load(p) : load_some(p, count); };
    const auto high = [&](const auto* p) HWY_ATTR {
        return Whole ? load(p + kLanes) : second > 0 ? load_some(p + kLanes, second) : hn::Zero(F32());
    };
    VF v[2] = {load(values), load(values + kLanes)};
    if (e.bias) {
        v[0] = hn::Add(v[0], low(e.bias + column));
        v[1] = hn::Add(v[1], high(e.bias + column));
    }
    if (e.before.data)
        with_type(e.before, [&](const auto* before) HWY_ATTR {
            v[0] = hn::Add(v[0], low(before + at));
            v[1] = hn::Add(v[1], high(before + at));
        });
    if (e.function != Function::identity) with_function(e.function, [&](auto f) HWY_ATTR { apply_all<2>(f, v); });
    if (e.gate) {
        const float* gate = e.gate + row / e.rows_per_gate * e.columns + column;
        v[0] = hn::Mul(v[0], low(gate));
        v[1] = hn::Mul(v[1], high(gate));
    }
    if (e.after) {
        const float* after = e.after + row % e.after_rows * e.columns + column;
        v[0] = hn::Add(v[0], low(after));
        v[1] = hn::Add(v[1], high(after));
    }
    with_type(e.out, [&](auto* out) HWY_ATTR {
        if constexpr (Whole) {
            store(v[0], out + at);
            store(v[1], out + at + kLanes);
        } else {
            store_some(v[0], out + at, count);
            if (second > 0) store_some(v[1], out + at + kLanes, second);
        }
    });
}

void finish_row(const float* HWY_RESTRICT values, std::int64_t row, std::int64_t column, std::int64_t count, const Epilogue& e) {
    if (count == kPanel) finish_columns<true>(values, row, column, count, e);
    else finish_columns<false>(values, row, column, count, e);
}

void product_tile(const ProductTile& t, const Epilogue& e) {
    HWY_ALIGN float sums[kRows * kPanel];
    for (std::int64_t column = t.column_begin; column < t.column_end; column += kPanel) {
        const float* panel = t.panels + (column - t.first_panel_column) * t.taps * t.k;
        const std::int64_t columns = HWY_MIN(kPanel, t.column_end - column);
        for (std::int64_t row = 0; row < t.row_count; row += kRows) {
            const std::int64_t rows = HWY_MIN(kRows, t.row_count - row);
            multiply_up_to(rows, t.rows + row, t.row_count, t.taps, t.k, panel, sums);
            for (std::int64_t r = 0; r < rows; ++r) finish_row(sums + r * kPanel, t.row_begin + row + r, column, columns, e);
        }
    }
}

void finish_tile(const float* sums, std::int64_t sums_stride, std::int64_t row_begin, std::int64_t row_count,
                 std::int64_t column_begin, std::int64_t column_end, const Epilogue& e) {
    for (std::int64_t r = 0; r < row_count; ++r)
        for (std::int64_t column = column_begin; column < column_end; column += kPanel)
            finish_row(sums + r * sums_stride + column - column_begin, row_begin + r, column,
                       HWY_MIN(kPanel, column_end - column), e);
}

}  // namespace
}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace t2i::cpu {
HWY_EXPORT(panel_width);
HWY_EXPORT(panel_rows);
HWY_EXPORT(target_name);
HWY_EXPORT(pack_panels);
HWY_EXPORT(product_tile);
HWY_EXPORT(finish_tile);

std::int64_t panel_width() {
    return HWY_DYNAMIC_DISPATCH(panel_width)();
}
std::int64_t panel_rows() {
    return HWY_DYNAMIC_DISPATCH(panel_rows)();
}
const char* simd_target_name() {
    return HWY_DYNAMIC_DISPATCH(target_name)();
}
void pack_panels(const float* w, std::int64_t n, std::int64_t k, std::int64_t stride, float* panels) {
    HWY_DYNAMIC_DISPATCH(pack_panels)(w, n, k, stride, panels);
}
void product_tile(const ProductTile& tile, const Epilogue& epilogue) {
    HWY_DYNAMIC_DISPATCH(product_tile)(tile, epilogue);
}
void finish_tile(const float* sums, std::int64_t sums_stride, std::int64_t row_begin, std::int64_t row_count,
                 std::int64_t column_begin, std::int64_t column_end, const Epilogue& epilogue) {
    HWY_DYNAMIC_DISPATCH(finish_tile)
    (sums, sums_stride, row_begin, row_count, column_begin, column_end, epilogue);
}
}  // namespace t2i::cpu
#endif
