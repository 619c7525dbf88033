// File systems that lack something, and names that they do not take: told, and the rest is made.
#include <sys/stat.h>

#include <csignal>

#include "e2e/batch_process.h"
#include "e2e/file_systems.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/faults.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

// An id for each name, of different prompts.
std::string lines_with_ids(const std::vector<std::string>& ids) {
    std::string lines;
    for (const auto& id : ids)
        lines += R"({"prompt": "a picture of )" + std::to_string(lines.size()) + R"(", "id": ")" + id + "\"}\n";
    return lines;
}

std::vector<std::string> names_of(const std::map<std::string, std::string>& pictures) {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : pictures) names.push_back(name);
    return names;
}

Outcome draw(const std::string& output, const std::vector<std::string>& environment = {}) {
    return Process({"-m", tiny_model().string(), "-p", "a cat", "--steps", "1", "-o", output},
                   {.environment = environment, .in_child = [] { ::umask(022); }})
        .wait();
}

struct LackCase {
    std::string fault, told;
};

}  // namespace

TEST_CASE("file systems: one without locks, syncing or permissions gets one warning, and all pictures") {
    const auto lack =
        GENERATE(values<LackCase>({{"flock=ENOSYS", "knows no locks"},
                                   {"flock=ENOLCK", "knows no locks"},
                                   {"flock=EOPNOTSUPP", "knows no locks"},
                                   {"flock=EINVAL", "knows no locks"},
                                   {"fsync_folder=EINVAL", "cannot sync folders"},
                                   {"fsync_folder=ENOSYS", "cannot sync folders"},
                                   {"fsync_folder=EOPNOTSUPP", "cannot sync folders"},
                                   {"fsync=EINVAL", "cannot sync files"},
                                   {"fdatasync=ENOSYS", "cannot sync files"},
                                   {"flock=ENOLCK;fsync_folder=EINVAL;fsync=EINVAL;fdatasync=EINVAL", "cannot sync folders"}}));
    INFO(lack.fault);
    const Faults faults(lack.fault);
    const TempFolder folder;
    const fs::path out = folder / "out";
    const Outcome run = run_batch(write_file(folder / "p.jsonl", prompt_lines(6)), out.string(), {}, faults.environment());
    INFO(run.err);
    CHECK(run.code == 0);
    CHECK(faults.count() > 0);
    CHECK(pictures_in(out).size() == 6);
    CHECK(leftovers_in(out).empty());
    CHECK(lines_in(out / "journal.jsonl") == 6);
    CHECK(count(run.err, "its file system ") <= 2);  // what is met only in the course of a run gets a line of its own
    if (lack.fault.find(';') == std::string::npos) CHECK(count(run.err, "warning") == 1);
    CHECK(run.err.find("t2i: warning: " + out.string()) != std::string::npos);
    CHECK(run.err.find(lack.told) != std::string::npos);

    const Faults again(lack.fault);
    const Outcome verify = run_t2i({"batch", "--verify", "-o", out.string()}, again.environment());
    CHECK(verify.code == 0);
    CHECK(verify.out == "6 good, 0 missing or damaged, 0 unknown, 0 failed\n");
    const Outcome merge = run_t2i({"batch", "--merge", "-o", out.string()}, again.environment());
    INFO(merge.err);
    CHECK(merge.code == 0);
    CHECK(leftovers_in(out).empty());
}

TEST_CASE("file systems: a failure is not taken for something that is missing") {
    const std::string fault = GENERATE("flock=EIO", "fsync_folder=EIO", "fsync=EIO", "fdatasync=EIO", "fsync=ENOSPC");
    INFO(fault);
    const Faults faults(fault);
    const TempFolder folder;
    const Outcome run = run_batch(write_file(folder / "p.jsonl", prompt_lines(3)), folder / "out", {}, faults.environment());
    INFO(run.err);
    CHECK(run.code == 3);
    CHECK(faults.count() > 0);
}

TEST_CASE("file systems: a file whose permissions cannot be kept is written, and nobody may read it who could not before") {
    const std::string error = GENERATE("EPERM", "ENOSYS", "EOPNOTSUPP");
    const Faults faults("fchmod=" + error);
    const TempFolder folder;
    CHECK(draw(folder / "new.png", faults.environment()).code == 0);
    const std::string path = write_file(folder / "old.png", "old");
    REQUIRE(::chmod(path.c_str(), 0666) == 0);  // more than the umask leaves
    const Outcome run = draw(path, faults.environment());
    INFO(error << ": " << run.err);
    CHECK(run.code == 0);
    CHECK(faults.count() == 1);
    CHECK((file_text(path) == file_text(folder / "new.png")));
    CHECK(fs::exists(path));
    CHECK(leftovers_in(folder.path()).empty());
}

TEST_CASE("file systems: a name that is refused fails its line, the rest is made, and a later run tries it again") {
    const std::string error = GENERATE("EXDEV", "ENAMETOOLONG", "EINVAL", "EILSEQ", "EPERM");
    const Faults faults("rename=" + error + "/p3.png");
    const TempFolder folder;
    const fs::path out = folder / "out";
    const std::string file = write_file(folder / "p.jsonl", prompt_lines(6));
    const Outcome run = run_batch(file, out.string(), {}, faults.environment());
    INFO(error << ": " << run.err);
    CHECK(run.code == 5);
    // EINVAL may also mean that a file system cannot rename without replacing: then it is asked again.
    CHECK(faults.count() == (error == "EINVAL" ? 2 : 1));
    CHECK(run.err.find("t2i: line 4: ") != std::string::npos);
    CHECK(run.err.find("p3.png") != std::string::npos);
    CHECK(pictures_in(out).size() == 5);
    CHECK(lines_in(out / "failed.jsonl") == 1);
    CHECK(lines_in(out / "journal.jsonl") == 5);
    CHECK(leftovers_in(out).empty());
    CHECK(run_batch(file, out.string()).code == 0);
    CHECK(pictures_in(out).size() == 6);
}

