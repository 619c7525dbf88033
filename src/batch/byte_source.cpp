#include "batch/byte_source.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/files.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace {

class FileSource : public ByteSource {
  public:
    FileSource(int fd, bool owned, std::string name, int stop_fd, std::function<void(bool)> idle)
        : fd_(fd), owned_(owned), name_(std::move(name)), stop_fd_(stop_fd), idle_(std::move(idle)) {
        struct stat about{};
        is_live_ = ::fstat(fd_, &about) != 0 || !S_ISREG(about.st_mode);
        if (!is_live_) size_ = static_cast<std::uint64_t>(about.st_size);
    }
    ~FileSource() override {
        if (owned_) ::close(fd_);
    }
    FileSource(const FileSource&) = delete;
    FileSource& operator=(const FileSource&) = delete;

    std::size_t read(std::span<char> to) override {
        while (true) {
            if (!wait_for_bytes()) return 0;
            const ssize_t n = ::read(fd_, to.data(), to.size());
            if (n >= 0) return static_cast<std::size_t>(n);
            if (errno != EINTR && errno != EAGAIN)
                throw Error(ErrorCode::input, std::string("cannot be read: ") + std::strerror(errno), name_);
        }
    }
    std::uint64_t size_bytes() const override { return size_; }
    bool is_live() const override { return is_live_; }

  private:
    // False: stopped.
    bool wait_for_bytes() {
        std::array<pollfd, 2> watched{pollfd{fd_, POLLIN, 0}, pollfd{stop_fd_, POLLIN, 0}};
        bool idle = false;
        for (int timeout_ms = 0;; timeout_ms = -1) {
            const int ready = ::poll(watched.data(), watched.size(), timeout_ms);
            if (ready < 0 && errno != EINTR)
                throw Error(ErrorCode::input, std::string("cannot be read: ") + std::strerror(errno), name_);
            if (ready > 0) break;
            if (!idle && idle_) idle_(idle = true);
        }
        if (idle) idle_(false);
        return watched[1].revents == 0;
    }

    int fd_;
    bool owned_;
    std::string name_;
    int stop_fd_;
    std::function<void(bool)> idle_;
    std::uint64_t size_ = 0;
    bool is_live_ = false;
};

class MemorySource : public ByteSource {
  public:
    explicit MemorySource(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}
    std::size_t read(std::span<char> to) override {
        const std::size_t n = std::min(to.size(), rest_.size());
        std::copy_n(rest_.begin(), n, to.begin());
        rest_.remove_prefix(n);
        return n;
    }
    std::uint64_t size_bytes() const override { return size_; }

  private:
    std::string_view rest_;
    std::size_t size_;
};

}  // namespace

bool StartedSource::more() {
    constexpr std::size_t block_bytes = std::size_t{16} << 10;
    if (ended_) return false;
    const std::size_t before = start_.size();
    start_.resize(before + block_bytes);
    const std::size_t n = source_->read(std::span(start_).subspan(before));
    start_.resize(before + n);
    ended_ = n == 0;
    return !ended_;
}

std::size_t StartedSource::read(std::span<char> to) {
    if (at_ == start_.size()) {
        start_ = {};
        at_ = 0;
        return ended_ ? 0 : source_->read(to);
    }
    const std::size_t n = std::min(to.size(), start_.size() - at_);
    std::copy_n(start_.begin() + static_cast<std::ptrdiff_t>(at_), n, to.begin());
    at_ += n;
    return n;
}

std::unique_ptr<ByteSource> open_source(const std::string& path, int stop_fd, std::function<void(bool)> idle) {
    if (path == "-") return std::make_unique<FileSource>(STDIN_FILENO, false, "standard input", stop_fd, std::move(idle));
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        const int error = errno;
        if (error == ENXIO) check_is_no_device(path);  // a socket
        throw Error(ErrorCode::input, std::string("cannot be read: ") + std::strerror(error), path);
    }
    struct stat about{};
    if (::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
        ::close(fd);
        throw Error(ErrorCode::input, "is a folder", path);
    }
    return std::make_unique<FileSource>(fd, true, path, stop_fd, std::move(idle));
}

std::unique_ptr<ByteSource> open_own_file(const std::string& path) {
    check_is_no_device(path);
    return open_source(path);
}

std::unique_ptr<ByteSource> memory_source(std::string_view bytes) {
    return std::make_unique<MemorySource>(bytes);
}

}  // namespace t2i::batch
