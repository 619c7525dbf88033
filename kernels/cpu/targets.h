// Which instruction sets to compile for: scalar code for any x86-64, AVX2 and AVX-512. Those between bring
// these kernels nothing but compile time. Include before any Highway header.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
