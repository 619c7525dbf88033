// What is known of a million ids in 16 bytes each: their hashes, not their texts.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace t2i::batch {

struct IdEntry {
    std::uint64_t key = 0;           // hash64 of the id; 0: an empty slot
    std::uint64_t seen : 1 = 0;      // stands in the prompt file
    std::uint64_t recorded : 1 = 0;  // has a record in a journal
    std::uint64_t failed : 1 = 0;    // which says that it could not be made
    std::uint64_t journal : 13 = 0;  // which of the journals holds the record, and where it begins in it
    std::uint64_t offset : 48 = 0;
};

// Open addressing in 64 parts that grow one at a time, so that growing never needs the whole table twice.
class IdTable {
  public:
    // The entry of a key (not 0), made when there is none. Valid until the next call.
    IdEntry& at(std::uint64_t key) {
        Part& part = parts_[key >> 58U];
        if ((part.used + 1) * 4 > part.slots.size() * 3) grow(part);
        IdEntry& slot = part.slots[find(part.slots, key)];
        if (slot.key == 0) {
            slot.key = key;
            ++part.used;
        }
        return slot;
    }
    [[nodiscard]] const IdEntry* look_up(std::uint64_t key) const {
        const Part& part = parts_[key >> 58U];
        if (part.slots.empty()) return nullptr;
        const IdEntry& slot = part.slots[find(part.slots, key)];
        return slot.key == 0 ? nullptr : &slot;
    }
    [[nodiscard]] std::size_t size() const {
        std::size_t n = 0;
        for (const Part& part : parts_) n += part.used;
        return n;
    }
    template <typename Action>
    void for_each(Action&& action) const {
        for (const Part& part : parts_)
            for (const IdEntry& slot : part.slots)
                if (slot.key != 0) action(slot);
    }

  private:
    struct Part {
        std::vector<IdEntry> slots;  // a power of two
        std::size_t used = 0;
    };
    static std::size_t find(const std::vector<IdEntry>& slots, std::uint64_t key) {
        std::size_t i = key & (slots.size() - 1);
        while (slots[i].key != 0 && slots[i].key != key) i = (i + 1) & (slots.size() - 1);
        return i;
    }
    static void grow(Part& part) {
        std::vector<IdEntry> larger(part.slots.empty() ? 16 : part.slots.size() * 2);
        for (const IdEntry& slot : part.slots)
            if (slot.key != 0) larger[find(larger, slot.key)] = slot;
        part.slots.swap(larger);
    }

    std::array<Part, 64> parts_;
};

}  // namespace t2i::batch
