// Runs kernels on the host, one block at a time, its threads as fibers that change only where threads wait for each other.
// What a GPU would leave to chance is a setting (the order of threads and blocks, what uninitialised memory holds); what
// it would leave unnoticed is a Fault.
//
// For one thread of the host at a time; each has settings of its own.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace t2i::emulation {

// A kernel did what no kernel may: the message says which, in which block, and what.
class Fault : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// The limits of compute capability 9.0 (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
constexpr std::size_t most_shared_bytes = 227 * 1024, most_static_shared_bytes = 48 * 1024;
constexpr unsigned most_threads = 1024;

enum class Order : std::uint8_t { forward, reverse, shuffled };
struct Settings {
    Order order = Order::forward;  // of the threads of a block, and of blocks
    std::uint64_t seed = 1;        // shuffled
    std::uint8_t fill = 0xFF;      // every byte of uninitialised shared memory; 0xFF…: NaN
};
void use(const Settings& settings);

struct Launch {
    const void* kernel = nullptr;  // to tell kernels apart
    const char* launcher = "";     // to name them
    dim3 grid, block;
    std::size_t dynamic_bytes = 0;  // of shared memory
    std::function<void()> thread;   // what one thread does
};
// Runs all of it. Throws Fault, and what `thread` throws.
void run(const Launch& launch);

struct Counts {
    std::size_t kernels = 0;  // distinct, template instances counted each
    std::size_t launches = 0, blocks = 0;
};
// Since the program began.
[[nodiscard]] Counts counts();

// Memory of the emulated GPU, aligned to 256 bytes, filled with `fill`. What lies around it is watched: a kernel that wrote
// there is a Fault after its launch, and AddressSanitizer, where it is on, stops any access.  Throws std::bad_alloc
[[nodiscard]] void* allocate(std::size_t bytes, std::uint8_t fill = 0xFF);
void release(void* memory);

}  // namespace t2i::emulation
