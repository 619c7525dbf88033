#include "batch/planner.h"

#include <algorithm>

namespace t2i::batch {

namespace {

// The engine pads texts to a multiple of this; within one step two lengths are one kind.
constexpr std::size_t text_step = 8;
// A larger batch has to be this much faster to be worth its memory.
constexpr double worthwhile = 1.03;
// The first run at a size may still record or plan it.
constexpr int runs_per_size = 2;

}  // namespace

void Planner::add(Picture picture) {
    ++pictures_;
    bytes_ += picture.bytes();
    const Kind kind{picture.settings.get(), (picture.tokens() + text_step - 1) / text_step};
    buckets_[kind].push_back({order_++, std::move(picture)});
}

bool Planner::has_full_batch(const std::function<int(const Settings&)>& together) const {
    return std::ranges::any_of(
        buckets_, [&](const auto& b) { return b.second.size() >= static_cast<std::size_t>(together(*b.first.first)); });
}

std::vector<Picture> Planner::take(const std::function<int(const Settings&)>& together) {
    if (buckets_.empty()) return {};
    Bucket chosen = buckets_.end();
    bool chosen_is_full = false;
    for (auto b = buckets_.begin(); b != buckets_.end(); ++b) {
        const bool full = b->second.size() >= static_cast<std::size_t>(together(*b->first.first));
        const bool older = chosen == buckets_.end() || b->second.front().order < chosen->second.front().order;
        if (chosen == buckets_.end() || full > chosen_is_full || (full == chosen_is_full && older)) {
            chosen = b;
            chosen_is_full = full;
        }
    }
    auto& waiting = chosen->second;
    std::vector<Picture> batch;
    const std::size_t size = std::min(waiting.size(), static_cast<std::size_t>(together(*chosen->first.first)));
    for (std::size_t i = 0; i < size; ++i) {
        bytes_ -= waiting.front().picture.bytes();
        batch.push_back(std::move(waiting.front().picture));
        waiting.pop_front();
    }
    pictures_ -= size;
    if (waiting.empty()) buckets_.erase(chosen);
    return batch;
}

Load load_of(const Settings& settings) {
    return {settings.resolved.width, settings.resolved.height, settings.resolved.guided};
}

int BatchTuner::limit(const Load& load) const {
    if (most_pixels_ < 0) return most_;
    const std::int64_t pixels = std::int64_t{load.width} * load.height * (load.guided ? 2 : 1);
    return static_cast<int>(std::clamp<std::int64_t>(most_pixels_ / pixels, 1, most_));
}

int BatchTuner::together(const Load& load) const {
    if (fixed_ > 0) return std::min(fixed_, std::max(limit(load), 1));
    const auto known = trials_.find(load);
    if (known == trials_.end()) return 1;
    return std::min(known->second.settled ? known->second.best_size : known->second.size, limit(load));
}

void BatchTuner::measured(const Load& load, int pictures, double seconds) {
    if (fixed_ > 0) return;
    Trial& trial = trials_[load];
    if (trial.settled || pictures != trial.size) return;  // the rest of a bucket says nothing about a full batch
    const double each = seconds / pictures;
    trial.seconds = trial.runs == 0 ? each : std::min(trial.seconds, each);
    if (++trial.runs < runs_per_size) return;
    const bool better = trial.best_seconds == 0 || trial.seconds * worthwhile < trial.best_seconds;
    if (better) {
        trial.best_size = trial.size;
        trial.best_seconds = trial.seconds;
    }
    trial.settled = !better || trial.size * 2 > limit(load);
    trial.size = trial.settled ? trial.best_size : trial.size * 2;
    trial.runs = 0;
}

void BatchTuner::too_many(const Load& load, int pictures) {
    const std::int64_t pixels = std::int64_t{load.width} * load.height * (load.guided ? 2 : 1);
    const std::int64_t fits = pixels * std::max(pictures / 2, 1);
    most_pixels_ = most_pixels_ < 0 ? fits : std::min(most_pixels_, fits);
    trials_[load].settled = true;
}

}  // namespace t2i::batch
