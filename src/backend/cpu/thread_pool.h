// A few threads that share loops of short parts.
//
// Not OpenMP: its threads spin at barriers for as long as they please, so that one busy neighbour makes a picture forty
// times slower (measured: 12 s instead of 0.3). These spin for microseconds, then sleep. ThreadSanitizer sees them, too.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace t2i::cpu {

class ThreadPool {
  public:
    // `threads` counts the caller. The others start here, not at the first loop, which may be one that nobody expects to fail.
    // Throws Error{resource} when the system has not so many.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;
    [[nodiscard]] int threads() const { return threads_; }

    // part: 0 … parts - 1, each once; thread: 0 … threads() - 1, the caller is 0.
    using Body = void (*)(void* context, std::int64_t part, int thread);
    // Returns when all parts are done. Bodies must not throw, nor call run(). One caller at a time.
    void run(std::int64_t parts, Body body, void* context);

  private:
    static constexpr std::size_t cache_line = 64;
    struct alignas(cache_line) Helper {
        std::atomic<std::uint32_t> calls{0};  // counted up to call it; a call without a body ends it
        std::thread thread;
    };
    void end();
    void help(Helper& helper, int thread);
    void work(int thread);

    int threads_;
    std::vector<std::unique_ptr<Helper>> helpers_;
    // The present loop: written by run() before it calls the helpers.
    Body body_ = nullptr;
    void* context_ = nullptr;
    std::int64_t parts_ = 0;
    alignas(cache_line) std::atomic<std::int64_t> next_{0};
    alignas(cache_line) std::atomic<std::int32_t> busy_{0};  // helpers still at work
};

}  // namespace t2i::cpu
