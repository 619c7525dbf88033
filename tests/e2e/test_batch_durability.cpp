// What `t2i batch` promises when it is killed, when the disk is full, and when two of it meet.
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>

#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

// A small file system in memory; needs root.
class SmallDisk {
  public:
    explicit SmallDisk(std::string size) : size_(std::move(size)) {
        mounted_ = ::mount("tmpfs", path().c_str(), "tmpfs", 0, ("size=" + size_).c_str()) == 0;
    }
    ~SmallDisk() {
        if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    [[nodiscard]] bool mounted() const { return mounted_; }
    [[nodiscard]] std::string path() const { return folder_.path().string(); }
    void remount(const std::string& size, unsigned long flags = 0) const {
        REQUIRE(::mount("tmpfs", path().c_str(), "tmpfs", MS_REMOUNT | flags, ("size=" + size).c_str()) == 0);
    }

  private:
    TempFolder folder_;
    std::string size_;
    bool mounted_ = false;
};

// The folder holds these pictures and nothing of an unfinished run, and its journal says the same.
void check_whole(const fs::path& folder, const std::map<std::string, std::string>& expected) {
    const auto found = pictures_in(folder);
    CHECK(found.size() == expected.size());
    CHECK((found == expected));  // in brackets: Catch would print every byte
    CHECK(leftovers_in(folder).empty());
    const Outcome verify = run_t2i({"batch", "--verify", "-o", folder.string()});
    INFO(verify.out << verify.err);
    CHECK(verify.code == 0);
    CHECK(verify.out == std::to_string(expected.size()) + " good, 0 missing or damaged, 0 unknown, 0 failed\n");
    CHECK(lines_in(folder / "manifest.jsonl") == expected.size());
}

TEST_CASE("batch: killed at ten random moments, 300 prompts become 300 pictures with the bytes of an uninterrupted run") {
    constexpr int prompts = 300, kills = 10;
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(prompts));
    const Outcome uninterrupted = run_batch(file, folder / "whole");
    INFO(uninterrupted.err);
    REQUIRE(uninterrupted.code == 0);
    const auto expected = pictures_in(folder / "whole");
    REQUIRE(expected.size() == prompts);

    const fs::path cut = folder / "cut", journal = cut / "journal.jsonl";
    std::mt19937 random(20240607);
    std::size_t done = 0;
    for (int kill = 0; kill < kills; ++kill) {
        Process run(batch_arguments(file, cut.string(), {"--engine-batch", kill % 2 == 0 ? "1" : "4"}));
        // Some time after the first new picture, early enough to leave work for the kills to come.
        const std::size_t more = 1 + random() % 20;
        REQUIRE(run.wait_until([&] { return lines_in(journal) >= done + more; }));
        ::usleep(static_cast<useconds_t>(random() % 5000));
        run.signal(SIGKILL);
        REQUIRE(run.wait().code == 128 + SIGKILL);
        const std::size_t now = lines_in(journal);
        INFO("kill " << kill << ": " << done << " pictures before, " << now << " after");
        CHECK(now > done);
        CHECK(now < prompts);
        done = now;
    }
    const Outcome last = run_batch(file, cut.string());
    INFO(last.err);
    REQUIRE(last.code == 0);
    CHECK(last.err.find(std::to_string(done) + " were done already") != std::string::npos);
    check_whole(cut, expected);
}

TEST_CASE("batch: a disk that fills up in the middle ends the run with one line, and with room again it goes on") {
    const SmallDisk disk("600k");
    if (!disk.mounted()) {
        WARN("skipped: only root can mount a small disk");
        return;
    }
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(120));
    REQUIRE(run_batch(file, folder / "whole").code == 0);
    const fs::path out = disk.path() + "/out";
    const Outcome full = run_batch(file, out.string());
    INFO(full.err);
    CHECK(full.code == 3);
    CHECK(full.err.find("No space left on device") != std::string::npos);
    const std::size_t some = lines_in(out / "journal.jsonl");
    CHECK(some > 0);
    CHECK(some < 120);
    disk.remount("64m");
    const Outcome rest = run_batch(file, out.string());
    INFO(rest.err);
    CHECK(rest.code == 0);
    check_whole(out, pictures_in(folder / "whole"));
}

TEST_CASE("batch: a read-only folder is one line, and nothing is lost") {
    const SmallDisk disk("64m");
    if (!disk.mounted()) {
        WARN("skipped: only root can mount a small disk");
        return;
    }
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(20)),
                      first = write_file(folder / "first.jsonl", prompt_lines(5));
    REQUIRE(run_batch(file, folder / "whole").code == 0);
    const std::string out = disk.path() + "/out";
    REQUIRE(run_batch(first, out).code == 0);
    disk.remount("64m", MS_RDONLY);
    const Outcome refused = run_batch(file, out);
    INFO(refused.err);
    CHECK(refused.code == 3);
    CHECK(refused.err.find("Read-only file system") != std::string::npos);
    CHECK(lines_in(fs::path(out) / "journal.jsonl") == 5);
    CHECK(run_t2i({"batch", "--verify", "-o", out}).code == 0);
    disk.remount("64m");
    REQUIRE(run_batch(file, out).code == 0);
    check_whole(out, pictures_in(folder / "whole"));
}

TEST_CASE("batch: a journal whose last line is cut short is told, and that picture made again") {
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(12));
    const fs::path out = folder / "out";
    REQUIRE(run_batch(file, out.string()).code == 0);
    const auto expected = pictures_in(out);
    fs::resize_file(out / "journal.jsonl", fs::file_size(out / "journal.jsonl") - 9);
    const Outcome again = run_batch(file, out.string());
    INFO(again.err);
    CHECK(again.code == 0);
    CHECK(again.err.find("its last line is cut short") != std::string::npos);
    CHECK(again.err.find("1 picture made") != std::string::npos);
    CHECK(again.err.find("11 were done already") != std::string::npos);
    check_whole(out, expected);
}

