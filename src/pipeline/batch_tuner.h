// How many pictures are made in one batch.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>

namespace t2i {

// Pictures of the same size and guidance: what the choice of a batch size goes by.
struct Load {
    int width = 0, height = 0;  // pixels
    bool guided = false;
    auto operator<=>(const Load&) const = default;
};

// Chooses the batch size by measuring the real work: doubles while that makes it faster. Not for several threads at once.
class BatchTuner {
  public:
    // fixed above 0: always that many, while they fit into memory. most: never more by choice.
    BatchTuner(int fixed, int most) : fixed_(fixed), most_(std::max(fixed, most)) {}
    [[nodiscard]] int batch_size(const Load& load) const;
    // A batch of that many took so long.
    void measured(const Load& load, int pictures, double seconds);
    // That many do not fit into memory, for this load and larger ones.
    void too_many(const Load& load, int pictures);

  private:
    struct Trial {
        int size = 1, runs = 0;  // being tried
        double seconds = 0;      // a picture, at that size: the best of its runs
        int best_size = 1;
        double best_seconds = 0;
        bool settled = false;
    };
    [[nodiscard]] int limit(const Load& load) const;

    int fixed_, most_;
    std::map<Load, Trial> trials_;
    std::int64_t most_pixels_ = -1;
};

}  // namespace t2i
