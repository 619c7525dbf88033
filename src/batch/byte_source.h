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
    // Whether somebody may still be writing it: a pipe, a terminal.
    [[nodiscard]] virtual bool is_live() const { return false; }
};

// A source whose beginning can be looked at before it is read.
class StartedSource : public ByteSource {
  public:
    explicit StartedSource(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}
    // The beginning, as far as more() has brought it; nothing was read of it yet.
    [[nodiscard]] std::string_view start() const { return std::string_view(start_).substr(at_); }
    // Adds some bytes to start(); false at the end. Before the first read().
    bool more();
    [[nodiscard]] bool ended() const { return ended_; }
    // Takes bytes off start(), which has as many: nobody reads them.
    void skip(std::size_t bytes) {
        at_ += bytes;
        skipped_ += bytes;
    }
    std::size_t read(std::span<char> to) override;
    [[nodiscard]] std::uint64_t size_bytes() const override {
        const std::uint64_t size = source_->size_bytes();
        return size == 0 ? 0 : size - skipped_;
    }
    [[nodiscard]] bool is_live() const override { return source_->is_live(); }

  private:
    std::unique_ptr<ByteSource> source_;
    std::string start_;
    std::size_t at_ = 0;  // first byte of start_ that is neither read nor skipped
    std::uint64_t skipped_ = 0;
    bool ended_ = false;
};

// "-" is standard input, read as it comes. stop_fd: the source ends when that becomes readable (below 0: never).
// idle(true) is called before waiting for bytes that are not there yet, idle(false) after; may be empty.
// Throws Error{input}.
[[nodiscard]] std::unique_ptr<ByteSource> open_source(const std::string& path, int stop_fd = -1,
                                                      std::function<void(bool)> idle = {});

// A file that a run keeps, such as a journal: no pipe, nor anything else that may give no byte for ever. Throws Error{input}.
[[nodiscard]] std::unique_ptr<ByteSource> open_own_file(const std::string& path);

// Bytes in memory, which outlive the source.
[[nodiscard]] std::unique_ptr<ByteSource> memory_source(std::string_view bytes);

}  // namespace t2i::batch
