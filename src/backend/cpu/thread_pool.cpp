#include "backend/cpu/thread_pool.h"

#include <algorithm>

#include "core/threads.h"

namespace t2i::cpu {
namespace {

// Lets the other hyper-thread run, where there is an instruction for it.
void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Returns once `value` differs from `old`. The next loop usually follows within microseconds, less than sleeping and
// waking cost; after some 20 of them the core is better left to somebody else.
template <typename T>
void wait_while(const std::atomic<T>& value, T old) {
    constexpr int spins = 1000;
    for (int i = 0; i < spins; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        relax();
    }
    while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(threads) {
    try {
        for (int thread = 1; thread < threads_; ++thread) {
            helpers_.push_back(std::make_unique<Helper>());
            Helper& helper = *helpers_.back();
            helper.thread = start_thread([this, &helper, thread] { help(helper, thread); });
        }
    } catch (const Error& error) {
        const std::size_t had = helpers_.size();  // the caller, and one less than these
        end();
        throw Error(error.code(), error.message() + " (" + std::to_string(had) + " of " + std::to_string(threads_) + " run)",
                    Field{"threads"});
    } catch (...) {
        end();
        throw;
    }
}

ThreadPool::~ThreadPool() {
    end();
}

void ThreadPool::end() {
    body_ = nullptr;
    for (auto& helper : helpers_) {
        helper->calls.fetch_add(1, std::memory_order_release);
        helper->calls.notify_one();
    }
    for (auto& helper : helpers_)
        if (helper->thread.joinable()) helper->thread.join();
}

void ThreadPool::help(Helper& helper, int thread) {
    for (std::uint32_t seen = 0;; ++seen) {
        wait_while(helper.calls, seen);
        if (!body_) return;
        work(thread);
        if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
}

void ThreadPool::work(int thread) {
    for (;;) {
        const std::int64_t part = next_.fetch_add(1, std::memory_order_relaxed);
        if (part >= parts_) return;
        body_(context_, part, thread);
    }
}

void ThreadPool::run(std::int64_t parts, Body body, void* context) {
    if (parts <= 0) return;
    const auto team = static_cast<std::int32_t>(std::min<std::int64_t>(threads_, parts));
    body_ = body;
    context_ = context;
    parts_ = parts;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(team - 1, std::memory_order_relaxed);
    for (std::int32_t i = 0; i < team - 1; ++i) {
        helpers_[static_cast<std::size_t>(i)]->calls.fetch_add(1, std::memory_order_release);
        helpers_[static_cast<std::size_t>(i)]->calls.notify_one();
    }
    work(0);
    for (std::int32_t left = busy_.load(std::memory_order_acquire); left != 0; left = busy_.load(std::memory_order_acquire))
        wait_while(busy_, left);
}

}  // namespace t2i::cpu
