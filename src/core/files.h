// Whole files: read, and written so that a reader sees all of a file or nothing of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_system.h"
#include "t2i/error.h"

namespace t2i {

// Error{input}: `what` went wrong with the file at `path`, and the text of errno.
[[nodiscard]] Error io_error(const std::string& what, const std::string& path);
// The same where open() failed to read: of a file that is not there it says why where that can be told (core/stand_in.h).
[[nodiscard]] Error opening_error(const std::string& what, const std::string& path);

// Throws Error{input} naming what stands at a path where a file or a folder should be: a named pipe, a device, a socket, which
// may give no byte for ever. What is not there is for those who open it to say.
void check_is_no_device(const std::string& path);

// A whole file. Throws Error{input} naming it: cannot be read, a folder, larger than `limit_bytes`, check_is_no_device(); a
// descriptor of this process (own_descriptor()) may be a pipe.
[[nodiscard]] std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit_bytes = std::size_t{1} << 30);
[[nodiscard]] std::string read_text_file(const std::string& path, std::size_t limit_bytes = std::size_t{1} << 30);

// Writes all bytes where an open file stands; false, with errno set, when that fails. waits: for room, also in a pipe that was
// opened not to.
[[nodiscard]] bool write_all(int fd, std::string_view bytes, bool waits = true);
// The same at `offset`.
[[nodiscard]] bool write_at(int fd, std::string_view bytes, std::uint64_t offset);

// The file system takes files, but not one of this name: too long, reserved, held by a folder, on another file system.
class NameRefused : public Error {
  public:
    NameRefused(const std::string& message, const std::string& path) : Error(ErrorCode::input, message, path) {}
};
// Another file has the name, which was not to be replaced.
class NameTaken : public NameRefused {
  public:
    explicit NameTaken(const std::string& path) : NameRefused("is there by now, and is left as it is", path) {}
};
// True when errno is about the name of one file rather than about all that could be written there.
[[nodiscard]] bool is_about_a_name(int error) noexcept;

// The descriptor of this process that a path names: /dev/stdout, /dev/fd/1, a link to one of these. Nothing: an ordinary path.
[[nodiscard]] std::optional<int> own_descriptor(const std::string& path);

// Finds out before the work whether an AtomicFile could be written after it. Throws Error{input}: a folder, a folder that is
// missing or read-only, a device or a descriptor that cannot be written.
void check_can_be_written(const std::string& path);

// Whether anything stands under a name, be it a link that leads nowhere: whoever opens that says so.
[[nodiscard]] bool exists_at_all(const std::string& path);
// Whether a plain file does, links followed.
[[nodiscard]] bool is_plain_file(const std::string& path);

struct AtomicFileOptions {
    std::string temporary_folder{};  // where the file grows, on the same file system; empty: beside its name
    bool replace = true;             // false: what has the name, or has it by then, stays, be it a link: throws NameTaken
    bool sync = true;  // waits for the disk before the file gets its name, so that a power cut leaves all of it or nothing
    bool waits_for_reader = true;      // of a FIFO; false: an error while nobody reads it
    FileSystemLacks* lacks = nullptr;  // hears of what the file system cannot do; outlives the file
};

// A file that gets its name when it is complete. It grows under a temporary name that nobody else has (O_EXCL), with the
// permissions of the file that it replaces, else of any new one: 0666 less the umask, which the kernel applies, so that no
// thread has to ask for it. commit() gives it its name, in place of a file that had it; without commit() nothing is left behind.
// A link stays: what it points to is replaced, or made. What is no plain file (a device, a FIFO, one of our own descriptors)
// stays, too: it is written as the bytes come. The folder is not synced.
// An object belongs to one thread; any number may write files, also of the same name: the last commit() counts.
// Every function throws Error{input} naming `path`: folder missing, read-only, disk full; NameRefused.
class AtomicFile {
  public:
    explicit AtomicFile(std::string path, const AtomicFileOptions& options = {});
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(std::string_view bytes);
    void commit();

  private:
    // Closed, and without a name, when it goes.
    struct Unfinished {
        Unfinished() = default;
        ~Unfinished();
        Unfinished(const Unfinished&) = delete;
        Unfinished& operator=(const Unfinished&) = delete;
        int fd = -1;
        std::string temporary{};  // empty: it is written as it is
    };
    void give_name();

    std::string path_, target_;  // target: path with its links followed
    AtomicFileOptions options_;
    Unfinished file_;
};

// A file of these bytes, by an AtomicFile.
void write_file_atomically(const std::string& path, std::span<const std::uint8_t> bytes, const AtomicFileOptions& options = {});
void write_file_atomically(const std::string& path, std::string_view text, const AtomicFileOptions& options = {});

}  // namespace t2i
