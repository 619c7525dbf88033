// Which of many texts another text begins with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

// Texts with an id each, sorted: a byte narrows the range of those that are still possible. Constant once built, so from any
// thread. No more memory than the texts and 40 bytes each.
class PrefixIndex {
  public:
    struct Entry {
        std::string text;
        std::int32_t id;
    };
    // Of equal texts the last one counts; empty ones are left out.
    explicit PrefixIndex(std::vector<Entry> entries = {});

    // The id of exactly this text; -1 when it is none.
    [[nodiscard]] std::int32_t find(std::string_view text) const;

    // Calls visit(length, id) for every text that `text` begins with, the shortest first.
    template <typename Visit>
    void prefixes(std::string_view text, Visit&& visit) const {
        std::size_t low = 0, high = entries_.size();
        for (std::size_t length = 0; length < text.size() && low < high; ++length) {
            narrow(static_cast<unsigned char>(text[length]), length, low, high);
            if (low < high && entries_[low].text.size() == length + 1) visit(length + 1, entries_[low].id);
        }
    }

  private:
    // Of entries [low, high), which share their first `at` bytes, those that go on with `byte`.
    void narrow(unsigned char byte, std::size_t at, std::size_t& low, std::size_t& high) const;
    std::vector<Entry> entries_;
};

}  // namespace t2i