TEST_CASE("file systems: a disk that is full or broken ends the run, however it comes") {
    const std::string error = GENERATE("ENOSPC", "EIO");
    const Faults faults("rename=" + error + "/p3.png");
    const TempFolder folder;
    const Outcome run = run_batch(write_file(folder / "p.jsonl", prompt_lines(6)), folder / "out", {}, faults.environment());
    INFO(run.err);
    CHECK(run.code == 3);
    CHECK(faults.count() == 1);
}

TEST_CASE("file systems: a folder in a picture's place fails that line alone, and two lines get no common name") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    fs::create_directories(out / "p1.png");
    const Outcome run = run_batch(write_file(folder / "p.jsonl", prompt_lines(3)), out.string());
    INFO(run.err);
    CHECK(run.code == 5);
    CHECK(run.err.find("p1.png is there and is no file, and is left as it is") != std::string::npos);
    CHECK(fs::is_directory(out / "p1.png"));
    CHECK(fs::exists(out / "p0.png"));
    CHECK(fs::exists(out / "p2.png"));

    const std::string twins = write_file(folder / "twins.jsonl", R"({"prompt": "a cat", "id": "a1", "seed": 2})"
                                                                 "\n"
                                                                 R"({"prompt": "a dog", "id": "a", "seed": 12})"
                                                                 "\n");
    const Outcome second = run_batch(twins, folder / "twins", {"--name", "{id}{seed}"});
    INFO(second.err);
    CHECK(second.code == 5);
    CHECK(second.err.find("t2i: line 2: its file's name is that of an earlier line's: \"a12.png\"") != std::string::npos);
    CHECK(names_of(pictures_in(folder / "twins")) == std::vector<std::string>{"a12.png"});
}

TEST_CASE("file systems: a batch over vfat, exFAT and encfs is made, killed, resumed and verified") {
    const std::string kind = GENERATE("vfat", "exfat", "encfs");
    const OtherFileSystem disk(kind);
    if (!disk.missing().empty()) {
        WARN("skipped on " << kind << ": " << disk.missing());
        return;
    }
    INFO(kind);
    const TempFolder folder;
    const std::string file = write_file(folder / "p.jsonl", prompt_lines(40));
    const fs::path out = disk.path() + "/out";
    REQUIRE(run_batch(file, folder / "whole").code == 0);
    if (kind != "vfat") {  // whose driver cannot append to a file that it opens again, as a restart does
        Process killed(batch_arguments(file, out.string()));
        REQUIRE(killed.wait_until([&] { return lines_in(out / "journal.jsonl") >= 5; }));
        killed.signal(SIGKILL);
        REQUIRE(killed.wait().code == 128 + SIGKILL);
    }
    const Outcome run = run_batch(file, out.string());
    INFO(run.err);
    CHECK(run.code == 0);
    CHECK(count(run.err, "warning") <= 1);
    CHECK((pictures_in(out) == pictures_in(folder / "whole")));
    CHECK(leftovers_in(out).empty());
    const Outcome verify = run_t2i({"batch", "--verify", "-o", out.string()});
    INFO(verify.out << verify.err);
    CHECK(verify.code == 0);
    CHECK(draw(disk.path() + "/a.png").code == 0);
    CHECK(draw(disk.path() + "/a.png").code == 0);  // in place of the first
    CHECK(run_batch(file, disk.path() + "/tar", {"--format", "webdataset"}).code == 0);
}

TEST_CASE("file systems: names that vfat, exFAT and encfs do not take or tell apart fail their lines alone") {
    const std::string kind = GENERATE("vfat", "exfat", "encfs");
    const OtherFileSystem disk(kind);
    if (!disk.missing().empty()) {
        WARN("skipped on " << kind << ": " << disk.missing());
        return;
    }
    INFO(kind);
    const bool folds = kind != "encfs";
    // encfs takes some 170 bytes of a name, the others no colon.
    const std::string refused = folds ? "a:b" : std::string(200, 'n');
    const TempFolder folder;
    const std::string out = disk.path() + "/out";
    const Outcome run = run_batch(write_file(folder / "p.jsonl", lines_with_ids({"first", "Cat", "cat", refused, "last"})), out);
    INFO(run.err);
    CHECK(run.code == 5);
    CHECK(run.err.find("t2i: line 4: ") != std::string::npos);
    CHECK((run.err.find("t2i: line 3: id \"cat\" is another picture's but for its capitals") != std::string::npos) == folds);
    const std::vector<std::string> made = folds ? std::vector<std::string>{"Cat.png", "first.png", "last.png"}
                                                : std::vector<std::string>{"Cat.png", "cat.png", "first.png", "last.png"};
    CHECK(names_of(pictures_in(out)) == made);
    CHECK(leftovers_in(out).empty());
    // What an earlier run made is not lost to a later one either.
    const auto before = pictures_in(out);
    const Outcome later = run_batch(write_file(folder / "later.jsonl", lines_with_ids({"CAT"})), out);
    INFO(later.err);
    CHECK(later.code == (folds ? 5 : 0));
    CHECK((pictures_in(out).at("Cat.png") == before.at("Cat.png")));
}

}  // namespace t2i::test
