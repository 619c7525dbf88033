// Whole files: written under their name at the end, with the permissions of any new file, and nothing left when that fails.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    const TempFolder folder;
    for (const mode_t mask : {mode_t{022}, mode_t{077}, mode_t{0}}) {
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
    CHECK(umask_calls == 6);  // the counter counts: this test's own calls
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
