// Threads for the CPU backend: a loop over parts that are cut by shape alone, and scratch memory for each
// thread.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "core/tensor.h"

namespace t2i::cpu {

class Workers {
  public:
    explicit Workers(int threads) : threads_(threads > 0 ? threads : omp_get_num_procs()) {}
    [[nodiscard]] int threads() const { return threads_; }

    // Makes sure that each thread has `bytes` of scratch, so that parts need not allocate.
    void reserve(std::size_t bytes) {
        constexpr std::size_t line = 64;
        const std::size_t each = (bytes + line - 1) / line * line;
        if (each <= each_) return;
        scratch_ = Buffer();  // freed before the larger one is made
        scratch_ = Buffer::host(each * static_cast<std::size_t>(threads_));
        each_ = each;
    }

    // Calls part(i, scratch) once for every i in [0, parts), on whichever thread is free. Parts must not
    // throw and must write apart from each other; then nothing depends on the number of threads.
    template <typename Part>
    void run(std::int64_t parts, Part part) {
        const int team = static_cast<int>(std::min<std::int64_t>(threads_, parts));
        if (team <= 1) {
            for (std::int64_t i = 0; i < parts; ++i) part(i, scratch_.data());
            return;
        }
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
        for (std::int64_t i = 0; i < parts; ++i)
            part(i, static_cast<std::byte*>(scratch_.data()) +
                        each_ * static_cast<std::size_t>(omp_get_thread_num()));
    }

    // Calls part(begin, count) over [0, total) in runs of `step` (the last may be shorter).
    template <typename Part>
    void run_ranges(std::int64_t total, std::int64_t step, Part part) {
        run((total + step - 1) / step,
            [&](std::int64_t i, void*) { part(i * step, std::min(step, total - i * step)); });
    }

  private:
    int threads_;
    Buffer scratch_;
    std::size_t each_ = 0;
};

}  // namespace t2i::cpu
