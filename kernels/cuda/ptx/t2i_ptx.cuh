// Every PTX instruction that the kernels write themselves, as inline functions. Sources include <t2i_ptx.cuh>; an emulated
// build finds the twin in kernels/emulation/include first. All lanes of a warp must call a function marked "warp" together.
//
// Fragments (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type" and "… m16n8k8"), lane = 4·g + t:
//   A [16, 16] row-major    a[0]: row g, columns 2t, 2t+1    a[1]: row g+8    a[2], a[3]: the same, 8 columns on
//   A [16, 8]               a0: row g, columns 2t, 2t+1      a1: row g+8
//   B [16, 8]               b0: rows 2t, 2t+1, column g      b1: rows 2t+8, 2t+9        (k8: b0 alone)
//   C, D [16, 8] f32        c[0], c[1]: row g, columns 2t, 2t+1    c[2], c[3]: row g+8
// A register holds two bf16, the lower column or row in its lower half.
#pragma once

#include <cstdint>

namespace t2i::cuda::ptx {

// d += A·B, warp. bf16 in, f32 sums.
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_m16n8k8(float (&d)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t b0) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(b0));
}

__device__ __forceinline__ std::uint32_t shared_address(const void* shared) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// Warp. Matrices of 8 rows of 16 bytes: lane l names row l mod 8 of matrix l / 8, aligned to 16 bytes (what lanes past the
// last matrix name is not read). r[i] of lane 4·g + t: of matrix i, bf16 2t and 2t + 1 of row g; transposed, of column g.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&r)[4], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared_row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(std::uint32_t (&r)[2], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(shared_row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_transposed(std::uint32_t (&r)[4], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared_row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_transposed(std::uint32_t (&r)[2], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(shared_row))
                 : "memory");
}

// Starts a copy of 16 bytes, both sides aligned to 16, past the first-level cache. Where `wanted` is false nothing is read and
// the destination becomes zeros; `global` must be a valid address all the same.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool wanted) {
    const std::uint32_t bytes = wanted ? 16U : 0U;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(bytes)
                 : "memory");
}
// Closes a group of the copies that this thread has started since the last one.
__device__ __forceinline__ void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until all but the newest `groups` groups of this thread are done. Other threads see them after a barrier.
template <int groups>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

// 2^x, off by at most 2^-22 of it; below 2^-126 it is 0; NaN for NaN.
__device__ __forceinline__ float exp2_approximate(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Two bf16 in one register, each rounded to nearest even; NaN for NaN.
__device__ __forceinline__ std::uint32_t to_bf16x2(float low, float high) {
    std::uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

}  // namespace t2i::cuda::ptx
