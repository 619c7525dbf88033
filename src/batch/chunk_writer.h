// Many lines, to a file that is renamed into place at the end.
#pragma once

#include <string>

#include "batch/files.h"

namespace t2i::batch {

// Appends in large pieces. Throws Error{input} as AppendFile does.
class ChunkWriter {
  public:
    explicit ChunkWriter(const std::string& path) : file_(path) { file_.cut_to(0); }
    void add(const std::string& text) {
        constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
        waiting_ += text;
        if (waiting_.size() >= chunk_bytes) flush();
    }
    void flush() {
        if (!waiting_.empty()) file_.append(waiting_);
        waiting_.clear();
    }
    [[nodiscard]] std::uint64_t bytes() const { return file_.size_bytes() + waiting_.size(); }

  private:
    AppendFile file_;
    std::string waiting_;
};

}  // namespace t2i::batch
