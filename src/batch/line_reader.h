// Lines of a byte source, in bounded memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "batch/byte_source.h"

namespace t2i::batch {

constexpr std::size_t line_limit_bytes = std::size_t{4} << 20;

// What ends a line: "\n" alone, as in our own files, or any of "\n", "\r\n" and a lone "\r", as in other people's.
enum class LineEnds { newline, any };

class LineReader {
  public:
    explicit LineReader(std::unique_ptr<ByteSource> source, LineEnds ends = LineEnds::newline)
        : source_(std::move(source)), ends_(ends == LineEnds::any ? "\r\n" : "\n") {}

    // The next line with its end, which the last one may lack; false at the end. A line over line_limit_bytes is cut there, and
    // too_long() is true until the next call.
    bool next(std::string& line);
    [[nodiscard]] bool too_long() const { return too_long_; }
    [[nodiscard]] std::int64_t number() const { return number_; }  // of the line that next() gave, from 1
    [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
    [[nodiscard]] std::uint64_t size_bytes() const { return source_->size_bytes(); }

  private:
    // Sees to it that block_ has a byte at at_; false at the end.
    bool fill();
    void take(std::string& line, std::size_t end);

    std::unique_ptr<ByteSource> source_;
    std::string_view ends_;
    std::string block_;
    std::size_t at_ = 0;  // first byte of block_ that is not given out
    std::int64_t number_ = 0;
    std::uint64_t bytes_read_ = 0;
    bool too_long_ = false, ended_ = false;
};

// The problem of a line that is too_long().
[[nodiscard]] std::string too_long_problem();

}  // namespace t2i::batch
