// Operations put together from others, for backends that work in host memory and have no kernel of their own for them.
#pragma once

#include "ops/backend.h"

namespace t2i {

// Backend::sampler_update through backend.lincomb.
void sampler_update_by_sums(Backend& backend, const SamplerUpdateArgs& a);
// Backend::cast of block types.
void cast_from_blocks(const TensorView& x, const TensorView& out);

// Backend::limit of memory that the host reads.
void limit_on_host(const LimitArgs& a);

}  // namespace t2i
