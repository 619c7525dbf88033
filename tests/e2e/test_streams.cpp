// Where the program writes: what is no plain file stays what it is, links stay, standard streams may be closed, pipes or
// terminals, and nothing from a file reaches a terminal as a command to it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/files.h"
#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "pipeline/png_encode.h"
#include "support/catch.h"
#include "support/run_t2i.h"
#include "support/terminal.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

const std::string png_start = "\x89PNG\r\n\x1a\n";

std::vector<std::string> picture_arguments(const std::string& output, const std::vector<std::string>& more = {}) {
    std::vector<std::string> all{"-m", tiny_model().string(), "-p", "a cat", "-o", output};
    if (std::ranges::find(more, "--steps") == more.end()) all.insert(all.end(), {"--steps", "1"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

Outcome draw(const std::string& output, const std::vector<std::string>& more = {}, const ProcessOptions& options = {}) {
    return Process(picture_arguments(output, more), options).wait();
}

// The bytes that every way of writing the picture has to bring.
const std::string& picture() {
    static const std::string bytes = [] {
        const TempFolder folder;
        REQUIRE(draw(folder / "a.png").code == 0);
        return file_text(folder / "a.png");
    }();
    return bytes;
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

bool is_device(const std::string& path) {
    struct stat about{};
    return ::lstat(path.c_str(), &about) == 0 && S_ISCHR(about.st_mode) && about.st_rdev == ::makedev(1, 3);
}

}  // namespace

TEST_CASE("streams: a device stays a device, whichever flag names it") {
    const TempFolder folder;
    const std::string null = folder / "null", prompts = write_file(folder / "p.txt", "a cat\n");
    if (::mknod(null.c_str(), S_IFCHR | 0666, ::makedev(1, 3)) != 0) {
        WARN("skipped: only root can make a device");
        return;
    }
    const auto check = [&](const std::string& flag, const Outcome& run) {
        INFO(flag << ": " << run.err);
        CHECK(run.code == 0);
        CHECK(is_device(null));
    };
    check("--output", draw(null));
    check("--trace", draw(folder / "a.png", {"--trace", null}));
    check("--metrics-file", run_batch(prompts, folder / "out", {"--metrics-file", null}));
    check("--json",
          run_t2i({"bench", "-m", tiny_model().string(), "--steps", "1", "--runs", "1", "--warm-ups", "0", "--json", null}));
    const Outcome several = draw(null, {"-b", "2"});
    CHECK(several.code == 2);
    CHECK(several.err.find("takes one picture") != std::string::npos);
    CHECK(is_device(null));
    CHECK(names_in(folder.path()) == std::vector<std::string>{"a.png", "null", "out", "p.txt"});
}

TEST_CASE("streams: the reader of a FIFO gets the picture and its end") {
    const TempFolder folder;
    const std::string fifo = folder / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    Process run(picture_arguments(fifo));
    auto reader = std::async(std::launch::async, [&] {
        std::ifstream in(fifo, std::ios::binary);
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    });
    // A program that replaced the FIFO would leave the reader waiting for ever.
    const bool ended = reader.wait_for(std::chrono::minutes(2)) == std::future_status::ready;
    if (!ended) ::close(::open(fifo.c_str(), O_RDWR | O_NONBLOCK));
    REQUIRE(ended);
    CHECK((reader.get() == picture()));
    CHECK(run.wait().code == 0);
    CHECK(fs::is_fifo(fifo));
    CHECK(names_in(folder.path()) == std::vector<std::string>{"fifo"});
}

TEST_CASE("streams: metrics into a FIFO that nobody reads are told once and stop no run") {
    const TempFolder folder;
    const std::string fifo = folder / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const Outcome run = run_batch(write_file(folder / "p.txt", "a cat\n"), folder / "out", {"--metrics-file", fifo});
    INFO(run.err);
    CHECK(run.code == 0);
    CHECK(run.err.find("t2i: warning: " + fifo) != std::string::npos);
    CHECK(pictures_in(folder / "out").size() == 1);
    CHECK(fs::is_fifo(fifo));
}

TEST_CASE("streams: a link stays, what it points to is replaced or made, and permissions are kept") {
    const TempFolder folder;
    fs::create_directory(folder / "other");
    write_file(folder / "other/t.png", "old");
    fs::permissions(folder / "other/t.png", fs::perms::owner_read | fs::perms::owner_write);
    fs::create_symlink("other/t.png", folder / "link.png");
    fs::create_symlink("link.png", folder / "second.png");
    fs::create_symlink("other/new.png", folder / "dangling.png");
    for (const char* name : {"second.png", "dangling.png"}) REQUIRE(draw(folder / name).code == 0);
    for (const char* name : {"link.png", "second.png", "dangling.png"}) CHECK(fs::is_symlink(folder / name));
    CHECK((file_text(folder / "other/t.png") == picture()));
    CHECK((file_text(folder / "other/new.png") == picture()));
    CHECK(fs::status(folder / "other/t.png").permissions() == (fs::perms::owner_read | fs::perms::owner_write));
    CHECK(names_in(folder / "other") == std::vector<std::string>{"new.png", "t.png"});
    CHECK(names_in(folder.path()) == std::vector<std::string>{"dangling.png", "link.png", "other", "second.png"});

    fs::create_symlink("b.png", folder / "a.png");
    fs::create_symlink("a.png", folder / "b.png");
    const Outcome circle = draw(folder / "a.png");
    CHECK(circle.code == 3);
    CHECK(circle.err.find("symbolic links") != std::string::npos);
}

TEST_CASE("streams: standard output takes one picture and nothing else") {
    const TempFolder folder;
    for (const char* name : {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}) {
        const Outcome run = draw(name, {}, {.folder = folder.path().string()});
        INFO(name << ": " << run.err);
        CHECK(run.code == 0);
        CHECK((run.out == picture()));
    }
    const Outcome several = draw("-", {"-b", "2"});
    CHECK(several.code == 2);
    CHECK(several.out.empty());
    CHECK(several.err.find("--output: \"-\" takes one picture, not 2") != std::string::npos);
    const Terminal terminal(80);
    const Outcome shown = draw("-", {}, {.output = terminal.fd()});
    CHECK(shown.code == 2);
    CHECK(shown.err.find("--output: standard output is a terminal") != std::string::npos);
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("streams: what was in the file that standard output goes to stays there") {
    const TempFolder folder;
    const std::string path = write_file(folder / "all", "before\n");
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK(draw("/dev/stdout", {}, {.output = fd}).code == 0);
    ::close(fd);
    CHECK((file_text(path) == "before\n" + picture()));
}

TEST_CASE("streams: a trace, figures and metrics on standard output stand there alone") {
    const TempFolder folder;
    const Outcome traced = draw(folder / "a.png", {"--trace", "-"});
    INFO(traced.err);
    CHECK(traced.code == 0);
    CHECK(nlohmann::json::parse(traced.out).contains("traceEvents"));
    CHECK(draw("-", {"--trace", "-"}).code == 2);

    const Outcome figures =
        run_t2i({"bench", "-m", tiny_model().string(), "--steps", "1", "--runs", "1", "--warm-ups", "0", "--json", "-"});
    INFO(figures.err);
    CHECK(figures.code == 0);
    CHECK(nlohmann::json::parse(figures.out).contains("rows"));

    const Outcome metrics = run_batch(write_file(folder / "p.txt", "a cat\n"), folder / "out", {"--metrics-file", "-"});
    INFO(metrics.err);
    CHECK(metrics.code == 0);
    CHECK(metrics.out.starts_with("# HELP t2i_batch_pictures_total "));
    CHECK(metrics.out.find("# HELP t2i_batch_pictures_total ", 1) == std::string::npos);
    CHECK(metrics.out.ends_with("t2i_batch_finished 1\n"));
}

TEST_CASE("streams: closed standard streams cost no picture and no time") {
    const TempFolder folder;
    const std::string prompts = write_file(folder / "p.txt", "a cat\na dog\n");
    const auto close_all = [] {
        for (const int fd : {0, 1, 2}) ::close(fd);
    };
    const auto close_output = [] {
        for (const int fd : {1, 2}) ::close(fd);
    };
    CHECK(Process(batch_arguments(prompts, folder / "a"), {.in_child = close_output}).wait().code == 0);
    CHECK(pictures_in(folder / "a").size() == 2);
    CHECK(Process(batch_arguments(prompts, folder / "b"), {.in_child = close_all}).wait().code == 0);
    CHECK((pictures_in(folder / "b") == pictures_in(folder / "a")));
    CHECK(run_t2i({"batch", "--verify", "-o", folder / "b"}).code == 0);
    CHECK(draw(folder / "c.png", {}, {.in_child = close_all}).code == 0);
    CHECK((file_text(folder / "c.png") == picture()));

    // What does nothing but print has failed.
    for (const char* command : {"inspect", "help", "man"}) {
        const Outcome nowhere = Process({command, folder / "c.png"}, {.in_child = [] { ::close(1); }}).wait();
        CHECK(nowhere.code == 3);
        CHECK(nowhere.err == "t2i: error: standard output is closed\n");
    }
    CHECK(draw("-", {}, {.in_child = [] { ::close(1); }}).code == 3);

    const Outcome nothing_to_read = Process(batch_arguments("-", folder / "d"), {.in_child = [] { ::close(0); }}).wait();
    INFO(nothing_to_read.err);
    CHECK(nothing_to_read.code == 0);
    CHECK(nothing_to_read.err.find("0 pictures made") != std::string::npos);
}

TEST_CASE("streams: a batch whose list nobody reads any more goes on to its end") {
    const TempFolder folder;
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    ::close(ends[0]);
    const Outcome run = Process(batch_arguments(write_file(folder / "p.jsonl", prompt_lines(5)), folder / "out"),
                                {.output = ends[1], .in_child = [] { std::signal(SIGPIPE, SIG_DFL); }})
                            .wait();
    ::close(ends[1]);
    INFO(run.err);
    CHECK(run.code == 128 + SIGPIPE);  // as of any program in a pipeline
    CHECK(pictures_in(folder / "out").size() == 5);
    CHECK(leftovers_in(folder / "out").empty());
}

TEST_CASE("streams: results that do not fit on the disk are an error") {
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) {
        WARN("skipped: there is no /dev/full");
        return;
    }
    const Outcome run = Process({"inspect", tiny_model().string()}, {.output = full}).wait();
    ::close(full);
    CHECK(run.code == 3);
    CHECK(run.err == "t2i: error: standard output cannot be written\n");
}

TEST_CASE("streams: the progress keeps to the terminal's width, without escape sequences") {
    const TempFolder folder;
    const std::string prompts = write_file(folder / "p.jsonl", prompt_lines(12));
    for (const int columns : {200, 30, 5}) {
        INFO(columns << " columns");
        Terminal terminal(columns);
        const ProcessOptions options{.error = terminal.fd(), .environment = {"TERM=xterm", "COLUMNS="}};
        REQUIRE(draw(folder / "a.png", {"--steps", "8"}, options).code == 0);
        const std::string text = terminal.take_text();
        INFO(text);
        const auto bar = text.find('\r');
        REQUIRE(bar != std::string::npos);
        CHECK(text.find('\x1b') == std::string::npos);
        std::istringstream lines(text.substr(bar));
        for (std::string line; std::getline(lines, line, '\r');) CHECK(line.size() < static_cast<std::size_t>(columns));
        if (columns == 200) CHECK(text.find("[########################] step 8/8") != std::string::npos);
        if (columns == 30) CHECK(text.find("step 8/8") != std::string::npos);
    }
    Terminal dumb(80);
    REQUIRE(draw(folder / "a.png", {}, {.error = dumb.fd(), .environment = {"TERM=dumb"}}).code == 0);
    CHECK(dumb.take_text().find('\r') == std::string::npos);
    Terminal of_batch(30);
    REQUIRE(
        Process(batch_arguments(prompts, folder / "out"), {.error = of_batch.fd(), .environment = {"TERM=xterm"}}).wait().code ==
        0);
    const std::string text = of_batch.take_text();
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("12 pictures made") != std::string::npos);
}

TEST_CASE("streams: what files hold is shown, not obeyed") {
    const TempFolder folder;
    const std::string commands = "\x1b]0;title\x07\x1b[2J", shown = "\\x1b]0;title\\x07\\x1b[2J";
    const std::string png = folder / "e.png";
    write_file_atomically(png, encode_png(1, 1, std::vector<std::uint8_t>(3, 0), "nice cat" + commands + "\nSteps: 1"));
    const Outcome inspect = run_t2i({"inspect", png});
    CHECK(inspect.code == 0);
    CHECK(inspect.out == "nice cat" + shown + "\nSteps: 1\n");
    const Outcome verify = run_t2i({"verify", "-m", tiny_model().string(), png});
    CHECK(verify.code == 3);
    CHECK(verify.err.find('\x1b') == std::string::npos);
    const Outcome missing = run_t2i({"inspect", folder / ("none" + commands)});
    CHECK(missing.code == 3);
    CHECK(missing.err.find("none" + shown) != std::string::npos);
    const Outcome bad_line =
        run_batch(write_file(folder / "p.txt", "--prompt cat --sampler_name \"" + commands + "\"\n"), folder / "out");
    CHECK(bad_line.code == 5);
    CHECK(bad_line.err.find('\x1b') == std::string::npos);
    CHECK(bad_line.err.find("\\x1b[2J") != std::string::npos);
}

}  // namespace t2i::test
