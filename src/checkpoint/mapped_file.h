// A read-only memory map of a whole file: weights are read from the page cache and never copied into the
// heap.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace t2i {

class MappedFile {
  public:
    // Throws Error{input} naming the path when it cannot be opened, is not a regular file or cannot be
    // mapped.
    explicit MappedFile(const std::string& path);
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile();

    [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
    [[nodiscard]] const std::string& path() const { return path_; }
    // Takes the pages of these bytes out of the process's memory, where they lie in this map; read again, they come back from the
    // file. Whoever reads them meanwhile only waits longer. From any thread.
    void drop_pages(const void* data, std::size_t bytes) const;

  private:
    std::string path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace t2i
