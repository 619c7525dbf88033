// t2i doctor says what there is and what is missing, and fails only for what was asked for.
#include <algorithm>

#include "support/catch.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// An environment in which no GPU is seen, whatever the machine has.
const std::vector<std::string> no_gpu{"CUDA_VISIBLE_DEVICES="};

}  // namespace

TEST_CASE("doctor describes the machine") {
    const Outcome run = run_t2i({"doctor"});
    INFO(run.out << run.err);
    CHECK(run.code == 0);
    CHECK(run.err.empty());
    for (const char* line : {"program ", "processor ", "model ", "CUDA module ", "auto "}) CHECK(has(run.out, line));
    CHECK(has(run.out, "CPU, "));
    if (has(run.out, "CUDA module  none")) CHECK(has(run.out, "advice       the CUDA module"));
    else
        for (const char* line : {"driver ", "GPU", "cuBLASLt ", "cuDNN ", "holds "}) CHECK(has(run.out, line));
}

TEST_CASE("doctor without a GPU: the CPU is what auto means, and cuda is an error of one line") {
    const Outcome described = run_t2i({"doctor", "--device", "cpu"}, no_gpu);
    CHECK(described.code == 0);
    CHECK(has(described.out, "auto         runs on cpu; not on cuda: "));

    for (const char* device : {"cuda", "cuda:7"}) {
        const Outcome asked = run_t2i({"doctor", "--device", device}, no_gpu);
        INFO(asked.err);
        CHECK(asked.code == 4);
        CHECK(has(asked.out, "auto         runs on cpu"));  // the description is there all the same
        CHECK(asked.err.starts_with(std::string("t2i: error: --device ") + device + ": "));
        CHECK(std::count(asked.err.begin(), asked.err.end(), '\n') == 1);
    }
}

TEST_CASE("doctor refuses what it does not know") {
    CHECK(run_t2i({"doctor", "--device", "tpu"}).code == 2);
    CHECK(run_t2i({"doctor", "--device", "cuda:x"}).code == 2);
    CHECK(run_t2i({"doctor", "--devise", "cuda"}).code == 2);
    CHECK(run_t2i({"doctor", "picture"}).code == 2);
}

}  // namespace t2i::test
