#include "core/files.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "core/number_text.h"
#include "core/stand_in.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

constexpr mode_t permissions = 0777;

// What stands there that is neither a file nor a folder; null: nothing, or nothing that can be asked.
const char* special_kind(const std::string& path) {
    std::error_code ec;
    switch (fs::status(path, ec).type()) {
        case fs::file_type::fifo:
            return "a named pipe";
        case fs::file_type::character:
        case fs::file_type::block:
            return "a device";
        case fs::file_type::socket:
            return "a socket";
        default:
            return nullptr;
    }
}

template <typename Bytes>
Bytes read_whole(const std::string& path, std::size_t limit_bytes) {
    if (std::error_code ec; fs::is_directory(path, ec)) throw Error(ErrorCode::input, "is a folder", path);
    if (special_kind(path) && !own_descriptor(path)) check_is_no_device(path);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw opening_error("cannot be read", path);
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

// Opens a new file in `folder` and returns its path in `path`; negative, with errno set, when that fails. The name is short, so
// that it fits wherever the file's own does.
int open_new(const fs::path& folder, mode_t mode, std::string& path) {
    constexpr int most_tries = 100;  // a name that is taken is already one chance in 4 billion
    std::random_device random;
    for (int i = 0; i < most_tries; ++i) {
        std::array<char, 16> name{};
        std::snprintf(name.data(), name.size(), ".t2i.%08x", random());
        path = (folder / name.data()).string();
        const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EEXIST) return fd;
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

fs::path folder_of(const fs::path& file) {
    return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

// Where a path leads in the end.
struct Target {
    fs::path path;
    std::optional<int> descriptor{};  // one of ours
    bool is_linked = false;           // by at least one link
};

// "/dev/fd/1" → 1. By name: what /proc has there is no link that could be followed, and a small container has no /proc.
std::optional<int> descriptor_named(const std::string& path) {
    if (path == "/dev/stdin") return STDIN_FILENO;
    if (path == "/dev/stdout") return STDOUT_FILENO;
    if (path == "/dev/stderr") return STDERR_FILENO;
    for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"})
        if (path.starts_with(folder)) return parse_number<int>(std::string_view(path).substr(folder.size()));
    return std::nullopt;
}

Target follow_links(const std::string& path) {
    constexpr int most_links = 40;  // as Linux
    Target target{.path = path};
    for (int links = 0;; ++links) {
        target.descriptor = descriptor_named(target.path.string());
        std::error_code ec;
        if (target.descriptor || !fs::is_symlink(target.path, ec)) return target;
        if (links == most_links) throw NameRefused(std::string("cannot be written: ") + std::strerror(ELOOP), path);
        const fs::path next = fs::read_symlink(target.path, ec);
        if (ec) throw Error(ErrorCode::input, "cannot be written: " + ec.message(), path);
        target.path = next.is_absolute() ? next : target.path.parent_path() / next;
        target.is_linked = true;
    }
}

// What stands at a path, links followed; nothing: no file. Throws NameRefused for a folder.
std::optional<struct stat> look_at(const std::string& path) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return std::nullopt;
    if (S_ISDIR(about.st_mode)) throw NameRefused("is a folder", path);
    return about;
}

// Gives a new file the owner and the permissions of the one that it replaces; false, with errno set, when it cannot have the
// permissions: then they are narrower, by the umask.
bool take_over(int fd, const struct stat& replaced) {
    struct stat ours{};
    if (::fstat(fd, &ours) != 0) return false;
    // Only root may give a file away, and a user to groups of his own; elsewhere it is whose the process is.
    if (ours.st_uid != replaced.st_uid || ours.st_gid != replaced.st_gid)
        static_cast<void>(::fchown(fd, replaced.st_uid, replaced.st_gid) == 0 || ::fchown(fd, ours.st_uid, replaced.st_gid) == 0);
    return ((ours.st_mode ^ replaced.st_mode) & permissions) == 0 || ::fchmod(fd, replaced.st_mode & permissions) == 0;
}

void require_folder(const fs::path& folder) {
    if (std::error_code ec; !fs::is_directory(folder, ec))
        throw Error(ErrorCode::input, "output folder does not exist", folder.string());
}

}  // namespace

Error io_error(const std::string& what, const std::string& path) {
    return {ErrorCode::input, what + ": " + std::strerror(errno), path};
}

Error opening_error(const std::string& what, const std::string& path) {
    const int error = errno;
    if (const std::string problem = absence_problem(path); error == ENOENT && !problem.empty())
        return {ErrorCode::input, problem, path};
    errno = error;
    return io_error(what, path);
}

void check_is_no_device(const std::string& path) {
    if (const char* kind = special_kind(path)) throw Error(ErrorCode::input, std::string("is ") + kind + ", not a file", path);
}

std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit_bytes) {
    return read_whole<std::vector<std::uint8_t>>(path, limit_bytes);
}

std::string read_text_file(const std::string& path, std::size_t limit_bytes) {
    return read_whole<std::string>(path, limit_bytes);
}

