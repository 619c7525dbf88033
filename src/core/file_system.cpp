#include "core/file_system.h"

#include <unistd.h>

#include <array>
#include <cerrno>

namespace t2i {

namespace {

struct Words {
    Lack lack;
    const char* text;
};
constexpr std::array words{
    Words{Lack::locks, "knows no locks (start no second run there)"},
    Words{Lack::folder_sync, "cannot sync folders (a power cut may cost the last files)"},
    Words{Lack::file_sync, "cannot sync files (a power cut may cost the last files)"},
    Words{Lack::permissions, "knows no permissions"},
};

constexpr unsigned bit(Lack lack) {
    return 1U << static_cast<unsigned>(lack);
}

}  // namespace

// ENOTSUP is EOPNOTSUPP here. EINVAL is what fsync and flock give for a descriptor that knows neither; ENOLCK what a network file
// system without its lock service gives; ENOTTY what FUSE file systems do, for want of a better word.
bool is_unsupported(int error) noexcept {
    return error == ENOSYS || error == ENOTSUP || error == EINVAL || error == ENOLCK || error == ENOTTY;
}

void FileSystemLacks::note(Lack lack, const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (noted_ == told_) path_ = path;
    noted_ |= bit(lack);
    // What follows from either is the same, and is told once.
    constexpr unsigned syncs = bit(Lack::folder_sync) | bit(Lack::file_sync);
    if ((told_ & syncs) != 0) told_ |= noted_ & syncs;
}

std::string FileSystemLacks::take_line() {
    const std::lock_guard lock(mutex_);
    const unsigned fresh = noted_ & ~told_;
    if (fresh == 0) return {};
    told_ = noted_;
    std::string line;
    for (const auto& [lack, text] : words)
        if (fresh & bit(lack)) line += std::string(line.empty() ? "" : ", ") + text;
    return path_ + ": its file system " + line;
}

bool sync_to_disk(int fd, Lack kind, const std::string& path, FileSystemLacks* lacks) {
    if (::fsync(fd) == 0) return true;
    if (!is_unsupported(errno)) return false;
    if (lacks) lacks->note(kind, path);
    return true;
}

}  // namespace t2i
