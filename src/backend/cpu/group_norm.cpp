#include "backend/cpu/group_norm.h"

#include <algorithm>

#include "backend/kernel_arguments.h"
#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {
namespace {

// How pixels are cut: into runs whose sums f32 holds well and whose data the first-level cache holds, and
// parts of several runs for the threads.
struct Runs {
    explicit Runs(const TensorView& x) : pixels(x.shape[1] * x.shape[2]) {
        constexpr std::int64_t run_elements = 4096, shortest = 16, longest = 256, part_elements = 16384;
        run = std::clamp(run_elements / x.shape[3], shortest, longest);
        runs = (pixels + run - 1) / run;
        each = std::max<std::int64_t>(1, part_elements / (run * x.shape[3]));
    }
    std::int64_t pixels;
    std::int64_t run = 0, runs = 0;  // pixels of a run, runs of a picture
    std::int64_t each = 0;           // runs of a part
};

}  // namespace

// Moments of runs of pixels, in parallel; then of each picture.
GroupScales group_scales(Workers& workers, const TensorView& x, const InputNorm& norm) {
    const Runs k(x);
    const std::int64_t batch = x.shape[0], channels = x.shape[3], width = channels / norm.groups;
    std::vector<Moments> moments(static_cast<std::size_t>(batch * k.runs * norm.groups));
    workers.reserve(static_cast<std::size_t>(2 * channels) * sizeof(float));
    workers.run((batch * k.runs + k.each - 1) / k.each, [&](std::int64_t part, void* scratch) {
        for (std::int64_t r = part * k.each; r < std::min(batch * k.runs, (part + 1) * k.each); ++r) {
            const std::int64_t begin = r % k.runs * k.run, count = std::min(k.run, k.pixels - begin);
            group_moments(elements(x, (r / k.runs * k.pixels + begin) * channels), count, channels, norm.groups,
                          static_cast<float*>(scratch), moments.data() + r * norm.groups);
        }
    });

    GroupScales scales;
    scales.mean.resize(static_cast<std::size_t>(batch * channels));
    scales.gain.resize(scales.mean.size());
    workers.run(batch * norm.groups, [&](std::int64_t part, void*) {
        const std::int64_t b = part / norm.groups, g = part % norm.groups;
        const std::int64_t first = b * channels + g * width;
        join_moments(moments.data() + b * k.runs * norm.groups + g, k.runs, norm.groups, norm.eps,
                     floats(norm.weight) + g * width, width, scales.mean.data() + first, scales.gain.data() + first);
    });
    return scales;
}

void group_norm(Workers& workers, const GroupNormArgs& a) {
    const Runs k(a.x);
    const std::int64_t channels = a.x.shape[3], length = k.run * k.each, parts = (k.pixels + length - 1) / length;
    const GroupScales scales = group_scales(workers, a.x, {a.weight, a.bias, a.groups, a.eps, a.activation});
    workers.run(a.x.shape[0] * parts, [&](std::int64_t part, void*) {
        const std::int64_t b = part / parts, begin = part % parts * length, at = (b * k.pixels + begin) * channels;
        group_apply(elements(a.x, at), scales.mean.data() + b * channels, scales.gain.data() + b * channels, floats(a.bias),
                    std::min(length, k.pixels - begin), channels, function(a.activation), mutable_elements(a.out, at));
    });
}

}  // namespace t2i::cpu
