// Sorts pictures that wait into batches that the engine makes together.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "batch/prepare.h"

namespace t2i::batch {

// Pictures of one batch share settings (plan, guidance, size) and rows of text. That the rows are a picture's own, never those
// of its neighbours, keeps its bytes independent of them on every backend.
class Planner {
  public:
    // Waits with at most `pictures`, and fewer when their texts weigh more than `bytes`.
    Planner(std::size_t pictures, std::size_t bytes) : most_pictures_(pictures), most_bytes_(bytes) {}

    void add(Picture picture);
    [[nodiscard]] bool is_full() const { return pictures_ >= most_pictures_ || bytes_ >= most_bytes_; }
    [[nodiscard]] bool is_empty() const { return pictures_ == 0; }

    // together: how many pictures of such settings the engine makes at a time.
    [[nodiscard]] bool has_full_batch(const std::function<int(const Settings&)>& together) const;
    // A batch: of the kinds with enough for a full one the oldest, else the kind of the oldest picture. Empty when none waits.
    [[nodiscard]] std::vector<Picture> take(const std::function<int(const Settings&)>& together);

  private:
    using Kind = std::pair<const Settings*, std::size_t>;
    struct Waiting {
        std::uint64_t order;
        Picture picture;
    };
    using Bucket = std::map<Kind, std::deque<Waiting>>::iterator;

    std::map<Kind, std::deque<Waiting>> buckets_;
    std::size_t most_pictures_, most_bytes_, pictures_ = 0, bytes_ = 0;
    std::uint64_t order_ = 0;
};

// Pictures of the same size and guidance: what the choice of a batch size goes by.
struct Load {
    int width = 0, height = 0;
    bool guided = false;
    auto operator<=>(const Load&) const = default;
};
[[nodiscard]] Load load_of(const Settings& settings);

// Chooses how many pictures are made at a time, by measuring the real work: doubles while that makes it faster.
class BatchTuner {
  public:
    // fixed above 0: always that many.
    BatchTuner(int fixed, int most) : fixed_(fixed), most_(most) {}
    [[nodiscard]] int together(const Load& load) const;
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

}  // namespace t2i::batch
