#include "core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

namespace t2i {

namespace fs = std::filesystem;

namespace {

template <typename Bytes>
Bytes read_whole(const std::string& path, std::size_t limit_bytes) {
    if (std::error_code ec; fs::is_directory(path, ec)) throw Error(ErrorCode::input, "is a folder", path);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw io_error("cannot be read", path);
    Bytes bytes;
    std::array<char, 65536> block;
    ssize_t n = 0;
    do {
        n = ::read(fd, block.data(), block.size());
        if (n > 0) bytes.insert(bytes.end(), block.begin(), block.begin() + n);
    } while ((n > 0 && bytes.size() <= limit_bytes) || (n < 0 && errno == EINTR));
    const int error = errno;
    ::close(fd);
    errno = error;
    if (n < 0) throw io_error("cannot be read", path);
    if (bytes.size() > limit_bytes) throw Error(ErrorCode::input, "larger than " + std::to_string(limit_bytes) + " bytes", path);
    return bytes;
}

// Opens a new file of a hidden name made of `name`, which is completed; negative, with errno set, when that fails.
int open_new(std::string& name) {
    constexpr int most_tries = 100;  // a name that is taken is already one chance in 4 billion
    std::random_device random;
    for (int i = 0; i < most_tries; ++i) {
        std::array<char, 10> ending{};
        std::snprintf(ending.data(), ending.size(), ".%08x", random());
        const std::string whole = name + ending.data();
        const int fd = ::open(whole.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno == EEXIST) continue;
        name = whole;
        return fd;
    }
    return -1;
}

// As ::rename(), but EEXIST where the name is taken. File systems that cannot tell it in one step are asked before.
int rename_to_free_name(const std::string& from, const std::string& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) return -1;
    struct stat about{};
    if (::lstat(to.c_str(), &about) != 0) return errno == ENOENT ? ::rename(from.c_str(), to.c_str()) : -1;
    errno = EEXIST;
    return -1;
}

}  // namespace

Error io_error(const std::string& what, const std::string& path) {
    return {ErrorCode::input, what + ": " + std::strerror(errno), path};
}

std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit_bytes) {
    return read_whole<std::vector<std::uint8_t>>(path, limit_bytes);
}

std::string read_text_file(const std::string& path, std::size_t limit_bytes) {
    return read_whole<std::string>(path, limit_bytes);
}

bool write_at(int fd, std::string_view bytes, std::uint64_t offset) {
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO;
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
    return true;
}

AtomicFile::AtomicFile(std::string path, const AtomicFileOptions& options)
    : path_(std::move(path)), replace_(options.replace), sync_(options.sync) {
    const fs::path target(path_);
    if (std::error_code ec; fs::is_directory(target, ec)) throw Error(ErrorCode::input, "is a folder", path_);
    auto folder = target.parent_path();
    if (folder.empty()) folder = ".";
    if (std::error_code ec; !fs::is_directory(folder, ec))
        throw Error(ErrorCode::input, "output folder does not exist", folder.string());
    if (!options.temporary_folder.empty()) folder = options.temporary_folder;
    temporary_ = (folder / ("." + target.filename().string())).string();
    fd_ = open_new(temporary_);
    if (fd_ < 0) throw io_error("cannot write there", path_);
}

AtomicFile::~AtomicFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
    if (!write_at(fd_, bytes, size_)) throw io_error("cannot be written", path_);
    size_ += bytes.size();
}

void AtomicFile::commit() {
    if (sync_ && ::fsync(fd_) != 0) throw io_error("cannot be written", path_);
    if (::close(std::exchange(fd_, -1)) != 0) throw io_error("cannot be written", path_);
    const int result = replace_ ? ::rename(temporary_.c_str(), path_.c_str()) : rename_to_free_name(temporary_, path_);
    if (result != 0 && !replace_ && errno == EEXIST) throw NameTaken(path_);
    if (result != 0) throw io_error("cannot be written", path_);
    temporary_.clear();
}

void write_file_atomically(const std::string& path, std::string_view text, const AtomicFileOptions& options) {
    AtomicFile file(path, options);
    file.write(text);
    file.commit();
}

void write_file_atomically(const std::string& path, std::span<const std::uint8_t> bytes, const AtomicFileOptions& options) {
    write_file_atomically(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), options);
}

}  // namespace t2i
