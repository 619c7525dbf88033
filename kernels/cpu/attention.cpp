// Attention of one head for a tile of queries: two products on panels (product-inl.h) around a softmax over
// whole rows. At this project's lengths (up to a few thousand keys) a tile's scores fit the cache, so no
// running softmax is needed.
#include <algorithm>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace {

std::int64_t padded(std::int64_t n) {
    return (n + kPanel - 1) / kPanel * kPanel;
}

void pack_keys(const HeadRows& k, std::int64_t tokens, std::int64_t head_size, float* HWY_RESTRICT panels) {
    with_type(k.data, [&](const auto* data) HWY_ATTR {
        for (std::int64_t begin = 0; begin < tokens; begin += kPanel) {
            float* panel = panels + begin * head_size;
            HWY_ALIGN float row[kLanes];
            for (std::int64_t column = 0; column < kPanel; ++column)
                for (std::int64_t i = 0; i < head_size; i += kLanes) {
                    const std::int64_t count = HWY_MIN(kLanes, head_size - i);
                    const bool inside = begin + column < tokens;
                    store(inside ? load_some(data + (begin + column) * k.stride + i, count) : hn::Zero(F32()), row);
                    for (std::int64_t j = 0; j < count; ++j) panel[(i + j) * kPanel + column] = row[j];
                }
        }
    });
}

void pack_values(const HeadRows& v, std::int64_t tokens, std::int64_t head_size, float* HWY_RESTRICT panels) {
    with_type(v.data, [&](const auto* data) HWY_ATTR {
        for (std::int64_t begin = 0; begin < head_size; begin += kPanel)
            for (std::int64_t t = 0; t < tokens; ++t)
                for (std::int64_t i = begin; i < begin + kPanel; i += kLanes, panels += kLanes)
                    store(i < head_size ? load_some(data + t * v.stride + i, head_size - i) : hn::Zero(F32()), panels);
    });
}

// scores [count] → exp(scale · scores + bias - maximum); returns 1 / their sum. Maximum and sum run lane by
// lane and then over the lanes, in an order that depends on `count` alone.
float softmax_row(float* HWY_RESTRICT scores, const float* HWY_RESTRICT bias, float scale, std::int64_t count) {
    const F32 d;
    const VF factor = hn::Set(d, scale);
    const std::int64_t whole = count / kLanes * kLanes;
    const auto scaled = [&](std::int64_t i) HWY_ATTR {
        const VF s = hn::Mul(hn::Load(d, scores + i), factor);
        return bias ? hn::Add(s, load_some(bias + i, count - i)) : s;
    };
    VF maximum = hn::Set(d, -3.0e38F);
    for (std::int64_t i = 0; i < whole; i += kLanes) {
        const VF s = scaled(i);
        hn::Store(s, d, scores + i);
        maximum = hn::Max(maximum, s);
    }
    float highest = hn::GetLane(hn::MaxOfLanes(d, maximum));
    if (whole < count) {
        hn::Store(scaled(whole), d, scores + whole);
        for (std::int64_t i = whole; i < count; ++i) highest = HWY_MAX(highest, scores[i]);
    }
    const VF top = hn::Set(d, highest);
    VF sum = hn::Zero(d);
    constexpr int vectors = 4;
    std::int64_t i = 0;
    for (; i + vectors * kLanes <= whole; i += vectors * kLanes) {
        VF e[vectors];
        for (int v = 0; v < vectors; ++v) e[v] = hn::Sub(hn::Load(d, scores + i + v * kLanes), top);
        exp_all<vectors>(e);
        for (int v = 0; v < vectors; ++v) {
            hn::Store(e[v], d, scores + i + v * kLanes);
            sum = hn::Add(sum, e[v]);
        }
    }
    for (; i < whole; i += kLanes) {
        const VF e = exp_f32(hn::Sub(hn::Load(d, scores + i), top));
        hn::Store(e, d, scores + i);
        sum = hn::Add(sum, e);
    }
    float total = hn::GetLane(hn::SumOfLanes(d, sum));
    if (whole < count) {
        hn::Store(exp_f32(hn::Sub(hn::Load(d, scores + whole), top)), d, scores + whole);
        for (i = whole; i < count; ++i) total += scores[i];
    }
    return 1.0F / total;
}

std::int64_t attention_scratch(std::int64_t queries, std::int64_t keys, std::int64_t head_size) {
    return queries * (padded(keys) + padded(head_size)) + queries;
}

