#include "pipeline/batch_tuner.h"

#include <algorithm>

namespace t2i {

namespace {

// A larger batch has to be this much faster to be worth its memory.
constexpr double worthwhile = 1.03;
// The first run at a size may still record or plan it.
constexpr int runs_per_size = 2;

std::int64_t pixels_of(const Load& load) {
    return std::int64_t{load.width} * load.height * (load.guided ? 2 : 1);
}

}  // namespace

int BatchTuner::limit(const Load& load) const {
    if (most_pixels_ < 0) return most_;
    return static_cast<int>(std::clamp<std::int64_t>(most_pixels_ / pixels_of(load), 1, most_));
}

int BatchTuner::batch_size(const Load& load) const {
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
    const std::int64_t fits = pixels_of(load) * std::max(pictures / 2, 1);
    most_pixels_ = most_pixels_ < 0 ? fits : std::min(most_pixels_, fits);
    trials_[load].settled = true;
}

}  // namespace t2i
