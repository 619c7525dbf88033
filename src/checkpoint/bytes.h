// Little-endian numbers and texts out of a file in memory, never past its end.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "core/stand_in.h"
#include "t2i/error.h"

namespace t2i {

// Reads from the front to the back. Throws Error{input} naming `path` when fewer bytes are left than asked for.
class ByteReader {
  public:
    // what: what the bytes are of, such as "GGUF header", and begin: where in the file they begin; for messages. The first three
    // outlive the reader.
    ByteReader(std::span<const std::byte> bytes, std::string_view path, std::string_view what, std::size_t begin = 0)
        : bytes_(bytes), path_(path), what_(what), begin_(begin) {}

    template <typename T>
        requires std::integral<T> || std::floating_point<T>
    [[nodiscard]] T number() {
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    [[nodiscard]] std::string_view text(std::size_t count) {
        const auto part = take(count);
        return {reinterpret_cast<const char*>(part.data()), part.size()};
    }
    void skip(std::size_t count) { static_cast<void>(take(count)); }
    // The text up to the next line break, which is stepped over.
    [[nodiscard]] std::string_view line() {
        const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + position_, left());
        const std::size_t end = rest.find('\n');
        if (end == std::string_view::npos) cut_short();
        position_ += end + 1;
        return rest.substr(0, end);
    }

    [[nodiscard]] std::size_t position() const { return position_; }
    [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }
    [[noreturn]] void fail(const std::string& problem) const {
        throw Error(ErrorCode::input, std::string(what_) + ": " + problem, std::string(path_));
    }

  private:
    std::span<const std::byte> take(std::size_t count) {
        if (count > left()) cut_short();
        position_ += count;
        return bytes_.subspan(position_ - count, count);
    }
    [[noreturn]] void cut_short() const { fail("cut short at byte " + std::to_string(begin_ + bytes_.size()) + fetch_again); }

    std::span<const std::byte> bytes_;
    std::size_t position_ = 0;
    std::string_view path_, what_;
    std::size_t begin_;
};

}  // namespace t2i
