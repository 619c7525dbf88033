// Weights of GGUF's block types as plain numbers: once for each layer that is loaded.
//
// Maths    a scale times an integer of a few bits, of some types less a minimum: the layouts stand in src/core/block_layout.h
// Shapes   whole blocks of 32 or 256 values → as many f32 or bf16
// Grid     one value a thread, 256 a block of threads: one block of 256 values, or eight of 32
// Memory   0.56 to 1.06 bytes a value are read, neighbours' bytes from the same lines, and 2 or 4 written: the limit
// Numerics each product and each difference is rounded to f32, as the reference does, then once to the output's type
// Measured not yet on a GPU
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace t2i::cuda {
namespace {

constexpr int threads = 256;

__device__ __forceinline__ float half_at(const std::uint8_t* p) {
    return to_float(Half{static_cast<std::uint16_t>(p[0] | (p[1] << 8))});
}
__device__ __forceinline__ int signed_byte(std::uint8_t byte) {
    return static_cast<std::int8_t>(byte);
}

struct Q8_0 {
    static constexpr int values = 32, bytes = 34;
    __device__ static float at(const std::uint8_t* block, int i) {
        return __fmul_rn(half_at(block), static_cast<float>(signed_byte(block[2 + i])));
    }
};

struct Q4_0 {
    static constexpr int values = 32, bytes = 18;
    __device__ static float at(const std::uint8_t* block, int i) {
        const int q = (block[2 + i % 16] >> (i / 16 * 4)) & 15;
        return __fmul_rn(half_at(block), static_cast<float>(q - 8));
    }
};

// q of value i, less the minimum of its run of 32; `scales`: the twelve bytes behind the two f16.
__device__ __forceinline__ float scaled(const std::uint8_t* block, int i, int q) {
    const std::uint8_t* scales = block + 4;
    const int j = i / 32;
    const int scale = j < 4 ? scales[j] & 63 : (scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4);
    const int minimum = j < 4 ? scales[j + 4] & 63 : (scales[j + 4] >> 4) | ((scales[j] >> 6) << 4);
    const float d = __fmul_rn(half_at(block), static_cast<float>(scale));
    const float below = __fmul_rn(half_at(block + 2), static_cast<float>(minimum));
    return __fadd_rn(__fmul_rn(d, static_cast<float>(q)), -below);
}

struct Q4_K {
    static constexpr int values = 256, bytes = 144;
    __device__ static float at(const std::uint8_t* block, int i) {
        return scaled(block, i, (block[16 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4)) & 15);
    }
};

struct Q5_K {
    static constexpr int values = 256, bytes = 176;
    __device__ static float at(const std::uint8_t* block, int i) {
        const int low = (block[48 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4)) & 15;
        return scaled(block, i, low + ((block[16 + i % 32] >> (i / 32)) & 1) * 16);
    }
};

struct Q6_K {
    static constexpr int values = 256, bytes = 210;
    __device__ static float at(const std::uint8_t* block, int i) {
        const int part = i / 128, quarter = i % 128 / 32, l = i % 32;
        const int low = (block[64 * part + 32 * (quarter & 1) + l] >> (quarter / 2 * 4)) & 15;
        const int high = (block[128 + 32 * part + l] >> (2 * quarter)) & 3;
        const float scale = __fmul_rn(half_at(block + 208), static_cast<float>(signed_byte(block[192 + i / 16])));
        return __fmul_rn(scale, static_cast<float>((low | (high << 4)) - 32));
    }
};

template <typename Block, typename To>
__global__ void __launch_bounds__(threads) unpack_blocks_kernel(const std::uint8_t* blocks, std::int64_t count, To* out) {
    const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * threads + threadIdx.x;
    if (i >= count) return;
    store_one(out + i, Block::at(blocks + i / Block::values * Block::bytes, static_cast<int>(i % Block::values)));
}

template <typename Block>
void launch_unpack(const void* blocks, std::int64_t count, MutableElements out, LaunchStream stream) {
    const auto* bytes = static_cast<const std::uint8_t*>(blocks);
    const dim3 grid(blocks_for(count, threads));
    if (out.is_bf16)
        launch(unpack_blocks_kernel<Block, std::uint16_t>, grid, dim3(threads), 0, stream, bytes, count,
               static_cast<std::uint16_t*>(out.data));
    else launch(unpack_blocks_kernel<Block, float>, grid, dim3(threads), 0, stream, bytes, count, static_cast<float*>(out.data));
}

}  // namespace

void launch_unpack_blocks(BlockType type, const void* blocks, std::int64_t count, MutableElements out, cudaStream_t stream) {
    switch (type) {
        case BlockType::q8_0:
            return launch_unpack<Q8_0>(blocks, count, out, stream);
        case BlockType::q4_0:
            return launch_unpack<Q4_0>(blocks, count, out, stream);
        case BlockType::q4_k:
            return launch_unpack<Q4_K>(blocks, count, out, stream);
        case BlockType::q5_k:
            return launch_unpack<Q5_K>(blocks, count, out, stream);
        case BlockType::q6_k:
            return launch_unpack<Q6_K>(blocks, count, out, stream);
    }
}

}  // namespace t2i::cuda
