#include "generators/new_output.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "core/file_system.h"
#include "core/files.h"
#include "core/folders.h"
#include "core/log.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

// Short, so that it fits wherever the output's own name does.
std::string unfinished_name(const std::string& name) {
    return ".t2i-unfinished-" + hex_text(XXH3_64bits(name.data(), name.size()));
}

}  // namespace

NewOutput::NewOutput(std::string final_path, const Log& log) : final_(std::move(final_path)) {
    while (final_.size() > 1 && final_.ends_with('/')) final_.pop_back();
    const fs::path whole(final_);
    unfinished_ = (whole.parent_path() / unfinished_name(whole.filename().string())).string();
    try {
        take(log);
    } catch (...) {
        if (fd_ >= 0) ::close(fd_);
        throw;
    }
}

void NewOutput::take(const Log& log) {
    while (!lock(log)) {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    // Of a process that was killed.
    for (const auto& left : fs::directory_iterator(unfinished_)) fs::remove_all(left.path());
}

// False: whoever had the folder has removed it meanwhile, or given it its name.
bool NewOutput::lock(const Log& log) {
    make_folder(unfinished_);
    fd_ = ::open(unfinished_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd_ < 0 && errno == ENOENT) return false;
    if (fd_ < 0) throw io_error("cannot be written", final_);
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) throw Error(ErrorCode::input, "another process is making it", final_);
        // EBADF: NFS locks files alone.
        if (!is_unsupported(errno) && errno != EPERM && errno != EBADF) throw io_error("cannot be locked", final_);
        FileSystemLacks lacks;
        lacks.note(Lack::locks, unfinished_);
        log_warning(log, lacks.take_line());
        ::rmdir(unfinished_.c_str());                     // where nobody has anything in it
        unfinished_ += "-" + std::to_string(::getpid());  // nobody else's
        make_folder(unfinished_);
        return true;
    }
    struct stat ours{}, there{};
    return ::fstat(fd_, &ours) == 0 && ::stat(unfinished_.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

void NewOutput::commit() {
    std::error_code ec;
    fs::rename(unfinished_, final_, ec);
    if (ec == std::errc::directory_not_empty || ec == std::errc::file_exists || ec == std::errc::not_a_directory)
        throw NameTaken(final_);
    if (ec) throw Error(ErrorCode::input, "cannot be written: " + ec.message(), final_);
    unfinished_.clear();
}

NewOutput::~NewOutput() {
    std::error_code ignored;
    if (!unfinished_.empty()) fs::remove_all(unfinished_, ignored);
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace t2i
