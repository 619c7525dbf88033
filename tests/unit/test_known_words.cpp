#include "support/catch.h"
#include "text/known_words.h"

namespace t2i::test {
namespace {

using Strings = std::vector<std::string>;

// As t2i.json of a small model has it.
LearntWords learnt() {
    return {.words = {"ale",   "apple", "cat",  "dog",  "elephant", "face",   "fox", "green",  "honeybee", "hot",
                      "maple", "panda", "芒果", "苹果", "红苹果",   "青苹果", "猫",  "大熊猫", "熊猫",     "企鹅"},
            .names = {"red apple", "green apple", "cat", "cat face", "hot dog", "maple leaf", "panda", "芒果", "红苹果", "青苹果",
                      "猫", "大熊猫", "熊猫", "企鹅"},
            .phrases = {"a", "an", "background", "on", "noto", "the", "to the left of", "一只", "背景上的", "蓝色", "的"},
            .keywords = {{"kitten", {"cat", "cat face"}}, {"ice cream", {"soft ice cream"}}, {"小猫", {"猫"}}}};
}

// "aple" → {"aple: apple, maple, ale"}.
Strings unknown(const char* prompt) {
    Strings all;
    for (const UnknownWord& word : unknown_words(prompt, learnt())) {
        std::string line = word.word + ":";
        for (std::size_t i = 0; i < word.nearest.size(); ++i) line += (i == 0 ? " " : ", ") + word.nearest[i];
        all.push_back(line);
    }
    return all;
}

}  // namespace

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

TEST_CASE("a word that was not learnt is told with what is spelt like it, the commoner and the likelier slip first") {
    CHECK(unknown("aple") == Strings{"aple: apple, maple, ale"});  // the doubled letter, then by how many names have it
    CHECK(unknown("an appel") == Strings{"appel: apple"});
    CHECK(unknown("the dgo to the left of a catt") == Strings{"dgo: dog", "catt: cat"});
    CHECK(unknown("elefant on a background") == Strings{"elefant: elephant"});
    CHECK(unknown("aple, aple") == Strings{"aple: apple, maple, ale"});
    CHECK(unknown("medieval castle") == Strings{"medieval:", "castle:"});
}

TEST_CASE("a keyword that was not learnt is told with the names it stands for, also when it is misspelt or a plural") {
    CHECK(unknown("kitten") == Strings{"kitten: cat, cat face"});
    CHECK(unknown("kittens on a noto background") == Strings{"kittens: cat, cat face"});
    CHECK(unknown("a kiten") == Strings{"kiten: cat, cat face"});
    CHECK(unknown("ice-cream") == Strings{"ice cream: soft ice cream"});
    CHECK(unknown("蓝色背景上的小猫") == Strings{"小猫: 猫"});
}

TEST_CASE("Chinese is cut at the longest words known, and what is left over is compared as a whole or in parts") {
    CHECK(unknown("平果") == Strings{"平果: 苹果, 芒果"});
    CHECK(unknown("一只平果") == Strings{"平果: 苹果, 芒果"});
    CHECK(unknown("吃平果") == Strings{"平果: 苹果, 芒果"});
    CHECK(unknown("蓝色背景上的大雄猫") == Strings{"大雄猫: 大熊猫"});
    CHECK(unknown("一只雄猫的") == Strings{"雄猫: 熊猫, 猫"});  // the second through 小猫
    CHECK(unknown("一只大熊猫") == Strings{});
    CHECK(unknown("城堡") == Strings{"城堡:"});
    CHECK(unknown("企鹅cat平果") == Strings{"平果: 苹果, 芒果"});
}

TEST_CASE("known words, plurals, numbers and short words are no unknown ones, nor is any where nothing is known of the model") {
    for (const char* prompt : {"", "a cat", "2 cats", "foxes, noto", "hot dog", "Ω, ! -", "my cat", "3 1024", "cat-face"}) {
        INFO(prompt);
        CHECK(unknown(prompt) == Strings{});
    }
    CHECK(unknown_words("anything", {}).empty());
    CHECK(unknown(std::string(400, 'x').c_str()).size() == 1);
    std::string long_chinese;
    for (int i = 0; i < 400; ++i) long_chinese += "城";
    CHECK(unknown(long_chinese.c_str()) == Strings{long_chinese + ":"});
}

}  // namespace t2i::test
