// GroupNorm over channels-last pictures, with SiLU.
//
// Maths    kernels/ref/ref_kernels.h: group_norm; Welford 1962 for a thread's pixels, Chan et al. 1979 to join
// Shapes   x, out [B, P, C]; weight, bias [C]; scratch: moments [B, splits, C, 2], then statistics [B, groups, 2], f32
// Grid     three launches of 256 threads. moments: (splits, ⌈C / 256⌉, B), a thread takes four channels of every rows-th pixel of
//          its split; statistics: (groups, B), one block joins a group's channels and splits; apply: as moments.
//          The split depends on P and C alone, so a picture's result does not depend on its batch.
// Memory   x is read twice (once from the second-level cache where the picture fits there) and out written once: 6 bytes an
//          element in bf16, 12 in f32: the limit. 256 x 256 x 128 in bf16: 50 MB.
// Numerics all statistics are means and sums of squared deviations in f32, never Σx², so a large mean does not disturb the
//          variance. No atomics: the order of every sum is fixed.
// Measured not yet on a GPU
#include <algorithm>

#include "kernels/cuda/functions.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace t2i::cuda {
namespace {

constexpr int block_threads = 256, join_threads = 128;
constexpr int apply_pixels = 4;            // a thread has in hand at a time
constexpr int most_lanes = 64;             // threads side by side along the channels
constexpr std::int64_t most_splits = 256;  // enough blocks for one picture to fill a large card
constexpr std::int64_t least_pixels = 16;  // of one thread: fewer would be dominated by joining

// How a picture is cut: lanes · rows = block_threads; lane: four channels, row: every rows-th pixel of the split.
struct Cut {
    int lanes = 1, rows = 1;
    std::int64_t pixels_per_split = 1, splits = 1;
};
Cut cut_of(std::int64_t pixels, std::int64_t channels) {
    Cut cut;
    while (cut.lanes < most_lanes && cut.lanes * chunk_width < channels) cut.lanes *= 2;
    cut.rows = block_threads / cut.lanes;
    cut.pixels_per_split = std::max((pixels + most_splits - 1) / most_splits, cut.rows * least_pixels);
    cut.splits = (pixels + cut.pixels_per_split - 1) / cut.pixels_per_split;
    return cut;
}

// Where a thread of a block of (split, tile of channels, picture) works.
struct Place {
    std::int64_t channel, begin, end;  // first of four channels; its own first pixel, and the end of the split
    __device__ Place(const GroupNorm& a, const Cut& cut) {
        const int lane = static_cast<int>(threadIdx.x) % cut.lanes, row = static_cast<int>(threadIdx.x) / cut.lanes;
        const std::int64_t first = blockIdx.x * cut.pixels_per_split;
        channel = (static_cast<std::int64_t>(blockIdx.y) * cut.lanes + lane) * chunk_width;
        begin = first + row;
        end = min(first + cut.pixels_per_split, a.pixels);
    }
};

struct JoinPlaces {
    float count[block_threads];
    float4 mean[block_threads], squares[block_threads];
};

__device__ __forceinline__ float4 as_float4(const float (&v)[4]) {
    return make_float4(v[0], v[1], v[2], v[3]);
}
__device__ __forceinline__ void join_into(float& mean, float& squares, float count, float other_mean, float other_squares,
                                          float other_count) {
    const Moments m = join({count, mean, squares}, {other_count, other_mean, other_squares});
    mean = m.mean;
    squares = m.squares;
}

// moments[b, split, c] = mean and squared deviations of a channel's pixels in the split.
template <typename T, bool aligned>
__global__ void __launch_bounds__(block_threads) group_moments_kernel(GroupNorm a, Cut cut, float* moments) {
    JoinPlaces& shared = static_shared<JoinPlaces>();
    const Place at(a, cut);
    const T* const picture = static_cast<const T*>(a.x.data) + blockIdx.z * a.pixels * a.channels;
    float count = 0.0F, mean[4] = {}, squares[4] = {};
#pragma unroll 4
    for (std::int64_t pixel = at.begin; pixel < at.end; pixel += cut.rows) {
        float v[4];
        load_chunk<aligned>(picture + pixel * a.channels, at.channel, a.channels, v);
        count += 1.0F;
        const float part = 1.0F / count;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float step = v[i] - mean[i];
            mean[i] = fmaf(step, part, mean[i]);
            squares[i] = fmaf(step, v[i] - mean[i], squares[i]);
        }
    }
    const int thread = static_cast<int>(threadIdx.x);
    shared.count[thread] = count;
    shared.mean[thread] = as_float4(mean);
    shared.squares[thread] = as_float4(squares);
    // Row by row, halving their number; blocks have a power of two of them.
    for (int rows = cut.rows / 2; rows > 0; rows /= 2) {
        __syncthreads();
        if (thread >= rows * cut.lanes) continue;
        const int other = thread + rows * cut.lanes;
        const float here = shared.count[thread], there = shared.count[other];
        float4 m = shared.mean[thread], s = shared.squares[thread];
        const float4 n = shared.mean[other], t = shared.squares[other];
        join_into(m.x, s.x, here, n.x, t.x, there);
        join_into(m.y, s.y, here, n.y, t.y, there);
        join_into(m.z, s.z, here, n.z, t.z, there);
        join_into(m.w, s.w, here, n.w, t.w, there);
        shared.count[thread] = here + there;
        shared.mean[thread] = m;
        shared.squares[thread] = s;
    }
    if (thread >= cut.lanes) return;  // what is left are the thread's own places
    const float4 m = shared.mean[thread], s = shared.squares[thread];
    const float means[4] = {m.x, m.y, m.z, m.w}, deviations[4] = {s.x, s.y, s.z, s.w};
    float* const out = moments + (static_cast<std::int64_t>(blockIdx.z) * cut.splits + blockIdx.x) * a.channels * 2;
    for (int i = 0; i < 4; ++i) {
        if (at.channel + i >= a.channels) break;
        out[(at.channel + i) * 2] = means[i];
        out[(at.channel + i) * 2 + 1] = deviations[i];
    }
}

