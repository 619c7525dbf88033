#include <cmath>

#include "kernels/ref/ref_kernels.h"

namespace t2i::ref {

void conv2d(const Conv2d& a) {
    const std::int64_t out_height = (a.height + a.padding[0] + a.padding[2] - a.kernel_height) / a.stride + 1;
    const std::int64_t out_width = (a.width + a.padding[1] + a.padding[3] - a.kernel_width) / a.stride + 1;
    const auto pixel = [&](std::int64_t b, std::int64_t y, std::int64_t x, std::int64_t o) {
        double sum = a.bias ? a.bias[o] : 0.0;
        for (std::int64_t i = 0; i < a.kernel_height; ++i)
            for (std::int64_t j = 0; j < a.kernel_width; ++j) {
                const std::int64_t from_y = y * a.stride + i - a.padding[0], from_x = x * a.stride + j - a.padding[1];
                if (from_y < 0 || from_y >= a.height || from_x < 0 || from_x >= a.width) continue;
                for (std::int64_t c = 0; c < a.channels_in; ++c)
                    sum += a.x[((b * a.height + from_y) * a.width + from_x) * a.channels_in + c] *
                           a.weight[((o * a.channels_in + c) * a.kernel_height + i) * a.kernel_width + j];
            }
        return sum;
    };
    for (std::int64_t b = 0; b < a.batch; ++b)
        for (std::int64_t y = 0; y < out_height; ++y)
            for (std::int64_t x = 0; x < out_width; ++x)
                for (std::int64_t o = 0; o < a.channels_out; ++o) {
                    const std::int64_t at = ((b * out_height + y) * out_width + x) * a.channels_out + o;
                    const double value = pixel(b, y, x, o) + (a.residual ? a.residual[at] : 0.0);
                    a.out.set(at, apply(a.function, value));
                }
}

void upsample2x(In x, std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t channels, Out out) {
    for (std::int64_t b = 0; b < batch; ++b)
        for (std::int64_t y = 0; y < 2 * height; ++y)
            for (std::int64_t column = 0; column < 2 * width; ++column)
                for (std::int64_t c = 0; c < channels; ++c)
                    out.set(((b * 2 * height + y) * 2 * width + column) * channels + c,
                            x[((b * height + y / 2) * width + column / 2) * channels + c]);
}

namespace {
// Calls visit(token, c, y, x, index in [B, C, H, W]) for every element, y and x counted inside the patch.
template <typename Visit>
void each_in_patches(std::int64_t b, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t p, Visit visit) {
    for (std::int64_t i = 0; i < b * c * h * w; ++i) {
        const std::int64_t column = i % w, row = i / w % h, channel = i / (w * h) % c, picture = i / (w * h * c);
        visit((picture * (h / p) + row / p) * (w / p) + column / p, channel, row % p, column % p, i);
    }
}
}  // namespace

void patchify(In latents, std::int64_t b, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t p, Out out) {
    each_in_patches(b, c, h, w, p, [&](auto token, auto channel, auto y, auto x, auto i) {
        out.set(token * c * p * p + channel * p * p + y * p + x, latents[i]);
    });
}

void unpatchify(In tokens, std::int64_t cx, std::int64_t b, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t p,
                Out out) {
    each_in_patches(b, c, h, w, p, [&](auto token, auto channel, auto y, auto x, auto i) {
        out.set(i, tokens[token * cx * p * p + (y * p + x) * cx + channel]);
    });
}

void to_channels_last(In x, std::int64_t b, std::int64_t c, std::int64_t pixels, Out out) {
    for (std::int64_t i = 0; i < b * c * pixels; ++i) {
        const std::int64_t pixel = i % pixels, channel = i / pixels % c, picture = i / (pixels * c);
        out.set((picture * pixels + pixel) * c + channel, x[i]);
    }
}

void to_channels_first(In x, std::int64_t b, std::int64_t c, std::int64_t pixels, Out out) {
    for (std::int64_t i = 0; i < b * c * pixels; ++i) {
        const std::int64_t pixel = i % pixels, channel = i / pixels % c, picture = i / (pixels * c);
        out.set(i, x[(picture * pixels + pixel) * c + channel]);
    }
}

void to_rgb8(const float* x, std::int64_t count, std::uint8_t* out) {
    for (std::int64_t i = 0; i < count; ++i) {
        const float unit = x[i] * 0.5F + 0.5F;
        // Written so that a NaN fails the first comparison and becomes 0.
        const float inside = unit > 0.0F ? (unit < 1.0F ? unit : 1.0F) : 0.0F;
        out[i] = static_cast<std::uint8_t>(std::nearbyintf(inside * 255.0F));
    }
}

}  // namespace t2i::ref
