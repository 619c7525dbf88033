// `t2i batch` under a real Slurm and a real mpirun. They start daemons, so they run only with T2I_TEST_CLUSTER=1.
#include <sys/wait.h>

#include <cstdlib>

#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/place.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

constexpr int prompts = 300;

// Runs tests/cluster/<script>, which ends with a merge and a verification, and compares with one process's pictures.
void check_cluster(const std::string& script) {
    const char* wanted = std::getenv("T2I_TEST_CLUSTER");
    if (!wanted || std::string(wanted) != "1") {
        WARN("skipped: set T2I_TEST_CLUSTER=1 (starts daemons; packages: scripts/packages-cluster.txt)");
        return;
    }
    const TempFolder folder;
    const std::string file = write_file(folder / "prompts.jsonl", prompt_lines(prompts));
    // Slow enough that a task can be killed in the middle.
    const std::vector<std::string> flags{"-m", tiny_model().string(), "--steps", "12", "-t", "1"};
    std::vector<std::string> single{"batch", file, "-o", folder / "whole"};
    single.insert(single.end(), flags.begin(), flags.end());
    REQUIRE(run_t2i(single).code == 0);

    const fs::path out = folder / "out", log = folder / "log";
    std::string command = "bash '" + (source_folder() / "tests/cluster" / script).string() + "' '" + source_folder().string() +
                          "' '" + program().string() + "' '" + out.string() + "' '" + file + "'";
    for (const auto& flag : flags) command += " '" + flag + "'";
    const int status = std::system((command + " >'" + log.string() + "' 2>&1").c_str());
    INFO(file_text(log.string()));
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    CHECK((pictures_in(out) == pictures_in(folder / "whole")));
    CHECK(lines_in(out / "journal.jsonl") == prompts);
    CHECK(lines_in(out / "manifest.jsonl") == prompts);
    CHECK(leftovers_in(out).empty());
}

TEST_CASE("batch on Slurm: a killed task of an array is requeued, and every picture is there once") {
    check_cluster("slurm.sh");
}

TEST_CASE("batch on Open MPI: a killed rank ends the run, the same line goes on, and every picture is there once") {
    check_cluster("mpi.sh");
}

}  // namespace
}  // namespace t2i::test
