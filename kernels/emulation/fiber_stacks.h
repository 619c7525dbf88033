// Stacks for the threads of a block, kept from block to block, each with a page below it that may not be touched.
#pragma once

#include <sys/mman.h>

#include <boost/context/stack_context.hpp>
#include <cstddef>
#include <new>
#include <vector>

namespace t2i::emulation {

class FiberStacks {
  public:
    FiberStacks() = default;
    FiberStacks(const FiberStacks&) = delete;
    FiberStacks& operator=(const FiberStacks&) = delete;
    ~FiberStacks() {
        for (void* memory : memory_) munmap(memory, guard_bytes + stack_bytes);
    }
    // The i-th stack. Throws std::bad_alloc
    [[nodiscard]] boost::context::stack_context at(std::size_t i) {
        while (memory_.size() <= i) {
            memory_.reserve(memory_.size() + 1);
            void* memory = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (memory == MAP_FAILED) throw std::bad_alloc();
            memory_.push_back(memory);
            if (mprotect(memory, guard_bytes, PROT_NONE) != 0) throw std::bad_alloc();
        }
        boost::context::stack_context context;
        context.size = stack_bytes;
        context.sp = static_cast<std::byte*>(memory_[i]) + guard_bytes + stack_bytes;
        return context;
    }

  private:
    // Frames under AddressSanitizer are several times as large as without; what is not touched costs nothing.
    static constexpr std::size_t guard_bytes = 4096, stack_bytes = 256 * 1024;
    std::vector<void*> memory_;
};

// Hands a stack of FiberStacks to Boost.Context.
struct BorrowedStack {
    boost::context::stack_context context;
    boost::context::stack_context allocate() { return context; }
    void deallocate(boost::context::stack_context&) {}
};

}  // namespace t2i::emulation