// statistics[b, g] = mean and 1 / sqrt(variance + eps).
__global__ void __launch_bounds__(join_threads)
    group_statistics_kernel(GroupNorm a, Cut cut, const float* moments, float* statistics) {
    struct Warps {
        Moments of[join_threads / 32];
    };
    Warps& shared = static_shared<Warps>();
    const std::int64_t width = a.channels / a.groups, first = blockIdx.x * width;
    const float* const picture = moments + blockIdx.y * cut.splits * a.channels * 2;
    Moments m{0.0F, 0.0F, 0.0F};
    for (std::int64_t i = threadIdx.x; i < cut.splits * width; i += join_threads) {
        const std::int64_t split = i / width, channel = first + i % width;
        const std::int64_t pixels = min(cut.pixels_per_split, a.pixels - split * cut.pixels_per_split);
        const float* const part = picture + (split * a.channels + channel) * 2;
        m = join(m, {static_cast<float>(pixels), part[0], part[1]});
    }
    m = warp_join(m);
    const int thread = static_cast<int>(threadIdx.x);
    if (thread % 32 == 0) shared.of[thread / 32] = m;
    __syncthreads();
    if (thread != 0) return;
    for (int warp = 1; warp < join_threads / 32; ++warp) m = join(m, shared.of[warp]);
    float* const out = statistics + (static_cast<std::int64_t>(blockIdx.y) * a.groups + blockIdx.x) * 2;
    out[0] = m.mean;
    out[1] = rsqrtf(m.squares / m.count + a.eps);
}

