#include "batch/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "core/files.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace fs = std::filesystem;

namespace {

class Sha256 {
  public:
    Sha256() {
        if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
            throw Error(ErrorCode::resource, "OpenSSL has no SHA-256");
    }
    void update(const void* bytes, std::size_t size) { EVP_DigestUpdate(context_.get(), bytes, size); }
    [[nodiscard]] std::string hex() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned int size = 0;
        EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
        constexpr std::string_view digits = "0123456789abcdef";
        std::string text;
        for (unsigned int i = 0; i < size; ++i) text += {digits[digest[i] >> 4U], digits[digest[i] & 15U]};
        return text;
    }

  private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

}  // namespace

void sync_folder(const std::string& folder, FileSystemLacks& lacks) {
    const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) throw io_error("cannot be opened", folder);
    const bool is_done = sync_to_disk(fd, Lack::folder_sync, folder, &lacks);
    const int error = errno;
    ::close(fd);
    errno = error;
    if (!is_done) throw io_error("cannot be synced", folder);
}

void remove_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw io_error("cannot be removed", path);
}

bool folds_case(const std::string& folder) {
    const std::string name = folder + "/.t2i-case", other = folder + "/.T2I-CASE";
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return false;  // what cannot be asked is told when a picture is written
    ::close(fd);
    const bool folds = ::access(other.c_str(), F_OK) == 0;
    ::unlink(name.c_str());
    return folds;
}

std::string sha256_hex(std::span<const std::uint8_t> bytes) {
    Sha256 sum;
    sum.update(bytes.data(), bytes.size());
    return sum.hex();
}

std::string sha256_of_file(const std::string& path, std::uint64_t offset, std::uint64_t bytes) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw io_error("cannot be read", path);
    Sha256 sum;
    std::array<char, 65536> block;
    while (bytes > 0) {
        const ssize_t n = ::pread(fd, block.data(), std::min<std::uint64_t>(bytes, block.size()), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const Error error = n < 0 ? io_error("cannot be read", path) : Error(ErrorCode::input, "is cut short", path);
            ::close(fd);
            throw error;
        }
        sum.update(block.data(), static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
        bytes -= static_cast<std::uint64_t>(n);
    }
    ::close(fd);
    return sum.hex();
}

AppendFile::AppendFile(std::string path, FileSystemLacks* lacks) : path_(std::move(path)), lacks_(lacks) {
    // Not blocking: a FIFO would wait for a reader here.
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd_ < 0) throw io_error("cannot be written", path_);
    struct stat about{};
    if (::fstat(fd_, &about) != 0 || !S_ISREG(about.st_mode)) {
        ::close(fd_);
        throw Error(ErrorCode::input, "is not a plain file", path_);
    }
    size_ = static_cast<std::uint64_t>(about.st_size);
}

AppendFile::~AppendFile() {
    ::close(fd_);
}

bool AppendFile::sync() const {
    if (::fdatasync(fd_) == 0) return true;
    if (!is_unsupported(errno)) return false;
    if (lacks_) lacks_->note(Lack::file_sync, path_);
    return true;
}

void AppendFile::append(std::string_view bytes) {
    if (!write_at(fd_, bytes, size_) || !sync()) {
        const int error = errno;
        static_cast<void>(::ftruncate(fd_, static_cast<off_t>(size_)) == 0);  // a reader tolerates what stays
        errno = error;
        throw io_error("cannot be written", path_);
    }
    size_ += bytes.size();
}

void AppendFile::cut_to(std::uint64_t bytes) {
    if (bytes >= size_) return;
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0 || !sync()) throw io_error("cannot be cut", path_);
    size_ = bytes;
}

FolderLock::Held FolderLock::take(const std::string& path, int operation, FileSystemLacks& lacks) const {
    while (true) {
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) throw io_error("cannot be written", path);
        if (::flock(fd, operation | LOCK_NB) != 0) {
            if (is_unsupported(errno) || errno == EPERM) {
                lacks.note(Lack::locks, folder_);
                return {path, fd, false};
            }
            const Error why = refusal(fd, path);
            ::close(fd);
            throw why;
        }
        // Whoever held it before may have removed the file between our open and our lock.
        struct stat ours{}, there{};
        if (::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
            ours.st_dev == there.st_dev) {
            if (operation == LOCK_EX) {
                const std::string owner = std::to_string(::getpid());
                static_cast<void>(::ftruncate(fd, 0) == 0 &&
                                  ::pwrite(fd, owner.data(), owner.size(), 0) > 0);  // for the message only
            }
            return {path, fd, true};
        }
        ::close(fd);
    }
}

// Why flock gave us no lock: errno, and what its holder wrote into the file.
Error FolderLock::refusal(int fd, const std::string& path) const {
    if (errno != EWOULDBLOCK) return io_error("cannot be locked", path);
    std::array<char, 32> owner{};
    const ssize_t n = ::pread(fd, owner.data(), owner.size() - 1, 0);
    const std::string who = n > 0 ? " (process " + std::string(owner.data(), static_cast<std::size_t>(n)) + ")" : std::string();
    return {ErrorCode::input, "another t2i batch is at work in this folder" + who, folder_};
}

FolderLock::FolderLock(const std::string& folder, const Shard& shard, FileSystemLacks& lacks) : folder_(folder) {
    held_.push_back(take(folder + "/.lock", shard.is_whole() ? LOCK_EX : LOCK_SH, lacks));
    try {
        if (!shard.is_whole()) {
            held_.push_back(take(folder + "/.lock" + shard.suffix(), LOCK_EX, lacks));
            check_other_splits(shard);
        }
    } catch (...) {
        for (const Held& held : held_) ::close(held.fd);
        throw;
    }
}

// Two splits into different numbers of shards would make the same pictures twice. Each process locks its own file before it
// looks at the others', so that of two at least one notices.
void FolderLock::check_other_splits(const Shard& shard) const {
    const std::string ours = "-of-" + std::to_string(shard.count);
    for (const auto& entry : fs::directory_iterator(folder_)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(".lock.") || name.ends_with(ours)) continue;
        const int fd = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
        if (fd < 0) continue;  // removed meanwhile
        const bool is_free = ::flock(fd, LOCK_SH | LOCK_NB) == 0 || is_unsupported(errno) || errno == EPERM;
        ::close(fd);
        if (!is_free)
            throw Error(ErrorCode::input, "a t2i batch of another split is at work in this folder (" + name.substr(6) + ")",
                        folder_);
    }
}

FolderLock::~FolderLock() {
    for (const Held& held : held_) {
        // A shared lock is others' too; who can have it alone is the last.
        if (!held.is_locked || ::flock(held.fd, LOCK_EX | LOCK_NB) == 0) ::unlink(held.path.c_str());
        ::close(held.fd);
    }
}

}  // namespace t2i::batch
