// Whole files: read, and written so that a reader sees all of a file or nothing of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "t2i/error.h"

namespace t2i {

// Error{input}: `what` went wrong with the file at `path`, and the text of errno.
[[nodiscard]] Error io_error(const std::string& what, const std::string& path);

// A whole file. Throws Error{input} naming it: cannot be read, a folder, larger than `limit_bytes`.
[[nodiscard]] std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit_bytes = std::size_t{1} << 30);
[[nodiscard]] std::string read_text_file(const std::string& path, std::size_t limit_bytes = std::size_t{1} << 30);

// Writes all bytes at `offset` of an open file; false, with errno set, when that fails.
[[nodiscard]] bool write_at(int fd, std::string_view bytes, std::uint64_t offset);

struct AtomicFileOptions {
    std::string temporary_folder{};  // where the file grows, on the same file system; empty: beside its name
    bool replace = true;             // false: a file that has the name by then stays, and commit() throws NameTaken
    bool sync = true;  // waits for the disk before the file gets its name, so that a power cut leaves all of it or nothing
};

// Another file has the name that was not to be replaced.
class NameTaken : public Error {
  public:
    explicit NameTaken(const std::string& path) : Error(ErrorCode::input, "is there already", path) {}
};

// A file that gets its name when it is complete. It grows under a temporary name that nobody else has (O_EXCL), with the
// permissions of any new file: 0666 less the umask, which the kernel applies, so that no thread has to ask for it. commit()
// gives it its name, in place of a file that had it; without commit() nothing is left behind. The folder is not synced.
// An object belongs to one thread; any number may write files, also of the same name: the last commit() counts.
// Every function throws Error{input} naming `path`: folder missing, read-only, disk full.
class AtomicFile {
  public:
    explicit AtomicFile(std::string path, const AtomicFileOptions& options = {});
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(std::string_view bytes);
    void commit();

  private:
    std::string path_, temporary_;
    bool replace_, sync_;
    int fd_ = -1;
    std::uint64_t size_ = 0;
};

// A file of these bytes, by an AtomicFile.
void write_file_atomically(const std::string& path, std::span<const std::uint8_t> bytes, const AtomicFileOptions& options = {});
void write_file_atomically(const std::string& path, std::string_view text, const AtomicFileOptions& options = {});

}  // namespace t2i