void attention_tile(const AttentionTile& t) {
    const std::int64_t score_stride = padded(t.keys), query_stride = padded(t.head_size);
    float* scores = t.scratch;                            // [queries, score_stride]
    float* queries = scores + t.queries * score_stride;   // [queries, query_stride]
    float* inverse = queries + t.queries * query_stride;  // [queries]
    HWY_ALIGN float sums[kRows * kPanel];
    const float* rows[kRows];

    with_type(t.q.data, [&](const auto* q) HWY_ATTR {
        for (std::int64_t i = 0; i < t.queries; ++i)
            for (std::int64_t c = 0; c < t.head_size; c += kLanes)
                store(load_some(q + i * t.q.stride + c, t.head_size - c), queries + i * query_stride + c);
    });
    for (std::int64_t key = 0; key < t.keys; key += kPanel)
        for (std::int64_t i = 0; i < t.queries; i += kRows) {
            const std::int64_t count = HWY_MIN(kRows, t.queries - i);
            for (std::int64_t r = 0; r < count; ++r) rows[r] = queries + (i + r) * query_stride;
            multiply_up_to(count, rows, 0, 1, t.head_size, t.key_panels + key * t.head_size, sums);
            for (std::int64_t r = 0; r < count; ++r)
                std::memcpy(scores + (i + r) * score_stride + key, sums + r * kPanel, kPanel * sizeof(float));
        }
    for (std::int64_t i = 0; i < t.queries; ++i)
        inverse[i] = softmax_row(scores + i * score_stride, t.bias ? t.bias + i * t.bias_stride : nullptr, t.scale, t.keys);
    with_type(t.out, [&](auto* out) HWY_ATTR {
        for (std::int64_t column = 0; column < t.head_size; column += kPanel)
            for (std::int64_t i = 0; i < t.queries; i += kRows) {
                const std::int64_t count = HWY_MIN(kRows, t.queries - i);
                for (std::int64_t r = 0; r < count; ++r) rows[r] = scores + (i + r) * score_stride;
                multiply_up_to(count, rows, 0, 1, t.keys, t.value_panels + column * t.packed_keys, sums);
                for (std::int64_t r = 0; r < count; ++r)
                    for (std::int64_t c = 0; c < kPanel && column + c < t.head_size; c += kLanes)
                        store_some(hn::Mul(load(sums + r * kPanel + c), hn::Set(F32(), inverse[i + r])),
                                   out + (i + r) * t.out_stride + column + c, t.head_size - column - c);
            }
    });
}

void softmax_tile(const SoftmaxTile& t) {
    const F32 d;
    for (std::int64_t i = 0; i < t.queries; ++i) {
        float* scores = t.scores + i * t.stride;
        t.inverse[i] = softmax_row(scores, t.bias ? t.bias + i * t.bias_stride : nullptr, t.scale, t.keys);
        std::fill(scores + t.keys, scores + t.stride, 0.0F);
        std::uint16_t *weights = t.weights + i * t.stride, *rests = t.rests + i * t.stride;
        for (std::int64_t key = 0; key < t.stride; key += kLanes) {
            const VF weight = hn::Load(d, scores + key);
            store(weight, weights + key);
            store(hn::Sub(weight, load(weights + key)), rests + key);
        }
    }
}

void scale_rows(const float* sums, std::int64_t sums_stride, const float* inverse, std::int64_t rows, std::int64_t columns,
                MutableElements to, std::int64_t out_stride) {
    with_type(to, [&](auto* out) HWY_ATTR {
        for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t c = 0; c < columns; c += kLanes)
                store_some(hn::Mul(load(sums + i * sums_stride + c), hn::Set(F32(), inverse[i])), out + i * out_stride + c,
                           columns - c);
    });
}

}  // namespace
}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace t2i::cpu {
HWY_EXPORT(pack_keys);
HWY_EXPORT(pack_values);
HWY_EXPORT(attention_scratch);
HWY_EXPORT(attention_tile);
HWY_EXPORT(softmax_tile);
HWY_EXPORT(scale_rows);

void pack_keys(const HeadRows& k, std::int64_t tokens, std::int64_t head_size, float* panels) {
    HWY_DYNAMIC_DISPATCH(pack_keys)(k, tokens, head_size, panels);
}
void pack_values(const HeadRows& v, std::int64_t tokens, std::int64_t head_size, float* panels) {
    HWY_DYNAMIC_DISPATCH(pack_values)(v, tokens, head_size, panels);
}
std::int64_t attention_scratch(std::int64_t queries, std::int64_t keys, std::int64_t head_size) {
    return HWY_DYNAMIC_DISPATCH(attention_scratch)(queries, keys, head_size);
}
void attention_tile(const AttentionTile& tile) {
    HWY_DYNAMIC_DISPATCH(attention_tile)(tile);
}
void softmax_tile(const SoftmaxTile& tile) {
    HWY_DYNAMIC_DISPATCH(softmax_tile)(tile);
}
void scale_rows(const float* sums, std::int64_t sums_stride, const float* inverse, std::int64_t rows, std::int64_t columns,
                MutableElements out, std::int64_t out_stride) {
    HWY_DYNAMIC_DISPATCH(scale_rows)(sums, sums_stride, inverse, rows, columns, out, out_stride);
}
}  // namespace t2i::cpu
#endif
