// A poor machine, and signals: whatever there is not enough of is one line, and nothing is left half done.
#include <sys/resource.h>

#include <csignal>

#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/faults.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> picture_arguments(const std::string& output) {
    return {"-m", tiny_model().string(), "-p", "a cat", "--steps", "1", "-t", "3", "-q", "-o", output};
}

// The one line of an error, and the code.
void check_one_line(const Outcome& run, int code, const std::string& named) {
    INFO(run.err);
    CHECK(run.code == code);
    CHECK(run.err.starts_with("t2i: error: "));
    CHECK(run.err.find('\n') == run.err.size() - 1);
    CHECK(run.err.find(named) != std::string::npos);
}

}  // namespace

TEST_CASE("limits: wherever the threads run out, that is one line, and what has begun ends in order") {
    // 3 of the pool are 2 beside the main one; the hash of the weights, the scheduler; then the writer, or a batch's committer,
    // two writers or more, and reader.
    const bool batch = GENERATE(false, true);
    const TempFolder folder;
    const std::string prompts = write_file(folder / "p.txt", "a cat\n");
    int refused = 0;
    for (int from = 1; from <= 20; ++from) {
        INFO((batch ? "batch" : "picture") << ", no thread from the " << from << ". on");
        const Faults faults("pthread_create=EAGAIN@" + std::to_string(from));
        const fs::path out = folder / ("out" + std::to_string(from));
        const Outcome run = batch ? run_batch(prompts, out.string(), {"-t", "3", "-q"}, faults.environment())
                                  : run_t2i(picture_arguments(out.string() + ".png"), faults.environment());
        if (run.code == 0) {
            CHECK(faults.count() == 0);
            break;
        }
        ++refused;
        check_one_line(run, 4, "no thread can be started: Resource temporarily unavailable");
        CHECK(faults.count() > 0);
        CHECK_FALSE(fs::exists(out.string() + ".png"));
        if (fs::exists(out)) CHECK(leftovers_in(out).empty());
    }
    CHECK(refused >= (batch ? 8 : 5));
    CHECK(refused < 20);
    const auto left = [&] {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(folder.path()))
            if (entry.path().filename().string().starts_with('.')) names.push_back(entry.path().string());
        return names;
    };
    CHECK(left().empty());
}

#if !defined(__SANITIZE_ADDRESS__)  // which takes terabytes of addresses for itself
TEST_CASE("limits: wherever the memory runs out, that is one line, and no file is left") {
    const TempFolder folder;
    const std::string prompts = write_file(folder / "p.txt", "a cat\n");
    int refused = 0, made = 0;
    for (rlim_t mib = 16; mib <= 4096 && made == 0; mib += mib < 256 ? 8 : mib) {
        const auto limit = [mib] {
            const rlimit bytes{mib << 20U, mib << 20U};
            ::setrlimit(RLIMIT_AS, &bytes);
        };
        if (Process({"--version"}, {.in_child = limit}).wait().code != 0) continue;  // not even the libraries
        INFO(mib << " MiB");
        const fs::path out = folder / std::to_string(mib);
        const Outcome picture = Process(picture_arguments(out.string() + ".png"), {.in_child = limit}).wait();
        if (picture.code != 0) check_one_line(picture, 4, "");
        CHECK(fs::exists(out.string() + ".png") == (picture.code == 0));
        const Outcome batch = Process(batch_arguments(prompts, out.string(), {"-q", "-t", "3"}), {.in_child = limit}).wait();
        if (batch.code == 5) CHECK(lines_in(out / "failed.jsonl") == 1);  // of that picture; the next one may fit
        else if (batch.code != 0) check_one_line(batch, 4, "");
        if (fs::exists(out)) CHECK(leftovers_in(out).empty());
        refused += picture.code != 0 || batch.code != 0;
        made += picture.code == 0 && batch.code == 0;
    }
    CHECK(refused > 0);
    CHECK(made == 1);
}
#endif

