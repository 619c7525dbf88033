// Threads for the CPU backend: a loop over parts that are cut by shape alone, and scratch memory for each
// thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>

#include "backend/cpu/thread_pool.h"
#include "core/tensor.h"

namespace t2i::cpu {

class Workers {
  public:
    explicit Workers(int threads)
        : pool_(threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))) {}
    [[nodiscard]] int threads() const { return pool_.threads(); }

    // Makes sure that each thread has `bytes` of scratch, so that parts need not allocate.
    void reserve(std::size_t bytes) {
        constexpr std::size_t line = 64;
        const std::size_t each = (bytes + line - 1) / line * line;
        if (each <= each_) return;
        scratch_ = Buffer();  // freed before the larger one is made
        scratch_ = Buffer::host(each * static_cast<std::size_t>(threads()));
        each_ = each;
    }

    // Calls part(i, scratch) once for every i in [0, parts), on whichever thread is free. Parts must not
    // throw and must write apart from each other; then nothing depends on the number of threads.
    template <typename Part>
    void run(std::int64_t parts, Part part) {
        struct Loop {
            Part& part;
            std::byte* scratch;
            std::size_t each;
        } loop{part, static_cast<std::byte*>(scratch_.data()), each_};
        pool_.run(
            parts,
            [](void* context, std::int64_t i, int thread) {
                const Loop& l = *static_cast<const Loop*>(context);
                l.part(i, static_cast<void*>(l.scratch + l.each * static_cast<std::size_t>(thread)));
            },
            &loop);
    }

    // Calls part(begin, count) over [0, total) in runs of `step` (the last may be shorter).
    template <typename Part>
    void run_ranges(std::int64_t total, std::int64_t step, Part part) {
        run((total + step - 1) / step, [&](std::int64_t i, void*) { part(i * step, std::min(step, total - i * step)); });
    }

  private:
    ThreadPool pool_;
    Buffer scratch_;
    std::size_t each_ = 0;
};

}  // namespace t2i::cpu
