// Operations of the CPU backend that only move elements.
#pragma once

#include "backend/cpu/parallel.h"
#include "ops/backend.h"

namespace t2i::cpu {
void upsample2x(Workers& workers, const TensorView& x, const TensorView& out);
void gather(Workers& workers, const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out);
void to_channels_last(Workers& workers, const TensorView& x, const TensorView& out);
void to_channels_first(Workers& workers, const TensorView& x, const TensorView& out);
}  // namespace t2i::cpu
