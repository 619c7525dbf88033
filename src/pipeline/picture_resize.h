// Pictures brought to another size.
#pragma once

#include "core/tensor.h"

namespace t2i {

// As resize_and_crop_tensor of diffusers' image processor for PixArt: pictures grow or shrink until they cover the new size, by
// bilinear interpolation between pixels' centres as torch.nn.functional.interpolate has it (no antialiasing), and what stands out
// is cut off on both sides. from: [B, h, w, C], to: [B, H, W, C], both f32 in host memory.
void resize_and_crop(const TensorView& from, const TensorView& to);

}  // namespace t2i
