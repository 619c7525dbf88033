// Whole files: written under their name at the end, with the permissions of any new file, and nothing left when that fails.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "core/files.h"
#include "support/catch.h"
#include "support/files.h"
#include "unit/expect_error.h"

namespace {
std::atomic<int> umask_calls{0};
}

// Stands before the C library's: there is no way to read the umask without changing it for every thread of the process.
extern "C" mode_t umask(mode_t mask) noexcept {
    ++umask_calls;
    return static_cast<mode_t>(::syscall(SYS_umask, mask));
}

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
    return names;
}

mode_t permissions_of(const std::string& path) {
    struct stat about{};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    return about.st_mode & 0777U;
}

class Umask {
  public:
    explicit Umask(mode_t mask) : before_(::umask(mask)) {}
    ~Umask() { ::umask(before_); }
    Umask(const Umask&) = delete;
    Umask& operator=(const Umask&) = delete;

  private:
    mode_t before_;
};

}  // namespace

TEST_CASE("files: written whole under their name, nothing left when that fails") {
    const TempFolder folder;
    const std::string path = folder / "a.bin";
    const std::vector<std::uint8_t> bytes(100'000, 200);
    write_file_atomically(path, bytes);
    CHECK(read_file(path) == bytes);
    write_file_atomically(path, "a text", {.sync = false});  // in place of the other
    CHECK(read_text_file(path) == "a text");
    CHECK_FALSE(message_of(ErrorCode::input, [&] { write_file_atomically(folder / "none/a.bin", bytes); }).empty());
    CHECK_FALSE(message_of(ErrorCode::input, [&] { write_file_atomically(folder.path().string(), bytes); }).empty());
    CHECK_FALSE(message_of(ErrorCode::input, [&] { (void)read_file(path, 3); }).empty());
    CHECK_FALSE(message_of(ErrorCode::input, [&] { (void)read_file(folder / "none"); }).empty());
    CHECK_FALSE(message_of(ErrorCode::input, [&] { (void)read_file(folder.path().string()); }).empty());
    CHECK(names_in(folder.path()) == std::set<std::string>{"a.bin"});
}

TEST_CASE("files: an atomic file has no name before commit() and leaves nothing without it") {
    const TempFolder folder;
    fs::create_directory(folder / "unfinished");
    write_file(folder / "a", "before");
    {
        AtomicFile file(folder / "a", {.temporary_folder = folder / "unfinished"});
        file.write("half");
        CHECK(names_in(folder / "unfinished").size() == 1);
        CHECK(file_text(folder / "a") == "before");
    }
    CHECK(fs::is_empty(folder / "unfinished"));
    CHECK(file_text(folder / "a") == "before");
    AtomicFile file(folder / "a", {.temporary_folder = folder / "unfinished"});
    file.write("ha");
    file.write("lf");
    file.commit();
    CHECK(fs::is_empty(folder / "unfinished"));
    CHECK(file_text(folder / "a") == "half");
    CHECK(names_in(folder.path()) == std::set<std::string>{"a", "unfinished"});
}

TEST_CASE("files: a failed commit() leaves nothing") {
    const TempFolder folder;
    {
        AtomicFile file(folder / "a");
        file.write("x");
        fs::create_directory(folder / "a");  // meanwhile
        CHECK(message_of(ErrorCode::input, [&] { file.commit(); }).find(folder / "a") != std::string::npos);
    }
    CHECK(names_in(folder.path()) == std::set<std::string>{"a"});
}

TEST_CASE("files: new files have the permissions that the umask leaves, and no thread touches the umask") {
    const int before = umask_calls;
    for (const mode_t mask : {mode_t{022}, mode_t{077}, mode_t{0}}) {
        const TempFolder folder;
        const Umask set(mask);
        const int calls = umask_calls;
        std::vector<std::thread> writers;
        for (int t = 0; t < 4; ++t)
            writers.emplace_back([&, t] {
                for (int i = 0; i < 8; ++i)
                    write_file_atomically(folder / (std::to_string(t) + "." + std::to_string(i)), "x", {.sync = false});
            });
        for (auto& writer : writers) writer.join();
        CHECK(umask_calls == calls);
        for (const auto& name : names_in(folder.path())) CHECK(permissions_of(folder / name) == (0666U & ~mask));
    }
    CHECK(umask_calls == before + 6);  // the counter counts: this test's own calls
}

TEST_CASE("files: a file keeps its permissions, from the first byte on, and its links") {
    const TempFolder folder;
    fs::create_directory(folder / "other");
    const Umask set(022);
    for (const mode_t mode : {mode_t{0600}, mode_t{0666}, mode_t{0444}, mode_t{0755}}) {
        write_file(folder / "a", "before");
        REQUIRE(::chmod((folder / "a").c_str(), mode) == 0);
        AtomicFile file(folder / "a");
        file.write("after");
        const auto names = names_in(folder.path());
        const auto temporary = std::ranges::find_if(names, [](const auto& name) { return name.starts_with(".t2i."); });
        REQUIRE(temporary != names.end());
        CHECK(permissions_of(folder / *temporary) == mode);
        file.commit();
        CHECK(permissions_of(folder / "a") == mode);
        CHECK(file_text(folder / "a") == "after");
        fs::remove(folder / "a");
    }
    fs::create_symlink("other/a", folder / "link");
    fs::create_directory(folder / "unfinished");
    {
        AtomicFile file(folder / "link", {.temporary_folder = folder / "unfinished"});
        CHECK(names_in(folder / "other").size() == 1);  // beside what the link points to
        CHECK(fs::is_empty(folder / "unfinished"));
    }
    CHECK(fs::is_empty(folder / "other"));
    CHECK(fs::is_symlink(folder / "link"));
    write_file_atomically(folder / "link", "x");
    CHECK(fs::is_symlink(folder / "link"));
    CHECK(file_text(folder / "other/a") == "x");
}

TEST_CASE("files: what can be written is known before") {
    const TempFolder folder;
    CHECK_NOTHROW(check_can_be_written(folder / "new"));
    if (fs::exists("/dev/null")) CHECK_NOTHROW(check_can_be_written("/dev/null"));  // a bare root has no devices
    CHECK_FALSE(message_of(ErrorCode::input, [&] { check_can_be_written(folder.path().string()); }).empty());
    CHECK_FALSE(message_of(ErrorCode::input, [&] { check_can_be_written(folder / "none/new"); }).empty());
    fs::create_symlink("none/new", folder / "dangling");
    CHECK_FALSE(message_of(ErrorCode::input, [&] { check_can_be_written(folder / "dangling"); }).empty());
    const int fd = ::open(write_file(folder / "read", "x").c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_FALSE(message_of(ErrorCode::input, [&] { check_can_be_written("/dev/fd/" + std::to_string(fd)); }).empty());
    ::close(fd);
    CHECK_FALSE(message_of(ErrorCode::input, [&] { check_can_be_written("/dev/fd/" + std::to_string(fd)); }).empty());
    fs::create_symlink("/dev/stdout", folder / "out");
    CHECK(own_descriptor(folder / "out") == STDOUT_FILENO);
    CHECK(own_descriptor("/proc/self/fd/2") == STDERR_FILENO);
    CHECK_FALSE(own_descriptor(folder / "new"));
}

TEST_CASE("files: a pipe that is full and may not wait is waited for") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
    std::string read_back;
    std::thread reader([&] {
        std::array<char, 4096> block{};
        while (read_back.size() < 1'000'000)
            if (const ssize_t n = ::read(ends[0], block.data(), block.size()); n > 0)
                read_back.append(block.data(), static_cast<std::size_t>(n));
    });
    const std::string text(1'000'000, 'x');
    write_file_atomically("/dev/fd/" + std::to_string(ends[1]), text);
    reader.join();
    CHECK((read_back == text));
    for (const int fd : ends) ::close(fd);
}

TEST_CASE("files: what a file system lacks is told once, in one line") {
    FileSystemLacks lacks;
    CHECK(lacks.take_line().empty());
    lacks.note(Lack::locks, "/a");
    lacks.note(Lack::folder_sync, "/a/b");
    lacks.note(Lack::locks, "/a/c");
    const std::string line = lacks.take_line();
    CHECK(line.starts_with("/a: its file system knows no locks ("));
    CHECK(line.find("), cannot sync folders (") != std::string::npos);
    lacks.note(Lack::folder_sync, "/d");
    lacks.note(Lack::file_sync, "/d");  // costs what that of folders does
    CHECK(lacks.take_line().empty());
    lacks.note(Lack::permissions, "/e");
    CHECK(lacks.take_line() == "/e: its file system knows no permissions");
}

TEST_CASE("files: many threads may write one name") {
    const TempFolder folder;
    std::vector<std::thread> writers;
    for (int t = 0; t < 4; ++t)
        writers.emplace_back([&, t] {
            for (int i = 0; i < 16; ++i)
                write_file_atomically(folder / "a", std::string(1000, static_cast<char>('a' + t)), {.sync = false});
        });
    for (auto& writer : writers) writer.join();
    const std::string text = file_text(folder / "a");
    CHECK(text == std::string(1000, text.at(0)));
    CHECK(names_in(folder.path()) == std::set<std::string>{"a"});
}

TEST_CASE("files: a name that is taken stays, where it is not to be replaced") {
    const TempFolder folder;
    const std::string path = write_file(folder / "a", "mine");
    CHECK_THROWS_AS(write_file_atomically(path, "other", {.replace = false}), NameTaken);
    CHECK(file_text(path) == "mine");
    write_file_atomically(folder / "b", "other", {.replace = false});
    CHECK(file_text(folder / "b") == "other");
    std::filesystem::create_symlink("nowhere", folder / "c");
    CHECK_THROWS_AS(write_file_atomically(folder / "c", "other", {.replace = false}), NameTaken);
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 3);  // no temporary file
}

}  // namespace t2i::test
