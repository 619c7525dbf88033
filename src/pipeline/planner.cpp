#include "pipeline/planner.h"

#include <algorithm>
#include <tuple>

#include "core/check.h"

namespace t2i {

namespace {

// So many batches may go before a bucket that does not fill one.
constexpr int most_passed_over = 32;

}  // namespace

void Planner::add(std::uint64_t job, const std::string& bucket, const Load& load, int priority, std::size_t pictures) {
    T2I_CHECK(pictures > 0 && !holds(job), "a job waits once, with pictures");
    const auto at = buckets_.try_emplace(bucket).first;
    at->second.load = load;
    at->second.jobs.insert({{priority, job}, {0, pictures}});
    at->second.pictures += pictures;
    places_.insert({job, {at, {priority, job}}});
}

std::size_t Planner::remove(std::uint64_t job) {
    const auto known = places_.find(job);
    if (known == places_.end()) return 0;
    const auto [at, place] = known->second;
    const auto waiting = at->second.jobs.find(place);
    const std::size_t count = waiting->second.count;
    at->second.jobs.erase(waiting);
    at->second.pictures -= count;
    if (at->second.jobs.empty()) buckets_.erase(at);
    places_.erase(known);
    return count;
}

bool Planner::is_full(const Bucket& bucket, const BatchSize& size) {
    return bucket.pictures >= static_cast<std::size_t>(size(bucket.load));
}

bool Planner::has_full_batch(const BatchSize& size) const {
    return std::ranges::any_of(buckets_, [&](const auto& b) { return is_full(b.second, size); });
}

std::vector<Planner::Part> Planner::take(const BatchSize& size) {
    if (buckets_.empty()) return {};
    const auto rank = [&](const Bucket& b) {
        const Place& first = b.jobs.begin()->first;
        return std::tuple(-first.priority, !(is_full(b, size) || b.passed_over >= most_passed_over), first.job);
    };
    const auto chosen = std::ranges::min_element(buckets_, {}, [&](const auto& b) { return rank(b.second); });
    for (auto& [key, bucket] : buckets_) ++bucket.passed_over;
    Bucket& bucket = chosen->second;
    bucket.passed_over = 0;

    std::vector<Part> parts;
    std::size_t room = static_cast<std::size_t>(size(bucket.load));
    while (room > 0 && !bucket.jobs.empty()) {
        const auto next = bucket.jobs.begin();
        auto& [first, count] = next->second;
        const std::size_t taken = std::min(room, count);
        parts.push_back({next->first.job, first, taken});
        first += taken;
        count -= taken;
        room -= taken;
        bucket.pictures -= taken;
        if (count > 0) break;
        places_.erase(next->first.job);
        bucket.jobs.erase(next);
    }
    if (bucket.jobs.empty()) buckets_.erase(chosen);
    return parts;
}

}  // namespace t2i
