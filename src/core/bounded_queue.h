// A queue between two stages: full, it makes the stage before it wait; empty, the one after it. Safe from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace t2i {

template <typename Item>
class BoundedQueue {
  public:
    // Holds at most `items`, and no further one once they weigh `bytes`.
    BoundedQueue(std::size_t items, std::size_t bytes) : most_items_(items), most_bytes_(bytes) {}

    // Waits for room. False: the queue was abandoned and the item is dropped.
    bool push(Item item, std::size_t bytes) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock,
                      [&] { return abandoned_ || (items_.size() < most_items_ && bytes_ < most_bytes_) || items_.empty(); });
        if (abandoned_) return false;
        items_.emplace_back(std::move(item), bytes);
        bytes_ += bytes;
        changed_.notify_all();
        return true;
    }
    // Nothing more will come.
    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }
    // Nobody will take more: what waits is dropped, and so is what is pushed later.
    void abandon() {
        const std::lock_guard lock(mutex_);
        abandoned_ = closed_ = true;
        items_.clear();
        bytes_ = 0;
        changed_.notify_all();
    }

    // Waits for an item. Nothing: the queue is closed and empty.
    std::optional<Item> pop() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !items_.empty() || closed_; });
        return take();
    }
    // Everything that is there, at most `most`; waits for the first until `timeout` has passed.
    std::vector<Item> pop_all(std::chrono::milliseconds timeout, std::size_t most) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, timeout, [&] { return !items_.empty() || closed_; });
        std::vector<Item> taken;
        while (!items_.empty() && taken.size() < most) taken.push_back(*take());
        return taken;
    }
    [[nodiscard]] bool ended() const {
        const std::lock_guard lock(mutex_);
        return closed_ && items_.empty();
    }
    [[nodiscard]] std::size_t size() const {
        const std::lock_guard lock(mutex_);
        return items_.size();
    }

  private:
    std::optional<Item> take() {
        if (items_.empty()) return std::nullopt;
        std::optional<Item> item(std::move(items_.front().first));
        bytes_ -= items_.front().second;
        items_.pop_front();
        changed_.notify_all();
        return item;
    }

    std::size_t most_items_, most_bytes_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::pair<Item, std::size_t>> items_;
    std::size_t bytes_ = 0;
    bool closed_ = false, abandoned_ = false;
};

}  // namespace t2i
