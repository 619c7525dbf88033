// Every part of every loop is run once, whatever the threads, the parts and the pauses between loops.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "backend/cpu/thread_pool.h"
#include "support/catch.h"

namespace t2i::test {

TEST_CASE("thread pool: each part once, on a thread of the team, before run() returns") {
    for (const int threads : {1, 2, 3, 8}) {
        cpu::ThreadPool pool(threads);
        for (int loop = 0; loop < 2000; ++loop) {
            const std::int64_t parts = loop % 17;
            struct Seen {
                std::vector<int> times;  // not atomic: parts write apart from each other
                std::atomic<int> strangers{0};
                int threads;
            } seen{std::vector<int>(static_cast<std::size_t>(parts)), {}, threads};
            pool.run(
                parts,
                [](void* context, std::int64_t part, int thread) {
                    auto& s = *static_cast<Seen*>(context);
                    ++s.times[static_cast<std::size_t>(part)];
                    if (thread < 0 || thread >= s.threads) ++s.strangers;
                },
                &seen);
            REQUIRE(seen.times == std::vector<int>(static_cast<std::size_t>(parts), 1));
            REQUIRE(seen.strangers == 0);
            // Long enough, now and then, for the helpers to fall asleep.
            if (loop % 500 == 499) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    }
}

TEST_CASE("thread pool: one that never ran, and many one after the other, end cleanly") {
    {
        const cpu::ThreadPool idle(4);
    }
    for (int i = 0; i < 50; ++i) {
        cpu::ThreadPool pool(3);
        std::atomic<int> sum{0};
        pool.run(
            10, [](void* context, std::int64_t part, int) { *static_cast<std::atomic<int>*>(context) += static_cast<int>(part); },
            &sum);
        CHECK(sum == 45);
    }
}

}  // namespace t2i::test
