// Where the bytes of a prompt file come from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace t2i::batch {

class ByteSource {
  public:
    virtual ~ByteSource() = default;
    // Some bytes; 0 at the end. Throws Error{input} naming the file.
    virtual std::size_t read(std::span<char> to) = 0;
    // Bytes in all; 0 where that is not known.
    [[nodiscard]] virtual std::uint64_t size_bytes() const { return 0; }
};

// "-" is standard input, read as it comes. stop_fd: the source ends when that becomes readable (below 0: never).
// idle(true) is called before waiting for bytes that are not there yet, idle(false) after; may be empty.
// Throws Error{input}.
[[nodiscard]] std::unique_ptr<ByteSource> open_source(const std::string& path, int stop_fd = -1,
                                                      std::function<void(bool)> idle = {});

// Bytes in memory, which outlive the source.
[[nodiscard]] std::unique_ptr<ByteSource> memory_source(std::string_view bytes);

}  // namespace t2i::batch