TEST_CASE("batch: of two processes on one folder the second stops with a clear line") {
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(60));
    const fs::path out = folder / "out";
    Process first(batch_arguments(file, out.string()));
    REQUIRE(first.wait_until([&] { return lines_in(out / "journal.jsonl") > 0; }));
    const Outcome second = run_batch(file, out.string());
    CHECK(second.code == 3);
    CHECK(second.err.find("another t2i batch is at work in this folder (process ") != std::string::npos);
    CHECK(run_t2i({"batch", "--verify", "-o", out.string()}).code == 3);
    CHECK(first.wait().code == 0);
    CHECK(pictures_in(out).size() == 60);
    CHECK(leftovers_in(out).empty());
}

TEST_CASE("batch: two processes started together on one folder: one makes all, the other is refused") {
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(30)), out = folder / "out";
    Process a(batch_arguments(file, out)), b(batch_arguments(file, out));
    const Outcome first = a.wait(), second = b.wait();
    INFO(first.err << second.err);
    const bool a_worked = first.code == 0, b_worked = second.code == 0;
    CHECK((a_worked || b_worked));
    // Both may work, one after the other; then the later one found everything done.
    if (!a_worked) CHECK(first.code == 3);
    if (!b_worked) CHECK(second.code == 3);
    CHECK(pictures_in(out).size() == 30);
    CHECK(lines_in(fs::path(out) / "journal.jsonl") == 30);
}

TEST_CASE("batch: a lost file, a damaged one, and a changed request where that is wanted are made again, and said") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    const auto request = [](const char* id, const char* prompt) {
        return std::string(R"({"id": ")") + id + R"(", "prompt": ")" + prompt + "\"}\n";
    };
    const std::string rest = request("b", "a pear") + request("c", "a plum") + request("d", "a fig");
    const std::string before = write_file(folder / "before.jsonl", request("a", "an apple") + rest);
    const std::string after = write_file(folder / "after.jsonl", request("a", "an orange") + rest);
    REQUIRE(run_batch(before, out.string()).code == 0);
    const auto old = pictures_in(out);
    fs::remove(out / "b.png");
    std::string damaged = old.at("c.png");
    damaged[damaged.size() / 2] ^= 1;  // of the same size
    write_file((out / "c.png").string(), damaged);
    const Outcome verify = run_t2i({"batch", "--verify", "-o", out.string()});
    CHECK(verify.code == 3);
    CHECK(verify.out.find("b.png: missing") != std::string::npos);
    CHECK(verify.out.find("c.png: damaged") != std::string::npos);

    const Outcome again = run_batch(after, out.string(), {"--remake"});
    INFO(again.err);
    CHECK(again.code == 0);
    CHECK(again.err.find("3 pictures made") != std::string::npos);
    CHECK(again.err.find("1 made again because its request changed") != std::string::npos);
    CHECK(again.err.find("2 made again because their file was gone or damaged") != std::string::npos);
    auto now = pictures_in(out);
    CHECK((now.at("a.png") != old.at("a.png")));
    now["a.png"] = old.at("a.png");
    CHECK((now == old));
    check_whole(out, pictures_in(out));
}

TEST_CASE("batch: an interrupt finishes what is in flight and exits with 130, and the rest comes later") {
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(300));
    const fs::path out = folder / "out";
    const int number = GENERATE(SIGINT, SIGTERM);
    Process run(batch_arguments(file, out.string()));
    REQUIRE(run.wait_until([&] { return lines_in(out / "journal.jsonl") > 2; }));
    run.signal(number);
    const Outcome stopped = run.wait();
    INFO(stopped.err);
    CHECK(stopped.code == 130);
    const std::size_t made = lines_in(out / "journal.jsonl");
    CHECK(made < 300);
    check_whole(out, pictures_in(out));
    CHECK(pictures_in(out).size() == made);
}

TEST_CASE("batch: a second signal ends the run at once") {
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.txt", "a cat\n"), out = folder / "out";
    std::vector<std::string> arguments = batch_arguments(file, out);
    arguments.back() = "1000";  // steps
    arguments.insert(arguments.end(), {"-W", "512", "-H", "512"});
    Process run(arguments);
    REQUIRE(run.wait_until([&] { return run.standard_error().find('\n') != std::string::npos; }));
    ::usleep(100'000);  // a step of many has begun; what is in flight takes minutes
    run.signal(SIGINT);
    ::usleep(50'000);
    run.signal(SIGINT);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(run.wait().code == 130);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    CHECK(pictures_in(out).empty());
}

// Slow, so by hand: test_e2e "[.slow]"
TEST_CASE("batch: memory is flat from picture 200 to picture 2,000", "[.slow]") {
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(2200));
    const fs::path out = folder / "out";
    Process run(batch_arguments(file, out.string(), {"--engine-batch", "4"}));
    REQUIRE(run.wait_until([&] { return lines_in(out / "journal.jsonl") >= 200; }));
    const std::size_t early = run.resident_kib();
    REQUIRE(run.wait_until([&] { return lines_in(out / "journal.jsonl") >= 2000; }));
    const std::size_t late = run.resident_kib();
    WARN("resident: " << early << " KiB at picture 200, " << late << " KiB at picture 2,000");
    CHECK(early > 0);
    CHECK(static_cast<double>(late) < static_cast<double>(early) * 1.05);
    CHECK(run.wait().code == 0);
}

}  // namespace
}  // namespace t2i::test
