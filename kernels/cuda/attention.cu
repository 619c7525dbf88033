// Which attention kernel serves a call. Shapes, alignment and scale decide; the batch decides only how many warps share a
// block, which changes no number: a sequence gets the same ones in any company.
#include <cstdint>

#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/attention_simt.cuh"
#include "kernels/cuda/attention_wide.cuh"

namespace t2i::cuda {
namespace {

constexpr std::int64_t most_wide = 512;  // head size whose sums fit in the registers of attention_wide_kernel

// Below it bias / scale could leave the range of f32. No model has such a scale.
constexpr float least_scale = 1e-6F;

unsigned blocks_of(std::int64_t count, int per_block) {
    return static_cast<unsigned>((count + per_block - 1) / per_block);
}
dim3 grid_of(const Attention& a, int queries, std::int64_t slices = 1) {
    return {blocks_of(a.queries, queries), static_cast<unsigned>(a.heads * slices), static_cast<unsigned>(a.batch)};
}

// Whether every row of every head begins at a multiple of 16 bytes.
bool is_aligned(const HeadColumns& m, std::int64_t head_size) {
    return reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && m.stride % chunk_elements == 0 &&
           head_size % chunk_elements == 0;
}
bool is_aligned(const Attention& a) {
    return is_aligned(a.q, a.head_size) && is_aligned(a.k, a.head_size) && is_aligned(a.v, a.head_size) &&
           reinterpret_cast<std::uintptr_t>(a.out) % 4 == 0;
}

// Whether blocks of 128 queries are enough for two waves on a large card (132 SMs, 2 such blocks on each).
bool is_large(const Attention& a) {
    return a.batch * a.heads * blocks_of(a.queries, 128) >= 512;
}

template <int head_size, int warps = 4>
void launch_mma(const Attention& a, cudaStream_t stream) {
    const auto start = [&](auto kernel) {
        launch(kernel, grid_of(a, 16 * warps), dim3(32 * warps), AttentionTiles<head_size>::shared_bytes, stream, a);
    };
    if (a.rounded_weights)
        a.bias ? start(attention_mma_kernel<head_size, warps, true, true>)
               : start(attention_mma_kernel<head_size, warps, false, true>);
    else
        a.bias ? start(attention_mma_kernel<head_size, warps, true, false>)
               : start(attention_mma_kernel<head_size, warps, false, false>);
}
bool launch_mma(const Attention& a, cudaStream_t stream) {
    switch (a.head_size) {
        case 8:
            launch_mma<8>(a, stream);
            return true;
        case 16:
            launch_mma<16>(a, stream);
            return true;
        case 32:
            launch_mma<32>(a, stream);
            return true;
        case 40:
            launch_mma<40>(a, stream);
            return true;
        case 64:
            is_large(a) ? launch_mma<64, 8>(a, stream) : launch_mma<64>(a, stream);
            return true;
        case 72:
            is_large(a) ? launch_mma<72, 8>(a, stream) : launch_mma<72>(a, stream);
            return true;
        case 80:
            launch_mma<80>(a, stream);
            return true;
        case 128:
            launch_mma<128>(a, stream);
            return true;
        default:
            return false;
    }
}

template <int slices>
void launch_wide(const Attention& a, bool aligned, cudaStream_t stream) {
    const auto kernel = a.rounded_weights ? attention_wide_kernel<slices, true> : attention_wide_kernel<slices, false>;
    launch(kernel, grid_of(a, wide_queries), dim3(32 * wide_warps), wide_shared_bytes(a.head_size), stream, a, aligned);
}

template <typename T, int columns>
void launch_simt(const Attention& a, cudaStream_t stream) {
    const std::int64_t slices = blocks_of(a.head_size, 32 * columns);
    launch(attention_simt_kernel<T, columns>, grid_of(a, simt_queries, slices), dim3(32 * simt_warps), 0, stream, a);
}

void launch_f32(const Attention& a, cudaStream_t stream) {
    if (a.head_size <= 64) return launch_simt<float, 2>(a, stream);
    if (a.head_size <= 96) return launch_simt<float, 3>(a, stream);
    if (a.head_size <= 256) return launch_simt<float, 8>(a, stream);
    launch_simt<float, 16>(a, stream);
}

void launch_bf16(const Attention& a, cudaStream_t stream) {
    if (a.head_size > most_wide || !(a.scale >= least_scale || a.scale <= -least_scale))
        return launch_simt<std::uint16_t, 16>(a, stream);
    const bool aligned = is_aligned(a);
    if (aligned && launch_mma(a, stream)) return;
    if (a.head_size <= 128) return launch_wide<1>(a, aligned, stream);
    if (a.head_size <= 256) return launch_wide<2>(a, aligned, stream);
    launch_wide<4>(a, aligned, stream);
}

}  // namespace

void launch_attention(const Attention& a, cudaStream_t stream) {
    a.is_bf16 ? launch_bf16(a, stream) : launch_f32(a, stream);
}

}  // namespace t2i::cuda
