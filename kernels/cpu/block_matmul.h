// Products with weights that stay quantised: the weights of a few columns are unpacked into a panel that stays in cache, then
// every row is multiplied with it, by the same loops and in the same order as with panels that were packed at load.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace t2i::cpu {

// out = epilogue(x · weightᵀ)
struct BlockMatmul {
    Elements x;  // [rows, k], f32 where kernel is none, else bf16
    std::int64_t rows, k;
    Bf16Kernel kernel;
    const Epilogue& epilogue;
};

// Columns that one part makes: a divisor of 32. Parts are independent of each other.
std::int64_t block_columns(const BlockMatmul& m);
std::size_t block_scratch(const BlockMatmul& m);  // bytes for one part
// All rows of the columns from `column` on, block_columns() of them or up to the last.
void block_columns_times_rows(const BlockMatmul& m, const BlockColumns& weights, std::int64_t column, void* scratch);

}  // namespace t2i::cpu