template <typename T, bool aligned>
__global__ void __launch_bounds__(block_threads) group_apply_kernel(GroupNorm a, Cut cut, const float* statistics) {
    const Place at(a, cut);
    if (at.channel >= a.channels) return;
    const std::int64_t width = a.channels / a.groups;
    const float* const picture_statistics = statistics + blockIdx.z * a.groups * 2;
    float mean[4], inverse[4], weight[4], bias[4];
    load_chunk<aligned>(a.weight, at.channel, a.channels, weight);
    load_chunk<aligned>(a.bias, at.channel, a.channels, bias);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const std::int64_t group = min(at.channel + i, a.channels - 1) / width;
        mean[i] = picture_statistics[group * 2];
        inverse[i] = picture_statistics[group * 2 + 1];
    }
    const std::int64_t picture = blockIdx.z * a.pixels * a.channels;
    const T* const from = static_cast<const T*>(a.x.data) + picture;
    T* const to = static_cast<T*>(a.out.data) + picture;
    // All loads before the stores: out may be x, so the compiler would not move one over the other.
    for (std::int64_t pixel = at.begin; pixel < at.end; pixel += std::int64_t{apply_pixels} * cut.rows) {
        float v[apply_pixels][4];
#pragma unroll
        for (int j = 0; j < apply_pixels; ++j)
            if (pixel + j * cut.rows < at.end)
                load_chunk<aligned>(from + (pixel + j * cut.rows) * a.channels, at.channel, a.channels, v[j]);
#pragma unroll
        for (int j = 0; j < apply_pixels; ++j) {
            if (pixel + j * cut.rows >= at.end) break;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                v[j][i] = fmaf((v[j][i] - mean[i]) * inverse[i], weight[i], bias[i]);
                if (a.silu) v[j][i] = silu(v[j][i]);
            }
            store_chunk<aligned>(to + (pixel + j * cut.rows) * a.channels, at.channel, a.channels, v[j]);
        }
    }
}

template <typename T, bool aligned>
void launch_group_norm(const GroupNorm& a, const Cut& cut, float* scratch, LaunchStream stream) {
    float* const moments = scratch;
    float* const statistics = scratch + a.batch * cut.splits * a.channels * 2;
    const dim3 grid(static_cast<unsigned>(cut.splits), blocks_for(a.channels, std::int64_t{cut.lanes} * chunk_width),
                    static_cast<unsigned>(a.batch));
    launch(group_moments_kernel<T, aligned>, grid, dim3(block_threads), 0, stream, a, cut, moments);
    launch(group_statistics_kernel, dim3(static_cast<unsigned>(a.groups), static_cast<unsigned>(a.batch)), dim3(join_threads), 0,
           stream, a, cut, moments, statistics);
    launch(group_apply_kernel<T, aligned>, grid, dim3(block_threads), 0, stream, a, cut, statistics);
}
template <typename T>
void launch_group_norm(const GroupNorm& a, float* scratch, LaunchStream stream) {
    const Cut cut = cut_of(a.pixels, a.channels);
    const bool aligned = a.channels % chunk_width == 0 && chunks_aligned(a.x) && chunks_aligned(a.out) &&
                         chunks_aligned(a.weight) && chunks_aligned(a.bias);
    if (aligned) launch_group_norm<T, true>(a, cut, scratch, stream);
    else launch_group_norm<T, false>(a, cut, scratch, stream);
}

}  // namespace

std::size_t group_norm_scratch_bytes(std::int64_t batch, std::int64_t pixels, std::int64_t channels, std::int64_t groups) {
    return static_cast<std::size_t>(batch * (cut_of(pixels, channels).splits * channels + groups) * 2) * sizeof(float);
}

void launch_group_norm(const GroupNorm& a, void* scratch, cudaStream_t stream) {
    if (a.x.is_bf16) launch_group_norm<std::uint16_t>(a, static_cast<float*>(scratch), stream);
    else launch_group_norm<float>(a, static_cast<float*>(scratch), stream);
}

}  // namespace t2i::cuda
