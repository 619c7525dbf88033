// Files that survive a power cut, and the lock on an output folder.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "batch/shards.h"
#include "core/file_system.h"
#include "t2i/error.h"

namespace t2i::batch {

// Waits until what was renamed into a folder stays there; a file system that cannot is noted. Throws Error{input} naming it.
// Throws Error{input} when it is there and cannot be removed.
void remove_file(const std::string& path);

void sync_folder(const std::string& folder, FileSystemLacks& lacks);

// True when files in this folder have one name in capitals and in small letters. Makes a file there and removes it.
[[nodiscard]] bool folds_case(const std::string& folder);

// SHA-256 as 64 hex digits.
[[nodiscard]] std::string sha256_hex(std::span<const std::uint8_t> bytes);
// Of `bytes` bytes of a file from `offset` on. Throws Error{input} naming it when they are not there.
[[nodiscard]] std::string sha256_of_file(const std::string& path, std::uint64_t offset, std::uint64_t bytes);

// A file that only grows.
class AppendFile {
  public:
    // Made when it is not there. lacks: hears of what the file system cannot do, outlives it. Throws Error{input} naming it.
    explicit AppendFile(std::string path, FileSystemLacks* lacks = nullptr);
    ~AppendFile();
    AppendFile(const AppendFile&) = delete;
    AppendFile& operator=(const AppendFile&) = delete;

    // Appends and waits until it is on disk. When it fails (a full disk), the file is cut back to what it held before.
    void append(std::string_view bytes);
    [[nodiscard]] std::uint64_t size_bytes() const { return size_; }
    void cut_to(std::uint64_t bytes);
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    [[nodiscard]] bool sync() const;

    std::string path_;
    FileSystemLacks* lacks_;
    int fd_ = -1;
    std::uint64_t size_ = 0;
};

// Keeps other processes off an output folder: the whole run alone, the shards of one split together, each once.
// The lock ends with the process, however it ends; its files go when it ends in order. A file system without locks is noted:
// there it keeps nobody off.
class FolderLock {
  public:
    // Throws Error{input}: somebody else works there (naming its process).
    FolderLock(const std::string& folder, const Shard& shard, FileSystemLacks& lacks);
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

  private:
    struct Held {
        std::string path;
        int fd;
        bool is_locked;
    };
    [[nodiscard]] Held take(const std::string& path, int operation, FileSystemLacks& lacks) const;
    [[nodiscard]] Error refusal(int fd, const std::string& path) const;
    void check_other_splits(const Shard& shard) const;

    std::string folder_;
    std::vector<Held> held_;
};

}  // namespace t2i::batch
