// Into tokens and out of them: rows of a table, timestep embeddings, patches.
//
// Maths    kernels/ref/ref_kernels.h: gather, timestep_embed, patchify, unpatchify
// Shapes   gather: table [V, C], ids [N], out [N, C]; timestep_embed: [N], out [N, C]; latents [B, C, H, W], tokens
//          [B·(H/p)·(W/p), C·p·p]
// Grid     gather: (rows, tiles of 512 columns), 128 threads of four elements; timestep_embed: (rows, tiles of 128 frequencies);
//          patches: one element of the output a thread, 256 a block
// Memory   each element is read and written once; a few MB at most and most often a few KB, so a launch's latency is the limit
// Numerics gather and patches move values, rounding at most once. The embedding's frequency is made in double and rounded to
//          f32, and so is the angle, as the reference does: an error of the frequency is multiplied by up to 999. sinf and cosf
//          are within 2 units in the last place for every argument (CUDA C++ Programming Guide, "Mathematical Functions").
// Host     ids and timesteps travel as parameters, as many at a time as a kernel takes, so that they may be recorded.
// Measured not yet on a GPU
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace t2i::cuda {
namespace {

constexpr int row_threads = 128, element_threads = 256;
constexpr std::int64_t list_length = 960;  // 3,840 bytes of a kernel's 4,096 of parameters

template <typename T>
struct List {
    T values[list_length];
};

// Calls launch_part(list, begin, count) for parts of `values`.
template <typename T, typename LaunchPart>
void in_parts(const T* values, std::int64_t count, LaunchPart launch_part) {
    List<T> list{};
    for (std::int64_t begin = 0; begin < count; begin += list_length) {
        const std::int64_t part = std::min(count - begin, list_length);
        std::copy_n(values + begin, part, list.values);
        launch_part(list, begin, part);
    }
}

template <typename T, bool aligned>
__global__ void __launch_bounds__(row_threads)
    gather_kernel(const __grid_constant__ List<std::int32_t> ids, const T* table, std::int64_t columns, float* out) {
    const std::int64_t column = (static_cast<std::int64_t>(blockIdx.y) * row_threads + threadIdx.x) * chunk_width;
    float v[4];
    load_chunk<aligned>(table + ids.values[blockIdx.x] * columns, column, columns, v);
    store_chunk<aligned>(out + blockIdx.x * columns, column, columns, v);
}

__global__ void __launch_bounds__(row_threads)
    timestep_embed_kernel(const __grid_constant__ List<float> timesteps, std::int64_t half, double divisor, MutableElements out) {
    constexpr double log_10000 = 9.210340371976184;
    const std::int64_t k = static_cast<std::int64_t>(blockIdx.y) * row_threads + threadIdx.x;
    if (k >= half) return;
    const auto frequency = static_cast<float>(exp(-log_10000 * static_cast<double>(k) / divisor));
    const float angle = timesteps.values[blockIdx.x] * frequency, cosine = cosf(angle), sine = sinf(angle);
    const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * 2 * half + k;
    if (out.is_bf16) {
        store_one(static_cast<std::uint16_t*>(out.data) + first, cosine);
        store_one(static_cast<std::uint16_t*>(out.data) + first + half, sine);
    } else {
        store_one(static_cast<float*>(out.data) + first, cosine);
        store_one(static_cast<float*>(out.data) + first + half, sine);
    }
}

__device__ __forceinline__ std::int64_t element() {
    return static_cast<std::int64_t>(blockIdx.x) * element_threads + threadIdx.x;
}

// Where an element of the latents lies among the tokens.
struct PatchPlace {
    std::int64_t token, channel, y, x;
    __device__ PatchPlace(const Patches& p, std::int64_t i) {
        const std::int64_t column = i % p.width, row = i / p.width % p.height, plane = i / (p.width * p.height);
        channel = plane % p.channels;
        token = (plane / p.channels * (p.height / p.patch) + row / p.patch) * (p.width / p.patch) + column / p.patch;
        y = row % p.patch;
        x = column % p.patch;
    }
};

template <typename T>
__global__ void __launch_bounds__(element_threads) patchify_kernel(Patches p, const float* latents, T* out) {
    const std::int64_t i = element(), area = p.patch * p.patch;
    if (i >= p.batch * p.channels * p.height * p.width) return;
    const PatchPlace at(p, i);
    store_one(out + (at.token * p.channels + at.channel) * area + at.y * p.patch + at.x, latents[i]);
}

__global__ void __launch_bounds__(element_threads) unpatchify_kernel(Patches p, const float* tokens, float* out) {
    const std::int64_t i = element(), area = p.patch * p.patch;
    if (i >= p.batch * p.channels * p.height * p.width) return;
    const PatchPlace at(p, i);
    out[i] = tokens[(at.token * area + at.y * p.patch + at.x) * p.token_channels + at.channel];
}

dim3 latent_grid(const Patches& p) {
    return dim3(blocks_for(p.batch * p.channels * p.height * p.width, element_threads));
}

template <typename T>
void launch_gather(const void* table, std::int64_t columns, const std::int32_t* ids, std::int64_t count, float* out,
                   LaunchStream stream) {
    const auto* rows = static_cast<const T*>(table);
    const bool aligned = columns % chunk_width == 0 && is_aligned(rows, 4 * sizeof(T)) && is_aligned(out, 16);
    const auto kernel = aligned ? gather_kernel<T, true> : gather_kernel<T, false>;
    in_parts(ids, count, [&](const List<std::int32_t>& list, std::int64_t begin, std::int64_t part) {
        const dim3 grid(static_cast<unsigned>(part), blocks_for(columns, row_threads * chunk_width));
        launch(kernel, grid, dim3(row_threads), 0, stream, list, rows, columns, out + begin * columns);
    });
}

}  // namespace

void launch_gather(const void* table, Storage type, std::int64_t columns, const std::int32_t* ids, std::int64_t count, float* out,
                   cudaStream_t stream) {
    switch (type) {
        case Storage::f32:
            return launch_gather<float>(table, columns, ids, count, out, stream);
        case Storage::bf16:
            return launch_gather<std::uint16_t>(table, columns, ids, count, out, stream);
        case Storage::f16:
            return launch_gather<Half>(table, columns, ids, count, out, stream);
    }
}

void launch_timestep_embed(const float* timesteps, std::int64_t count, std::int64_t columns, float shift, MutableElements out,
                           cudaStream_t stream) {
    const std::int64_t half = columns / 2;
    const double divisor = static_cast<double>(half) - static_cast<double>(shift);
    in_parts(timesteps, count, [&](const List<float>& list, std::int64_t begin, std::int64_t part) {
        MutableElements to = out;
        to.data = static_cast<std::byte*>(out.data) + begin * columns * (out.is_bf16 ? 2 : 4);
        launch(timestep_embed_kernel, dim3(static_cast<unsigned>(part), blocks_for(half, row_threads)), dim3(row_threads), 0,
               stream, list, half, divisor, to);
    });
}

void launch_patchify(const Patches& p, const float* latents, MutableElements out, cudaStream_t stream) {
    if (out.is_bf16)
        launch(patchify_kernel<std::uint16_t>, latent_grid(p), dim3(element_threads), 0, stream, p, latents,
               static_cast<std::uint16_t*>(out.data));
    else
        launch(patchify_kernel<float>, latent_grid(p), dim3(element_threads), 0, stream, p, latents,
               static_cast<float*>(out.data));
}

void launch_unpatchify(const Patches& p, const float* tokens, float* out, cudaStream_t stream) {
    launch(unpatchify_kernel, latent_grid(p), dim3(element_threads), 0, stream, p, tokens, out);
}

}  // namespace t2i::cuda
