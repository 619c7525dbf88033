// Which class a prompt names, and what is said when none.
#include "text/class_names.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

// Of ImageNet, as id2label has them.
const std::vector<ClassLabel> labels{{0, "tench, Tinca tinca"},
                                     {134, "crane"},
                                     {207, "golden retriever"},
                                     {208, "Labrador retriever"},
                                     {264, "Cardigan, Cardigan Welsh corgi"},
                                     {474, "cardigan"},
                                     {517, "crane"}};

}  // namespace

TEST_CASE("classes: names, synonyms, whole entries, numbers, nothing") {
    const ClassNames names(labels, 1000);
    const std::vector<std::pair<const char*, int>> expected{{"golden retriever", 207},
                                                            {"  GOLDEN Retriever\t", 207},
                                                            {"Tinca tinca", 0},
                                                            {"tinca TINCA", 0},
                                                            {"tench, tinca tinca", 0},
                                                            {"tench", 0},
                                                            {"Cardigan", 264},
                                                            {"cardigan", 474},
                                                            {"CARDIGAN", 474},
                                                            {"crane", 517},
                                                            {"207", 207},
                                                            {"0", 0},
                                                            {"999", 999},
                                                            {"1000", 1000},
                                                            {"", 1000},
                                                            {"   ", 1000}};
    for (const auto& [prompt, id] : expected) {
        INFO(prompt);
        CHECK(names.find(prompt, Field{"prompt"}) == id);
    }
}

TEST_CASE("classes: a name stands before a number") {
    const ClassNames digits(std::vector<ClassLabel>{{0, "1"}, {1, "7"}}, 10);
    CHECK(digits.find("7", Field{"prompt"}) == 1);
    CHECK(digits.find("2", Field{"prompt"}) == 2);
}

TEST_CASE("classes: what is unknown is said with the nearest names") {
    const ClassNames names(labels, 1000);
    const auto said = [&](const ClassNames& n, const char* prompt) {
        return message_of(ErrorCode::invalid_argument, [&] { (void)n.find(prompt, Field{"prompt"}); });
    };
    CHECK(said(names, "golden retreiver") == "prompt: no class \"golden retreiver\"; nearest: \"golden retriever\"");
    CHECK(said(names, "Retriever") == "prompt: no class \"Retriever\"; nearest: \"golden retriever\", \"labrador retriever\"");
    CHECK(said(names, "spaceship") == "prompt: no class \"spaceship\"; no name is like it, a number in [0, 1000] works too");
    CHECK(said(names, "1001") == "prompt: class 1001 is out of range [0, 1000]");
    CHECK(said(names, "-1") == "prompt: class -1 is out of range [0, 1000]");
    CHECK(said(names, "99999999999999999999") == "prompt: class 99999999999999999999 is out of range [0, 1000]");
    const ClassNames unnamed({}, 10);
    CHECK(said(unnamed, "cat") == "prompt: no class \"cat\"; this model's classes have no names, give a number in [0, 10]");
}

}  // namespace t2i::test
