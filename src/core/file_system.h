// What a file system cannot do, as vfat, network folders and FUSE may not: no reason to end a run, but one to tell.
#pragma once

#include <mutex>
#include <string>

namespace t2i {

enum class Lack {
    locks,        // flock
    folder_sync,  // fsync of a folder
    file_sync,    // fsync of a file
    permissions,  // chmod
};

// True when errno says that a file system has no such operation, rather than that it failed.
[[nodiscard]] bool is_unsupported(int error) noexcept;

// Collects what file systems turned out to lack during a run, so that it is told once. Safe from any thread.
class FileSystemLacks {
  public:
    // path: the file or folder that it was asked of.
    void note(Lack lack, const std::string& path);
    // One line for the user about what was noted since the last call; empty: nothing new.
    [[nodiscard]] std::string take_line();

  private:
    std::mutex mutex_;
    unsigned noted_ = 0, told_ = 0;  // sets of Lack, a bit each
    std::string path_;               // of the first that is not told
};

// fsync() of an open file, or of a folder; `path` is its name. True where the file system has none, too, which is noted: lacks
// may be null, then nobody hears of it. False, with errno set, when it failed.
[[nodiscard]] bool sync_to_disk(int fd, Lack kind, const std::string& path, FileSystemLacks* lacks);

}  // namespace t2i
