#include "kernels/emulation/memory.h"

#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "kernels/emulation/emulator.h"

namespace t2i::emulation {
namespace {

constexpr std::size_t alignment = 256, redzone_bytes = 256;

struct Allocation {
    std::size_t bytes;
    std::uint16_t pattern;  // of its redzones
};
struct Registry {
    std::mutex mutex;
    std::map<std::byte*, Allocation> allocations;  // by what may be used
    std::size_t next_id = 0;
};
Registry& registry() {
    static auto* const all = new Registry;  // never freed: memory may be given back during exit
    return *all;
}

std::size_t tail_bytes(std::size_t bytes) {
    return redzone_bytes + (alignment - bytes % alignment) % alignment;
}

}  // namespace

void* allocate(std::size_t bytes, std::uint8_t fill) {
    if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
    auto* whole = static_cast<std::byte*>(::operator new(redzone_bytes + bytes + tail_bytes(bytes), std::align_val_t{alignment}));
    std::byte* const memory = whole + redzone_bytes;
    std::memset(memory, fill, bytes);
    const std::lock_guard lock(registry().mutex);
    const std::uint16_t pattern = redzone_pattern(registry().next_id++);
    paint(whole, redzone_bytes, pattern);
    paint(memory + bytes, tail_bytes(bytes), pattern);
    forbid(whole, redzone_bytes);
    forbid(memory + bytes, tail_bytes(bytes));
    registry().allocations.emplace(memory, Allocation{bytes, pattern});
    return memory;
}

void release(void* memory) {
    auto* const begin = static_cast<std::byte*>(memory);
    {
        const std::lock_guard lock(registry().mutex);
        const auto found = registry().allocations.find(begin);
        if (found == registry().allocations.end()) return;
        const std::size_t bytes = found->second.bytes;
        permit(begin - redzone_bytes, redzone_bytes + bytes + tail_bytes(bytes));
        registry().allocations.erase(found);
    }
    ::operator delete(begin - redzone_bytes, std::align_val_t{alignment});
}

std::optional<std::string> damage() {
    const std::lock_guard lock(registry().mutex);
    std::optional<std::string> problem;
    for (const auto& [memory, allocation] : registry().allocations) {
        const std::size_t bytes = allocation.bytes;
        const auto check = [&, pattern = allocation.pattern](std::byte* zone, std::size_t zone_bytes, const char* where) {
            if (is_painted(zone, zone_bytes, pattern)) return;
            problem = std::string("wrote ") + where + " memory of " + std::to_string(bytes) + " bytes";
            paint(zone, zone_bytes, pattern);
        };
        check(memory - redzone_bytes, redzone_bytes, "before");
        check(memory + bytes, tail_bytes(bytes), "past the end of");
    }
    return problem;
}

}  // namespace t2i::emulation
