// Numbers on the command line and in prompt files: decimal, in range, exact.
#include <fstream>

#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

TEST_CASE("numbers: a seed has 64 bits on the command line and in prompt files, and a leading zero says nothing") {
    const TempFolder folder;
    const std::string out = folder / "a.png";
    struct Row {
        const char *written, *meant;
    };
    for (const Row& row :
         {Row{"9223372036854775807", "9223372036854775807"}, Row{"9223372036854775808", "9223372036854775808"},
          Row{"18446744073709551615", "18446744073709551615"}, Row{"010", "10"}, Row{"0123", "123"}, Row{"08", "8"}}) {
        const Outcome run =
            run_t2i({"-m", tiny_model().string(), "-q", "-p", "a", "--steps", "01", "-s", row.written, "-o", out});
        INFO(row.written << run.err);
        REQUIRE(run.code == 0);
        const std::string parameters = run_t2i({"inspect", out}).out;
        CHECK(parameters.find("Seed: " + std::string(row.meant) + ",") != std::string::npos);
        CHECK(parameters.find("Steps: 1,") != std::string::npos);
    }
    const Outcome ten =
        run_t2i({"-m", tiny_model().string(), "-q", "-p", "a", "--steps", "1", "-b", "010", "-o", folder / "b.png"});
    CHECK(std::count(ten.out.begin(), ten.out.end(), '\n') == 10);
    const std::string file =
        write_file(folder / "p.jsonl",
                   "{\"prompt\":\"a\",\"seed\":18446744073709551615}\n{\"prompt\":\"b\",\"seed\":\"9223372036854775808\"}\n");
    REQUIRE(run_batch(file, folder / "out").code == 0);
    const std::string manifest = file_text(folder / "out/manifest.jsonl");
    CHECK(manifest.find("\"seed\":18446744073709551615,") != std::string::npos);
    CHECK(manifest.find("\"seed\":9223372036854775808,") != std::string::npos);
    REQUIRE(run_batch(write_file(folder / "p.txt", "a\n"), folder / "run", {"--seed", "18446744073709551615"}).code == 0);
    CHECK(file_text(folder / "run/manifest.jsonl").find("\"seed\":18446744073709551615,") != std::string::npos);
}

TEST_CASE("numbers: a negative seed of any size asks for one") {
    const TempFolder folder;
    const Outcome run =
        run_t2i({"-m", tiny_model().string(), "-p", "a", "--steps", "1", "-s", "-99999999999999999999", "-o", folder / "a.png"});
    CHECK(run.code == 0);
    CHECK(run.err.find("seed ") != std::string::npos);
}

TEST_CASE("numbers: what is out of range is told by flag and range, before memory is taken") {
    const TempFolder folder;
    struct Bad {
        std::vector<std::string> flags;
        const char* named;
    };
    for (const Bad& bad : {
             Bad{{"-s", "18446744073709551616"}, "--seed: 18446744073709551616 is out of range [0, 18446744073709551615]"},
             Bad{{"-s", "0x10"}, "--seed: \"0x10\" is not a whole number"},
             Bad{{"-s", "1.5"}, "--seed: \"1.5\" is not a whole number"},
             Bad{{"--steps", "99999999999"}, "--steps: 99999999999 is out of range [1, 1000]"},
             Bad{{"--steps", "99999999999999999999999"}, "--steps: 99999999999999999999999 is out of range [1, 1000]"},
             Bad{{"--steps", ""}, "--steps: \"\" is not a whole number"},
             Bad{{"-b", "2000000000"}, "--batch-count: 2000000000 is out of range [1, 100000]"},
             Bad{{"-b", "-1"}, "--batch-count: -1 is out of range [1, 100000]"},
             Bad{{"-W", "4294967360"}, "--width: 4294967360 is out of range [1, 4096]"},
             Bad{{"-H", "1000000"}, "--height: 1000000 is out of range [1, 4096]"},
             Bad{{"-t", "010x"}, "--threads: \"010x\" is not a whole number"},
             Bad{{"-t", "18446744073709551617"}, "--threads: 18446744073709551617 is out of range [1, 1024]"},
             Bad{{"--engine-batch", "0"}, "--engine-batch: 0 is out of range [1, 4096]"},
             Bad{{"--cfg-scale", "0x4"}, "--cfg-scale: \"0x4\" is not a number"},
             Bad{{"--cfg-scale", "4,5"}, "--cfg-scale: \"4,5\" is not a number"},
         }) {
        std::vector<std::string> arguments{"-m", tiny_model().string(), "-p", "a", "-o", folder / "a.png"};
        arguments.insert(arguments.end(), bad.flags.begin(), bad.flags.end());
        const Outcome run = run_t2i(arguments);
        INFO(bad.flags[0] << " " << bad.flags[1] << ": " << run.err);
        CHECK(run.code == 2);
        CHECK(run.err.starts_with("t2i: error: " + std::string(bad.named)));
        CHECK(!fs::exists(folder / "a.png"));
    }
    const std::string file = write_file(folder / "p.txt", "a\n");
    for (const auto& flags : std::vector<std::vector<std::string>>{
             {"--seed", "99999999999999999999"}, {"--tar-samples", "0"}, {"--engine-batch", "09x"}, {"-W", "0"}})
        CHECK(run_batch(file, folder / "out", flags).code == 2);
    CHECK(!fs::exists(folder / "out"));
    CHECK(run_t2i({"verify", "--tolerance", "256", "x.png"}).err.find("--tolerance: 256 is out of range [0, 255]") !=
          std::string::npos);
    CHECK(run_t2i({"bench", "--runs", "0"}).err.find("--runs: 0 is out of range [1, 10000]") != std::string::npos);
}

}  // namespace
}  // namespace t2i::test
