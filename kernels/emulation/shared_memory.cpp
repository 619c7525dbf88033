#include "kernels/emulation/shared_memory.h"

#include <algorithm>
#include <new>
#include <vector>

#include "kernels/emulation/emulator.h"
#include "kernels/emulation/memory.h"

namespace t2i::emulation {
namespace {

constexpr std::size_t alignment = 128, gap_bytes = 128;
constexpr std::uint16_t gap_pattern = redzone_pattern(64);
// Parts, and a gap after each; more static variables than these gaps allow do not fit.
constexpr std::size_t capacity = most_shared_bytes + 64 * 2 * gap_bytes;

}  // namespace

SharedMemory::SharedMemory() : memory_(static_cast<std::byte*>(::operator new(capacity, std::align_val_t{alignment}))) {}

SharedMemory::~SharedMemory() {
    permit(memory_, capacity);
    ::operator delete(memory_, std::align_val_t{alignment});
}

void SharedMemory::begin_launch(std::size_t dynamic_bytes, std::uint8_t fill) {
    permit(memory_, capacity);
    statics_.clear();
    static_bytes_ = 0;
    fill_ = fill;
    dynamic_ = {gap_bytes, dynamic_bytes};
    end_ = dynamic_.begin + dynamic_bytes;
    paint(memory_, gap_bytes, gap_pattern);
    paint(memory_ + end_, gap_bytes, gap_pattern);
    forbid(memory_, capacity);
    permit(at(dynamic_), dynamic_bytes);
}

template <typename Visit>
void SharedMemory::each_part(Visit visit) const {
    visit(dynamic_);
    for (const auto& [key, part] : statics_) visit(part);
}

void SharedMemory::begin_block() {
    each_part([&](const Part& part) { paint(at(part), part.bytes, fill_pattern(fill_)); });
}

template <typename Visit>
void SharedMemory::each_gap(Visit visit) const {
    std::vector<Part> parts;
    each_part([&](const Part& part) { parts.push_back(part); });
    std::ranges::sort(parts, {}, &Part::begin);
    std::size_t from = 0;
    for (const Part& part : parts) {
        visit(memory_ + from, part.begin - from);
        from = part.begin + part.bytes;
    }
    visit(memory_ + from, gap_bytes);
}

bool SharedMemory::is_intact() const {
    bool intact = true;
    each_gap([&](const std::byte* gap, std::size_t bytes) { intact = intact && is_painted(gap, bytes, gap_pattern); });
    return intact;
}

void* SharedMemory::static_part(const void* key, std::size_t bytes, std::size_t align) {
    if (const auto found = statics_.find(key); found != statics_.end()) return at(found->second);
    static_bytes_ += bytes;
    const std::size_t step = std::max(align, alignment), begin = (end_ + gap_bytes + step - 1) / step * step;
    if (static_bytes_ > most_static_shared_bytes || dynamic_.bytes + static_bytes_ > most_shared_bytes ||
        begin + bytes + gap_bytes > capacity)
        return nullptr;
    const Part part{begin, bytes};
    paint(memory_ + end_, begin - end_, gap_pattern);
    end_ = begin + bytes;
    permit(at(part), bytes);
    paint(at(part), bytes, fill_pattern(fill_));
    paint(memory_ + end_, gap_bytes, gap_pattern);
    return at(statics_.emplace(key, part).first->second);
}

bool SharedMemory::is_inside(const Part& part, const void* p, std::size_t bytes) const {
    const auto address = reinterpret_cast<std::uintptr_t>(p), begin = reinterpret_cast<std::uintptr_t>(at(part));
    return address >= begin && address - begin <= part.bytes && bytes <= part.bytes - (address - begin);
}

bool SharedMemory::holds(const void* p, std::size_t bytes) const {
    bool found = false;
    each_part([&](const Part& part) { found = found || is_inside(part, p, bytes); });
    return found;
}

}  // namespace t2i::emulation
