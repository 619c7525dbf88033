#include <catch2/catch.hpp>

#include "text/known_words.h"

namespace t2i::test {

TEST_CASE("a prompt has a known word only as a word of its own, or anywhere in Chinese") {
    const std::vector<std::string> words = {"cat", "hot dog", "fox", "红苹果"};
    for (const char* prompt :
         {"cat", "a cat!", "two cats", "foxes", "hot dog, noto style", "the hot dogs", "一个红苹果", "cat红"}) {
        INFO(prompt);
        CHECK(has_known_word(prompt, words));
    }
    for (const char* prompt : {"", "castle", "concat", "hot", "catsup", "cat2", "苹果", "dog hot"}) {
        INFO(prompt);
        CHECK_FALSE(has_known_word(prompt, words));
    }
    CHECK(has_known_word("anything", {}));
    CHECK_FALSE(has_known_word("anything", {""}));
}

}  // namespace t2i::test