bool write_all(int fd, std::string_view bytes, bool waits) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && waits) {  // somebody else who has the pipe wants it so
            pollfd room{fd, POLLOUT, 0};
            static_cast<void>(::poll(&room, 1, -1));
            continue;
        }
        if (n == 0) errno = EIO;
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
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

bool exists_at_all(const std::string& path) {
    std::error_code ec;
    return fs::exists(fs::symlink_status(path, ec));
}

bool is_plain_file(const std::string& path) {
    std::error_code ec;
    return fs::is_regular_file(path, ec);
}

bool is_about_a_name(int error) noexcept {
    switch (error) {
        case ENOSPC:
        case EDQUOT:
        case EROFS:
        case EIO:
        case ENOMEM:
        case EMFILE:
        case ENFILE:
        case EACCES:
        case ESTALE:
        case ENODEV:
        case ENXIO:
            return false;
        default:
            return true;
    }
}

std::optional<int> own_descriptor(const std::string& path) {
    return follow_links(path).descriptor;
}

void check_can_be_written(const std::string& path) {
    const Target target = follow_links(path);
    if (target.descriptor) {
        const int flags = ::fcntl(*target.descriptor, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) errno = EBADF;
        if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) throw io_error("cannot be written", path);
        return;
    }
    if (const auto about = look_at(path); about && !S_ISREG(about->st_mode)) {
        if (::access(path.c_str(), W_OK) != 0) throw io_error("cannot be written", path);
        return;
    }
    const fs::path folder = folder_of(target.path);
    require_folder(folder);
    if (struct stat about{}; ::lstat(target.path.c_str(), &about) != 0 && errno == ENAMETOOLONG)
        throw io_error("cannot be written", path);
    if (::access(folder.c_str(), W_OK | X_OK) != 0) throw io_error("output folder cannot be written", folder.string());
}

AtomicFile::AtomicFile(std::string path, const AtomicFileOptions& options) : path_(std::move(path)), options_(options) {
    if (!options.replace && exists_at_all(path_)) throw NameTaken(path_);
    const Target target = options.replace ? follow_links(path_) : Target{.path = path_};
    if (target.descriptor) {
        file_.fd = ::fcntl(*target.descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (file_.fd < 0) throw io_error("cannot be written", path_);
        return;
    }
    const auto replaced = look_at(path_);
    if (replaced && !S_ISREG(replaced->st_mode)) {
        file_.fd = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | (options.waits_for_reader ? 0 : O_NONBLOCK));
        if (file_.fd < 0) throw io_error("cannot be written", path_);
        return;
    }
    target_ = target.path.string();
    fs::path folder = folder_of(target.path);
    require_folder(folder);
    // The folder for temporary files is on the file system of the link, not of what it points to.
    if (!options.temporary_folder.empty() && !target.is_linked) folder = options.temporary_folder;
    std::string temporary;
    file_.fd = open_new(folder, replaced ? replaced->st_mode & permissions : 0666, temporary);
    if (file_.fd < 0) throw io_error("cannot write there", path_);
    file_.temporary = std::move(temporary);
    if (!replaced || take_over(file_.fd, *replaced)) return;
    if (errno != EPERM && !is_unsupported(errno)) throw io_error("cannot have its permissions", path_);
    if (options.lacks) options.lacks->note(Lack::permissions, path_);
}

AtomicFile::Unfinished::~Unfinished() {
    if (fd >= 0) ::close(fd);
    if (!temporary.empty()) ::unlink(temporary.c_str());
}

AtomicFile::~AtomicFile() = default;

void AtomicFile::write(std::string_view bytes) {
    if (!write_all(file_.fd, bytes, options_.waits_for_reader)) throw io_error("cannot be written", path_);
}

void AtomicFile::commit() {
    // Who writes into a pipe or a terminal knows that nothing of it is on a disk.
    if (options_.sync && !sync_to_disk(file_.fd, Lack::file_sync, path_, file_.temporary.empty() ? nullptr : options_.lacks))
        throw io_error("cannot be written", path_);
    if (::close(std::exchange(file_.fd, -1)) != 0) throw io_error("cannot be written", path_);
    if (!file_.temporary.empty()) give_name();
}

void AtomicFile::give_name() {
    const int result =
        options_.replace ? ::rename(file_.temporary.c_str(), target_.c_str()) : rename_to_free_name(file_.temporary, target_);
    if (result == 0) return file_.temporary.clear();
    const int error = errno;
    if (!options_.replace && error == EEXIST) throw NameTaken(path_);
    // exFAT's driver says of a reserved name that it does not exist; it is only when our file is there.
    const bool is_gone =
        error == ENOENT && (::access(file_.temporary.c_str(), F_OK) != 0 || ::access(folder_of(target_).c_str(), F_OK) != 0);
    const std::string message = std::string("cannot be written: ") + std::strerror(error);
    if (is_about_a_name(error) && !is_gone) throw NameRefused(message, path_);
    throw Error(ErrorCode::input, message, path_);
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
