#include "checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <system_error>
#include <utility>

#include "core/files.h"
#include "t2i/error.h"

namespace t2i {

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
    throw Error(ErrorCode::input, what + ": " + std::generic_category().message(errno), path);
}

class FileDescriptor {
  public:
    // Not blocking: a named pipe would wait for a writer here.
    explicit FileDescriptor(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
        if (fd_ < 0) throw opening_error("cannot open", path);
    }
    ~FileDescriptor() { ::close(fd_); }
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    [[nodiscard]] int get() const { return fd_; }

  private:
    int fd_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
    check_is_no_device(path);
    const FileDescriptor file(path);
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) fail("cannot read the size", path);
    if (!S_ISREG(status.st_mode)) throw Error(ErrorCode::input, "not a regular file", path);
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) return;  // mmap refuses an empty range
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (mapped == MAP_FAILED && errno == ENOMEM)
        throw Error(ErrorCode::resource, "there is no memory to map it: " + std::to_string(size_) + " bytes", path);
    if (mapped == MAP_FAILED) fail("cannot map into memory", path);
    data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

void MappedFile::drop_pages(const void* data, std::size_t bytes) const {
    const auto* begin = static_cast<const std::byte*>(data);
    if (std::less<>()(begin, data_) || !std::less<>()(begin, data_ + size_)) return;
    // Whole runs of pages that the kernel maps at a fault (16 by default): it brought in neighbours of the first and the last.
    constexpr std::size_t run = 64 << 10;
    const auto from = static_cast<std::size_t>(begin - data_) / run * run;
    const std::size_t to = std::min(size_, (static_cast<std::size_t>(begin - data_) + bytes + run - 1) / run * run);
    ::madvise(const_cast<std::byte*>(data_) + from, to - from, MADV_DONTNEED);  // where it fails, they only stay longer
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace t2i
