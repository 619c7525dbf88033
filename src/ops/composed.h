// Operations put together from others, for backends that work in host memory and have no kernel of their own for them.
#pragma once

#include "ops/backend.h"

namespace t2i {

// Backend::sampler_update through backend.lincomb.
void sampler_update_by_sums(Backend& backend, const SamplerUpdateArgs& a);

}  // namespace t2i
