// Sorts pictures that wait into batches.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipeline/batch_tuner.h"

namespace t2i {

// Jobs wait in buckets: a batch takes its pictures from one of them. What a bucket holds can be made in one batch, and that its
// pictures share their number of conditioning rows keeps each one's bytes independent of the others on every backend.
// Not for several threads at once.
class Planner {
  public:
    // Pictures [first, first + count) of a job.
    struct Part {
        std::uint64_t job;
        std::size_t first, count;
    };
    // Pictures of one batch, for such a load.
    using BatchSize = std::function<int(const Load&)>;

    // job: a number that nobody waits with, larger for a later arrival. pictures: at least one.
    void add(std::uint64_t job, const std::string& bucket, const Load& load, int priority, std::size_t pictures);
    // Forgets what still waits of the job: so many pictures.
    std::size_t remove(std::uint64_t job);

    [[nodiscard]] bool is_empty() const { return places_.empty(); }
    [[nodiscard]] std::size_t jobs() const { return places_.size(); }
    [[nodiscard]] bool holds(std::uint64_t job) const { return places_.contains(job); }
    [[nodiscard]] bool has_full_batch(const BatchSize& size) const;
    // A batch: from the bucket with the highest priority, of those one that fills a batch or was passed over for long, of those
    // the one with the oldest job; within it by priority and arrival. Empty when nothing waits.
    [[nodiscard]] std::vector<Part> take(const BatchSize& size);

  private:
    struct Place {
        int priority;
        std::uint64_t job;
        bool operator<(const Place& other) const {
            return priority != other.priority ? priority > other.priority : job < other.job;
        }
    };
    struct Waiting {
        std::size_t first, count;
    };
    struct Bucket {
        Load load;
        std::map<Place, Waiting> jobs;
        std::size_t pictures = 0;
        int passed_over = 0;  // batches taken from others since something was taken from here
    };
    using Buckets = std::map<std::string, Bucket>;
    [[nodiscard]] static bool is_full(const Bucket& bucket, const BatchSize& size);

    Buckets buckets_;
    std::unordered_map<std::uint64_t, std::pair<Buckets::iterator, Place>> places_;
};

}  // namespace t2i
