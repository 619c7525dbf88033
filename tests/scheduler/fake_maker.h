// A maker of batches whose every step and failure a test decides.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <vector>

#include "core/check.h"
#include "core/out_of_memory.h"
#include "pipeline/scheduler.h"

namespace t2i::test {

// A picture's bytes are those of its seed.
inline std::vector<std::uint8_t> bytes_of_seed(std::uint64_t seed) {
    std::vector<std::uint8_t> bytes;
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(seed >> (8 * i)));
    return bytes;
}

class FakeMaker final : public BatchMaker {
  public:
    // Set before the first job.
    bool has_queue = false;            // pictures come during the next batch, or by flush()
    std::size_t fits = SIZE_MAX;       // pictures of a batch; more are out of memory
    bool is_full_of_caches = false;    // nothing fits until they are dropped
    std::set<std::uint64_t> heavy;     // seeds that fit alone only
    std::set<std::uint64_t> bad;       // seeds that end as NaN
    std::set<std::uint64_t> breaking;  // seeds that break the device

    // Steps wait for permits from now on.
    void hold() {
        const std::lock_guard lock(mutex_);
        held_ = true;
    }
    void permit(int steps) {
        const std::lock_guard lock(mutex_);
        permits_ += steps;
        changed_.notify_all();
    }
    void release() {
        const std::lock_guard lock(mutex_);
        held_ = false;
        changed_.notify_all();
    }
    // Waits until so many batches have begun.
    void wait_for_batches(std::size_t n) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return batches_.size() >= n; });
    }
    // Seeds of the batches so far.
    [[nodiscard]] std::vector<std::vector<std::uint64_t>> batches() const {
        const std::lock_guard lock(mutex_);
        return batches_;
    }
    [[nodiscard]] int steps() const {
        const std::lock_guard lock(mutex_);
        return steps_;
    }

    void make(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) override {
        std::vector<std::uint64_t> seeds;
        for (const auto& job : jobs) seeds.push_back(job.seed);
        {
            const std::lock_guard lock(mutex_);
            batches_.push_back(seeds);
            changed_.notify_all();
        }
        const auto is_heavy = [&](std::uint64_t seed) { return seeds.size() > 1 && heavy.contains(seed); };
        if (seeds.size() > fits || is_full_of_caches || std::ranges::any_of(seeds, is_heavy))
            throw OutOfMemory("no memory for " + std::to_string(seeds.size()));
        times_.text_ms += 1;
        for (std::size_t i = 0; i < static_cast<std::size_t>(settings.steps); ++i) {
            step();
            times_.denoise_ms += 1;
            if (i == 0) flush();
            for (const auto seed : seeds)
                if (breaking.contains(seed)) throw Error(ErrorCode::resource, "the device is lost");
            if (!has_queue) check(seeds);
            if (callbacks.progress && !callbacks.progress(static_cast<int>(i) + 1))
                throw Error(ErrorCode::cancelled, "interrupted");
        }
        pending_ = {seeds, callbacks.picture};
        if (!has_queue) flush();
    }
    void flush() override {
        const auto made = std::exchange(pending_, {});
        if (made.seeds.empty()) return;
        times_.decode_ms += 1;
        check(made.seeds);
        for (std::size_t i = 0; i < made.seeds.size(); ++i) made.hand_out(i, {bytes_of_seed(made.seeds[i])});
    }
    void drop_caches() override {
        T2I_CHECK(pending_.seeds.empty(), "caches are dropped with pictures in the queue");
        is_full_of_caches = false;
    }
    [[nodiscard]] StageTimes times() const override { return times_; }
    [[nodiscard]] std::size_t conditioning_rows(const PictureJob& job) const override { return job.prompt.size(); }

  private:
    struct Pending {
        std::vector<std::uint64_t> seeds;
        std::function<void(std::size_t, Picture)> hand_out;
    };
    void step() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !held_ || permits_ > 0; });
        if (held_) --permits_;
        ++steps_;
    }
    void check(const std::vector<std::uint64_t>& seeds) const {
        for (const auto seed : seeds)
            if (bad.contains(seed)) throw Error(ErrorCode::input, "NaN in picture " + std::to_string(seed));
    }

    Pending pending_;
    StageTimes times_;
    mutable std::mutex mutex_;  // of what follows
    std::condition_variable changed_;
    std::vector<std::vector<std::uint64_t>> batches_;
    bool held_ = false;
    int permits_ = 0, steps_ = 0;
};

inline std::shared_ptr<const ResolvedRequest> settings_of(int side = 64, int steps = 3, double cfg_scale = 1) {
    auto r = std::make_shared<ResolvedRequest>();
    r->width = r->height = r->drawn_width = r->drawn_height = side;
    r->cfg_scale = cfg_scale;
    r->guided = cfg_scale > 1;
    r->steps = steps;
    r->batch_key = std::to_string(side) + " " + std::to_string(steps) + " " + std::to_string(cfg_scale);
    return r;
}

inline Job job_of(std::vector<std::uint64_t> seeds, std::shared_ptr<const ResolvedRequest> settings = settings_of()) {
    Job job;
    job.settings = std::move(settings);
    job.prompt = {1, 2, 3};
    job.seeds = std::move(seeds);
    return job;
}

// What the callbacks of a job saw.
struct Seen {
    std::mutex mutex;
    std::vector<std::size_t> pictures;  // indices, in order
    std::vector<JobEnd> ends;
    int steps = 0;

    void watch(Job& job) {
        job.picture = [this, seeds = job.seeds](const JobPicture& made) {
            const std::lock_guard lock(mutex);
            if (made.picture.rgb != bytes_of_seed(seeds.at(made.index))) throw std::logic_error("another seed's picture");
            pictures.push_back(made.index);
        };
        job.progress = [this](const JobProgress&) {
            const std::lock_guard lock(mutex);
            ++steps;
        };
        job.finished = [this](const JobEnd& end) {
            const std::lock_guard lock(mutex);
            ends.push_back(end);
        };
    }
};

inline std::string message_of(const std::exception_ptr& error) {
    if (!error) return {};
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        return e.what();
    }
}

}  // namespace t2i::test
