// Which format a file has, how it is packed and encoded, JSON arrays and pasted infotexts.
#include <iconv.h>
#include <zlib.h>

#include <array>
#include <string>
#include <vector>

#include "expect_error.h"
#include "prompt_entries.h"
#include "support/catch.h"

namespace t2i::batch {
namespace {

using test::entries_of;
using namespace std::string_view_literals;

// The prompts of a file without a format that was said; "!" and the problem of a bad line.
std::vector<std::string> prompts_of(std::string_view text, const std::string& name, const PromptOptions& options = {}) {
    std::vector<std::string> prompts;
    for (const auto& entry : entries_of(text, options, name))
        prompts.push_back(entry.request ? entry.request->request.prompt : "!" + entry.problem);
    return prompts;
}

using Prompts = std::vector<std::string>;
const Prompts cat_and_dog{"a cat", "a dog"};

TEST_CASE("prompt formats: the name in any case, and the content where the name says nothing") {
    const char* lines = "{\"prompt\": \"a cat\"}\n{\"prompt\": \"a dog\"}\n";
    const char* array = "[\n  {\"prompt\": \"a cat\", \"seed\": 1},\n  {\"prompt\": \"a dog\"}\n]\n";
    const char* table = "prompt,seed\na cat,1\na dog,2\n";
    const char* tabs = "prompt\tseed\na cat\t1\na dog\t2\n";
    for (const char* name : {"a.jsonl", "a.JSONL", "a.ndjson", "latest", "standard input", "a.prompts", "a.json"})
        CHECK(prompts_of(lines, name) == cat_and_dog);
    for (const char* name : {"a.json", "a.JSON", "latest", "a.jsonl"}) CHECK(prompts_of(array, name) == cat_and_dog);
    for (const char* name : {"a.csv", "a.CSV", "latest", "x/a.Csv.GZ"}) CHECK(prompts_of(table, name) == cat_and_dog);
    for (const char* name : {"a.tsv", "a.csv", "latest", "a.tab"}) CHECK(prompts_of(tabs, name) == cat_and_dog);
    for (const char* name : {"a.txt", "A.TXT", "latest"}) CHECK(prompts_of("a cat\na dog\n", name) == cat_and_dog);
    CHECK(prompts_of("[\"a cat\", \"a dog\"]", "latest") == cat_and_dog);
    CHECK(prompts_of("{\n \"prompt\": \"a cat\"\n}\n{\n \"prompt\":\n \"a dog\"}\n", "latest") == cat_and_dog);
    // A broken first line is one bad line.
    for (const char* name : {"a.jsonl", "latest"})
        CHECK(prompts_of("{\"prompt\": \"a cat\"\n{\"prompt\": \"a dog\"}\n", name).back() == "a dog");
    CHECK(prompts_of("caption\ta\na cat\tx\na dog\ty\n", "latest", {.format = {}, .encoding = {}, .prompt_column = "caption"}) ==
          cat_and_dog);
}

TEST_CASE("prompt formats: one format in the clothes of another is an error that names them") {
    struct Bad {
        const char *name, *text, *named;
    };
    for (const Bad& bad : {
             Bad{"a.txt", "{\"prompt\": \"a cat\"}\n", "JSON lines (jsonl)"},
             Bad{"a.txt", "# mine\n\n{ \"prompt\": \"a cat\"}\n", "JSON lines (jsonl)"},
             Bad{"a.txt", "[\n {\"prompt\": \"a cat\"}\n]\n", "JSON (json)"},
             Bad{"a.txt", "[{\"prompt\": \"a cat\"}]", "JSON (json)"},
             Bad{"a.txt", "[\"a cat\", \"a dog\"]", "JSON (json)"},
             Bad{"a.txt", "prompt,seed\na cat,1\n", "a table (csv)"},
             Bad{"a.txt", "Prompt;Category\na cat;x\n", "a table (csv)"},
             Bad{"a.txt", "Prompt\tCategory\tChallenge\tNote\nbond\tAbstract\tBasic\tx\n", "a table (tsv)"},
             Bad{"a.txt", "\"\",\"prompt\"\n\"1\",\"a cat\"\n", "a table (csv)"},
             Bad{"a.txt", "prompt\na cat\n", "a table (csv)"},
             Bad{"a.txt", "prompts:\n  - a cat\n", "YAML"},
             Bad{"a.txt", "animals:\n  - a cat\n", "YAML"},
             Bad{"latest", "- prompt: a cat\n  seed: 3\n", "YAML"},
             Bad{"a.yaml", "prompts:\n  - a cat\n", "YAML"},
             Bad{"a.yml", "a cat\n", "YAML"},
             Bad{"latest", "---\nx: 1\n", "YAML"},
             Bad{"latest", "<?xml version=\"1.0\"?>\n", "XML or HTML"},
             Bad{"a.jsonl", "prompt,seed\na cat,1\n", "a table (csv)"},
             Bad{"a.csv", "{\"prompt\": \"a cat\"}\n", "JSON lines (jsonl)"},
         }) {
        INFO(bad.name << ": " << bad.text);
        const std::string problem = test::message_of(ErrorCode::input, [&] { prompts_of(bad.text, bad.name); });
        CHECK(problem.starts_with("format: \"" + std::string(bad.name) + "\" looks like " + bad.named));
    }
    CHECK(prompts_of("prompt,seed\n", "a.txt", {.format = PromptFormat::text}) == Prompts{"prompt,seed"});
    using Binary = std::pair<std::string, const char*>;
    for (const Binary& bad : {Binary{std::string("PK\x03\x04\x14\0\x06\0", 8), "Excel"},
                              {"\x89PNG\r\n", "picture"},
                              {"BZh91AY", "bzip2"},
                              {"PAR1", "Parquet"}})
        CHECK(test::contains(test::message_of(ErrorCode::input, [&] { prompts_of(bad.first, "a.txt"); }), bad.second));
}

TEST_CASE("prompt formats: honest prompts are drawn, whatever they begin with") {
    for (const char* text : {"a cat, a dog",
                             "[cat|dog] in a hat",
                             "[a cat:a dog:0.5]",
                             "[cat]",
                             "{cat|dog} in a hat",
                             "{red|green} apple, {cat, dog}",
                             "\"a cat\"",
                             "prompt engineering, a robot",
                             "a prompt, a seed",
                             "- a cat",
                             "a cat: the movie",
                             "cat; dog; fox",
                             "<lora:x:1> a cat",
                             "(cat:1.2), masterpiece",
                             "steps, width and height",
                             "Note: a cat",
                             "1",
                             "--",
                             "a | b | c",
                             "prompt",
                             "#nofilter is a comment",
                             "Prompt: a cat in a hat",
                             "key: value"}) {
        INFO(text);
        const bool is_comment = text[0] == '#';
        for (const char* name : {"a.txt", "latest"})
            CHECK(prompts_of(std::string(text) + "\n", name) == (is_comment ? Prompts{} : Prompts{text}));
    }
}

TEST_CASE("prompt formats: elements of JSON are read one at a time, and a broken one is one bad line") {
    const auto entries = entries_of(
        "[\n{\"prompt\": \"a [cat], {x}\"},\n {\"prompt\": \"a \\\"dog\\\\\",\n\"seed\": 5}, \"a fox\"\r\n, {\"promt\": 1}, 7, "
        "[1], null\n, "
        "{\"prompt\": \"a\" \"b\"} {\"prompt\": \"a pear\"},]\n",
        PromptFormat::json);
    REQUIRE(entries.size() == 9);
    CHECK(entries[0].request->request.prompt == "a [cat], {x}");
    CHECK(entries[0].line == 2);
    CHECK(entries[1].request->request.prompt == "a \"dog\\");
    CHECK(entries[1].request->seed == 5U);
    CHECK(entries[1].line == 3);
    CHECK(entries[2].request->request.prompt == "a fox");
    CHECK(entries[2].line == 4);
    for (const std::size_t i : {3U, 4U, 5U, 6U, 7U}) CHECK(!entries[i].request);
    CHECK(entries[8].request->request.prompt == "a pear");
    CHECK(entries[8].line == 6);

    const auto cut = entries_of("[{\"prompt\": \"a cat\"}, {\"prompt\": \"a do", PromptFormat::json);
    REQUIRE(cut.size() == 3);
    CHECK(cut[0].request);
    CHECK(cut[1].problem == "has no end: is the file cut short?");
    CHECK(cut[2].problem == "the array has no end: is the file cut short?");
    CHECK(entries_of("{\n\"prompt\": \"a\"\n}\n{\"prompt\":\n\"b\"}", PromptFormat::json).size() == 2);

    // A line of any length, and one element that is too long.
    std::string text = "[";
    for (int i = 0; i < 200'000; ++i) text += "{\"prompt\": \"a cat number " + std::to_string(i) + "\"},";
    text += "{\"prompt\": \"" + std::string(5 << 20, 'x') + "\"}, {\"prompt\": \"last\"}]";
    const auto many = entries_of(text, PromptFormat::json);
    REQUIRE(many.size() == 200'002);
    CHECK(many[200'000].problem == "an element is over 4 MiB");
    CHECK(many.back().request->request.prompt == "last");
}

std::string utf16(std::u16string_view text, bool big) {
    std::string bytes;
    for (const char16_t unit : text) {
        const char low = static_cast<char>(unit & 0xFFU), high = static_cast<char>(unit >> 8U);
        bytes += big ? high : low;
        bytes += big ? low : high;
    }
    return bytes;
}

TEST_CASE("prompt encodings: UTF-16 by its mark or by name, and what is invalid is one bad line") {
    const Prompts apple{"a 红苹果", "𝄞"};
    for (const bool big : {false, true}) {
        CHECK(prompts_of(utf16(u"\xFEFF"
                               u"a 红苹果\r\n𝄞",
                               big),
                         "a.txt") == apple);
        CHECK(prompts_of(utf16(u"a 红苹果\n𝄞", big), "a.txt", {.format = {}, .encoding = big ? "utf-16be" : "UTF-16LE"}) ==
              apple);
        CHECK(prompts_of(utf16(u"\xFEFF"
                               u"a 红苹果\n𝄞",
                               big),
                         "a.txt", {.format = {}, .encoding = "utf-16"}) == apple);
        CHECK(prompts_of(utf16(u"\xFEFF{\"prompt\": \"a 红苹果\"}\n{\"prompt\": \"𝄞\"}\n", big), "latest") == apple);
    }
    const auto half = prompts_of(utf16(u"\xFEFF"
                                       u"a\n\xD834\nb",
                                       false),
                                 "a.txt");
    CHECK(half == Prompts{"a", "!line is not UTF-16LE", "b"});
    CHECK(prompts_of("\xFF\xFE"
                     "a\0\n\0b"sv,
                     "a.txt")
              .size() == 2);  // cut inside a character
    CHECK(test::contains(test::message_of(ErrorCode::input, [] { prompts_of(utf16(u"a cat", false), "a.txt"); }), "encoding: "));
    for (const char* name : {"klingon", "utf-8//IGNORE", "gbk/"})
        CHECK(test::contains(
            test::message_of(ErrorCode::invalid_argument, [&] { prompts_of("a", "a.txt", {.format = {}, .encoding = name}); }),
            "encoding: "));
}

TEST_CASE("prompt encodings: gbk and others of the C library") {
    // A system may have been put together without them.
    if (const iconv_t gbk = ::iconv_open("UTF-8", "GBK"); gbk == reinterpret_cast<iconv_t>(-1)) {
        WARN("skipped: the C library here has no converter for GBK");
        return;
    } else {
        ::iconv_close(gbk);
    }
    const std::string apple = "\xBA\xEC\xC6\xBB\xB9\xFB";  // 红苹果
    const PromptOptions gbk{.format = {}, .encoding = "gbk"};
    CHECK(prompts_of(apple + "\na cat\n", "a.txt", gbk) == Prompts{"红苹果", "a cat"});
    CHECK(prompts_of("prompt,seed\r\n" + apple + ",5\r\n", "a.csv", gbk) == Prompts{"红苹果"});
    CHECK(prompts_of("a\n\xFF\xFF\n" + apple, "a.txt", gbk) == Prompts{"a", "!line is not gbk", "红苹果"});
    std::string long_text;
    for (int i = 0; i < 20'000; ++i) long_text += (i % 2 == 0 ? "x" : "") + apple + "\n";  // characters over the blocks' ends
    for (const auto& prompt : prompts_of(long_text, "a.txt", gbk)) REQUIRE((prompt == "红苹果" || prompt == "x红苹果"));
    // Without the name it is told, not guessed.
    const auto file = read_prompts(memory_source("a\n" + apple + "\n"), {}, "a.txt");
    std::size_t bad = 0;
    for (PromptEntry entry; file->next(entry);) bad += entry.problem.starts_with("line is not UTF-8");
    CHECK(bad == 1);
    REQUIRE(file->notes().size() == 1);
    CHECK(file->notes()[0].starts_with("1 line not in UTF-8"));
}

std::string packed(std::string_view text) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    std::string in(text);
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    return out;
}

TEST_CASE("prompt files packed with gzip are unpacked as they are read, whatever their name") {
    for (const char* name : {"a.txt.gz", "a.txt", "latest", "a.TXT.GZ"})
        CHECK(prompts_of(packed("a cat\na dog\n"), name) == cat_and_dog);
    CHECK(prompts_of(packed("prompt,seed\na cat,1\na dog,2\n"), "a.csv.gz") == cat_and_dog);
    CHECK(prompts_of(packed("a cat\n") + packed("a dog\n") + std::string(100, '\0'), "a.gz") == cat_and_dog);
    CHECK(prompts_of(packed(utf16(u"\xFEFF"
                                  u"a cat\na dog",
                                  false)),
                     "a.gz") == cat_and_dog);
    CHECK(prompts_of(packed(""), "a.gz").empty());
    const std::string bomb = packed(std::string(50 << 20, 'x'));
    CHECK(prompts_of(bomb, "a.gz") == Prompts{"!line is over 4 MiB"});
    const std::string whole = packed("a cat\na dog\n");
    CHECK(test::message_of(ErrorCode::input, [&] { prompts_of(std::string_view(whole).substr(0, whole.size() - 3), "a.gz"); }) ==
          "a.gz: is cut short (gzip)");
    std::string damaged = whole;
    damaged[14] = static_cast<char>(damaged[14] ^ 0x55);
    CHECK(test::contains(test::message_of(ErrorCode::input, [&] { prompts_of(damaged, "a.gz"); }), "gzip"));
}

TEST_CASE("prompt files: a pasted infotext is one job, and lines around it are their own") {
    const std::string infotext =
        "a cat,\nin a hat\nNegative prompt: blurry, dark\n"
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 010, Size: 512x256, Model hash: abc, Clip skip: 2\n";
    const auto file = read_prompts(memory_source("a dog\n\n" + infotext + infotext + "a fox\na pear"), {}, "a.txt");
    std::vector<PromptEntry> entries;
    for (PromptEntry entry; file->next(entry);) entries.push_back(entry);
    REQUIRE(entries.size() == 5);
    CHECK(entries[0].request->request.prompt == "a dog");
    for (const std::size_t i : {1U, 2U}) {
        INFO(entries[i].problem);
        REQUIRE(entries[i].request);
        const RequestLine& line = *entries[i].request;
        CHECK(line.request.prompt == "a cat,\nin a hat");
        CHECK(line.request.negative_prompt == "blurry, dark");
        CHECK(line.request.steps == 20);
        CHECK(line.request.sampler == "DPM++ 2M Karras");
        CHECK(line.request.cfg_scale == 7.5);
        CHECK(line.seed == 10U);
        CHECK(line.request.width == 512);
        CHECK(line.request.height == 256);
    }
    CHECK(entries[1].line == 3);
    CHECK(entries[2].line == 7);
    CHECK(entries[4].request->request.prompt == "a pear");
    REQUIRE(file->notes().size() == 1);
    CHECK(file->notes()[0].starts_with("2 infotexts: "));

    // What is not whole is never drawn.
    const Prompts cut = prompts_of("a cat\nNegative prompt: dark\nSteps: 20, Sampler: Euler a\n", "a.txt");
    REQUIRE(cut.size() == 3);
    for (const auto& line : cut) CHECK(line.starts_with("!is part of an infotext"));
    CHECK(prompts_of("a cat\nSteps: many, Seed: 1, Size: 64x64\n", "a.txt")[0].starts_with("!"));
}

TEST_CASE("prompt files: how much was read is known of what was given out") {
    const std::string text = "a cat\na dog\n# no\n\na fox\n\n# end\n";
    const auto file = read_prompts(memory_source(text), {}, "a.txt");
    PromptEntry entry;
    REQUIRE(file->next(entry));
    CHECK(file->bytes_read() == 6);
    CHECK(file->size_bytes() == text.size());
    while (file->next(entry)) {
    }
    CHECK(file->bytes_read() == text.size());
}

}  // namespace
}  // namespace t2i::batch