TEST_CASE("limits: a part that the cluster's variables ask for is told, quietly or not, and an array with gaps is refused") {
    const TempFolder folder;
    const std::string prompts = write_file(folder / "p.jsonl", prompt_lines(6));
    std::vector<std::string> array{"SLURM_ARRAY_TASK_ID=1", "SLURM_ARRAY_TASK_COUNT=4", "SLURM_ARRAY_TASK_MIN=0",
                                   "SLURM_ARRAY_TASK_MAX=3", "SLURM_ARRAY_TASK_STEP=1"};
    const std::string told =
        "shard 1/4 (SLURM_ARRAY_TASK_ID): this task makes its part alone; --shard 0/1 makes the whole file\n";
    const Outcome part = run_batch(prompts, folder / "part", {"-q"}, array);
    CHECK(part.code == 0);
    CHECK(part.err == told);
    CHECK(pictures_in(folder / "part").size() < 6);
    CHECK(run_batch(prompts, folder / "part", {}, array).err.starts_with(told));
    const Outcome as_json = run_batch(prompts, folder / "part", {"-q", "--log-format", "json"}, array);
    CHECK(as_json.err.starts_with("{\"event\":\"notice\","));
    CHECK(as_json.err.find("shard 1/4 (SLURM_ARRAY_TASK_ID)") != std::string::npos);
    const Outcome dry = run_batch(prompts, folder / "part", {"--dry-run"}, array);
    CHECK(dry.err.starts_with(told));
    const Outcome whole = run_batch(prompts, folder / "whole", {"-q", "--shard", "0/1"}, array);
    CHECK(whole.err.empty());
    CHECK(pictures_in(folder / "whole").size() == 6);

    // sbatch --array=3,7
    array = {"SLURM_ARRAY_TASK_ID=7", "SLURM_ARRAY_TASK_COUNT=2", "SLURM_ARRAY_TASK_MIN=3", "SLURM_ARRAY_TASK_MAX=7",
             "SLURM_ARRAY_TASK_STEP=1"};
    const Outcome gaps = run_batch(prompts, folder / "gaps", {"-q"}, array);
    check_one_line(gaps, 3, "SLURM_ARRAY_TASK_ID: the array from 3 to 7 has gaps (2 tasks)");
    CHECK(gaps.err.find("--shard I/N") != std::string::npos);
    CHECK_FALSE(fs::exists(folder / "gaps"));
}

TEST_CASE("limits: a file that may not grow is one line, and no piece of it is left") {
    const TempFolder folder;
    const std::string prompts = write_file(folder / "p.txt", "a cat\n");
    const auto limit = [] {
        const rlimit bytes{4096, 4096};
        ::setrlimit(RLIMIT_FSIZE, &bytes);
        std::signal(SIGXFSZ, SIG_DFL);
    };
    const fs::path pictures = folder / "pictures";
    fs::create_directory(pictures);
    check_one_line(Process(picture_arguments(pictures / "a.png"), {.in_child = limit}).wait(), 3, "File too large");
    CHECK(fs::is_empty(pictures));
    const std::string out = folder / "out";
    check_one_line(Process(batch_arguments(prompts, out, {"-q"}), {.in_child = limit}).wait(), 3, "File too large");
    CHECK(pictures_in(out).empty());
    CHECK(leftovers_in(out).empty());
}

TEST_CASE("limits: a signal that is ignored at the start stays ignored, as under nohup") {
    const int number = GENERATE(SIGINT, SIGTERM, SIGHUP);
    const TempFolder folder;
    const fs::path out = folder / "out";
    Process run(batch_arguments(write_file(folder / "p.jsonl", prompt_lines(40)), out.string()),
                {.in_child = [number] { std::signal(number, SIG_IGN); }});
    REQUIRE(run.wait_until([&] { return lines_in(out / "journal.jsonl") > 2; }));
    for (int i = 0; i < 3; ++i) run.signal(number);
    const Outcome outcome = run.wait();
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    CHECK(pictures_in(out).size() == 40);

    Process single({"-m", tiny_model().string(), "-p", "a cat", "--steps", "20", "-b", "4", "-o", folder / "a.png"},
                   {.in_child = [number] { std::signal(number, SIG_IGN); }});
    REQUIRE(single.wait_until([&] { return single.standard_error().find('\n') != std::string::npos; }));
    for (int i = 0; i < 3; ++i) single.signal(number);
    CHECK(single.wait().code == 0);
    CHECK(fs::exists(folder / "a_3.png"));
}

TEST_CASE("limits: a terminal that is closed stops a run as an interrupt does") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    Process run(batch_arguments(write_file(folder / "p.jsonl", prompt_lines(200)), out.string()),
                {.in_child = [] { std::signal(SIGHUP, SIG_DFL); }});
    REQUIRE(run.wait_until([&] { return lines_in(out / "journal.jsonl") > 2; }));
    run.signal(SIGHUP);
    CHECK(run.wait().code == 130);
    CHECK(pictures_in(out).size() == lines_in(out / "journal.jsonl"));
    CHECK(leftovers_in(out).empty());
}

}  // namespace t2i::test
