#include "backend/cpu/group_norm.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/elements.h"

namespace t2i::cpu {
namespace {

constexpr std::int64_t run = 64;  // pixels whose sum f32 holds well

std::int64_t pixels_of(const TensorView& x) {
    return x.shape[1] * x.shape[2];
}
std::int64_t runs_of(const TensorView& x) {
    return (pixels_of(x) + run - 1) / run;
}

}  // namespace

// Moments of runs of pixels, in parallel; then of each picture, by the rule of Chan, Golub and LeVeque (1983)
// for joining two samples, in the order of the runs.
GroupScales group_scales(Workers& workers, const TensorView& x, const InputNorm& norm) {
    const std::int64_t batch = x.shape[0], channels = x.shape[3], pixels = pixels_of(x), runs = runs_of(x);
    const std::int64_t width = channels / norm.groups;
    std::vector<Moments> parts(static_cast<std::size_t>(batch * runs * norm.groups));
    workers.reserve(static_cast<std::size_t>(2 * channels) * sizeof(float));
    workers.run(batch * runs, [&](std::int64_t part, void* scratch) {
        const std::int64_t begin = part % runs * run, count = std::min(run, pixels - begin);
        group_moments(from(x, (part / runs * pixels + begin) * channels), count, channels, norm.groups,
                      static_cast<float*>(scratch), parts.data() + part * norm.groups);
    });

    GroupScales scales;
    scales.mean.resize(static_cast<std::size_t>(batch * channels));
    scales.gain.resize(scales.mean.size());
    workers.run(batch * norm.groups, [&](std::int64_t part, void*) {
        const std::int64_t b = part / norm.groups, g = part % norm.groups;
        Moments total{0, 0, 0};
        for (std::int64_t r = 0; r < runs; ++r) {
            const Moments& next = parts[static_cast<std::size_t>((b * runs + r) * norm.groups + g)];
            const double count = total.count + next.count, apart = next.mean - total.mean;
            total.mean += apart * next.count / count;
            total.squares += next.squares + apart * apart * total.count * next.count / count;
            total.count = count;
        }
        const double inverse = 1.0 / std::sqrt(total.squares / total.count + static_cast<double>(norm.eps));
        for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
            scales.mean[static_cast<std::size_t>(b * channels + c)] = static_cast<float>(total.mean);
            scales.gain[static_cast<std::size_t>(b * channels + c)] =
                static_cast<float>(inverse * static_cast<double>(floats(norm.weight)[c]));
        }
    });
    return scales;
}

void group_norm(Workers& workers, const GroupNormArgs& a) {
    const std::int64_t channels = a.x.shape[3], pixels = pixels_of(a.x), runs = runs_of(a.x);
    const GroupScales scales =
        group_scales(workers, a.x, {a.weight, a.bias, a.groups, a.eps, a.activation});
    workers.run(a.x.shape[0] * runs, [&](std::int64_t part, void*) {
        const std::int64_t b = part / runs, begin = part % runs * run, at = (b * pixels + begin) * channels;
        group_apply(from(a.x, at), scales.mean.data() + b * channels, scales.gain.data() + b * channels,
                    floats(a.bias), std::min(run, pixels - begin), channels, function(a.activation),
                    to(a.out, at));
    });
}

}  // namespace t2i::cpu
