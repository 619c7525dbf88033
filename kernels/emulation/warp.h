// What a thread of an emulated block may ask of the emulator: to wait for others, to work with its warp, to find its shared
// memory. Outside of a kernel each of these is a std::logic_error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

namespace t2i::emulation {

constexpr int warp_lanes = 32;

// This thread's lane in its warp.
[[nodiscard]] int lane();

// __syncthreads: all threads of the block wait at the same place in the source. Another place, or a thread that has ended, is
// a Fault.
void wait_at_barrier(std::source_location where);

// Runs compute(operands) for the lanes in `mask`, with context `context`.
void meet_warp(void* own, unsigned mask, std::source_location where, void (*compute)(void* const* operands, void* context),
               void* context);

// The general operation of a warp: every lane in `mask` calls it at the same place with its own operand, and the last one to
// come runs compute(all), which reads and changes the operands; all[lane] is that lane's operand, null outside of the mask.
// Afterwards all go on. Lanes at different places or with different masks, and a lane that has ended, are a Fault.
template <typename Operand, typename Compute>
void warp_collective(Operand& own, Compute compute, unsigned mask = 0xFFFFFFFFU,
                     std::source_location where = std::source_location::current()) {
    meet_warp(
        &own, mask, where,
        [](void* const* operands, void* context) {
            Operand* all[warp_lanes];
            for (int i = 0; i < warp_lanes; ++i) all[i] = static_cast<Operand*>(operands[i]);
            (*static_cast<Compute*>(context))(static_cast<Operand* const*>(all));
        },
        &compute);
}

// Throws Fault with the kernel's name and the thread's place.
[[noreturn]] void fault(const char* what);

// all[lane], or a Fault where that lane takes no part.
template <typename Operand>
Operand* present(Operand* const* all, int lane) {
    if (lane < 0 || lane >= warp_lanes || !all[lane]) fault("a lane reads from one that takes no part");
    return all[lane];
}

// The block's dynamic shared memory, and its static shared memory for `key`, which is made at the first call in a launch.
[[nodiscard]] void* dynamic_shared_memory();
[[nodiscard]] void* static_shared_memory(const void* key, std::size_t bytes, std::size_t alignment);

// `p` must be a multiple of `bytes`, and lie in the block's shared memory. `what` names the access.
void check_aligned(const void* p, std::size_t bytes, const char* what);
void check_shared(const void* p, std::size_t bytes, std::size_t alignment, const char* what);

// cp.async: copies are done when their group is waited for, no earlier, so that a kernel which forgets to wait reads what was
// there before. Where `wanted` is false nothing is read and zeros are written.
void start_copy(void* shared, const void* global, std::size_t bytes, bool wanted);
void close_copy_group();
// Until all but the newest `groups` groups of this thread are done.
void wait_for_copy_groups(int groups);

}  // namespace t2i::emulation
