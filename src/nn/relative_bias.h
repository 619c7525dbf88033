// T5's position bias: one learned number per head and bucket of the distance between key and query.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace t2i {

struct RelativeBuckets {
    int count = 32;          // relative_attention_num_buckets, of both directions
    int max_distance = 128;  // relative_attention_max_distance
    // Bucket of distance = key − query (transformers, T5Attention._relative_position_bucket, bidirectional,
    // float32).
    [[nodiscard]] int bucket(std::int64_t distance) const;
};

// table [count, heads] f32 host → [heads, length, length] f32 host, indexed by head, query, key
[[nodiscard]] Tensor relative_position_bias(const RelativeBuckets& buckets, const TensorView& table, std::int64_t length);

}  // namespace t2i
