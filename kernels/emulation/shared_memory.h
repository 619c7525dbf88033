// A block's shared memory: the dynamic part, then each static variable, all apart from each other by bytes that nobody may touch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

namespace t2i::emulation {

class SharedMemory {
  public:
    SharedMemory();
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory();

    // For a launch with that much dynamic memory: forgets static variables.
    void begin_launch(std::size_t dynamic_bytes, std::uint8_t fill);
    // Everything is uninitialised again.
    void begin_block();
    [[nodiscard]] bool is_intact() const;  // nobody wrote between the parts

    [[nodiscard]] void* dynamic_part() const { return at(dynamic_); }
    // Null: it does not fit.
    [[nodiscard]] void* static_part(const void* key, std::size_t bytes, std::size_t alignment);
    // Whether the bytes lie inside one part.
    [[nodiscard]] bool holds(const void* p, std::size_t bytes) const;

  private:
    struct Part {
        std::size_t begin = 0, bytes = 0;
    };
    [[nodiscard]] void* at(const Part& part) const { return memory_ + part.begin; }
    [[nodiscard]] bool is_inside(const Part& part, const void* p, std::size_t bytes) const;
    template <typename Visit>
    void each_part(Visit visit) const;
    template <typename Visit>
    void each_gap(Visit visit) const;  // in order of address

    std::byte* memory_;
    Part dynamic_;
    std::map<const void*, Part> statics_;
    std::size_t end_ = 0, static_bytes_ = 0;
    std::uint8_t fill_ = 0xFF;
};

}  // namespace t2i::emulation
