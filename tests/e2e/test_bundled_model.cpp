// The model that ships, as a newcomer meets it: no --model, the README's prompts.
#include <algorithm>
#include <fstream>
#include <vector>

#include "support/catch.h"
#include "support/files.h"
#include "support/place.h"
#include "support/run_t2i.h"
#include "t2i/error.h"
#include "t2i/pipeline.h"

namespace t2i::test {
namespace {

// The program finds it beside build/, as in the repository; a test binary may stand elsewhere.
const std::vector<std::string> environment{"T2I_MODEL=" + (source_folder() / "assets/sticker-256").string()};

struct Colour {
    double red = 0, green = 0, blue = 0;  // means, 0 to 255
};

// Mean over the square [begin, begin + size)² of a 256x256 picture.
Colour mean(const std::vector<std::uint8_t>& rgb, std::size_t begin, std::size_t size) {
    Colour c;
    const double share = 1.0 / static_cast<double>(size * size);
    for (std::size_t y = begin; y < begin + size; ++y)
        for (std::size_t x = begin; x < begin + size; ++x) {
            const std::uint8_t* p = &rgb[(y * 256 + x) * 3];
            c.red += p[0] * share;
            c.green += p[1] * share;
            c.blue += p[2] * share;
        }
    return c;
}

}  // namespace

TEST_CASE("the bundled model draws a red apple on white, in both languages") {
    auto pipeline = Pipeline::load({.model = (source_folder() / "assets/sticker-256").string(), .vae = {}});
    for (const char* prompt : {"a red apple", "红苹果"}) {
        GenerateRequest request;
        request.prompt = prompt;
        const auto image = pipeline.generate(request).front();
        REQUIRE(image.width == 256);
        const Colour middle = mean(image.rgb, 104, 48), corner = mean(image.rgb, 0, 8);
        INFO(prompt << ": middle " << middle.red << " " << middle.green << " " << middle.blue << ", corner " << corner.red);
        CHECK(middle.red > 150);
        CHECK(middle.green < 110);
        CHECK(middle.blue < 110);
        CHECK(std::min({corner.red, corner.green, corner.blue}) > 225);
    }
}

TEST_CASE("the bundled model is found without --model and says what it knows") {
    const TempFolder folder;
    const Outcome run = run_t2i({"-p", "红苹果", "--seed", "7", "--steps", "4", "-o", folder / "a.png"}, environment);
    INFO(run.err);
    CHECK(run.code == 0);
    const Outcome inspect = run_t2i({"inspect"}, environment);
    CHECK(inspect.code == 0);
    CHECK(inspect.out.find("vocabulary") != std::string::npos);
    CHECK(inspect.out.find("Food & Drink") != std::string::npos);
    CHECK(inspect.out.find("red apple") != std::string::npos);
    CHECK(inspect.out.find("红苹果") != std::string::npos);
}

TEST_CASE("a prompt of which the bundled model knows no word is drawn with a warning") {
    const TempFolder folder;
    const auto warned = [&](const char* prompt) {
        const Outcome run = run_t2i({"-p", prompt, "--steps", "1", "-o", folder / "a.png"}, environment);
        INFO(run.err);
        CHECK(run.code == 0);
        return run.err.find("sticker-256 has learnt no word of this prompt") != std::string::npos;
    };
    CHECK(warned("a medieval castle"));
    CHECK(warned("城堡"));
    CHECK_FALSE(warned("Two Cats, fluent 3D style"));
    CHECK_FALSE(warned("我想要一个红苹果"));
    CHECK_FALSE(warned(""));
    CHECK(run_t2i({"-p", "a medieval castle", "--steps", "1", "-q", "-o", folder / "a.png"}, environment).err.empty());
}

TEST_CASE("a warning names the words of the bundled model that come nearest, in both languages") {
    const TempFolder folder;
    const auto said = [&](const char* prompt) {
        const Outcome run = run_t2i({"-p", prompt, "--steps", "1", "-o", folder / "a.png"}, environment);
        CHECK(run.code == 0);
        return run.err;
    };
    CHECK(said("aple").find("no word of this prompt; nearest to \"aple\": apple") != std::string::npos);
    CHECK(said("平果").find("no word of this prompt; nearest to \"平果\": 苹果") != std::string::npos);
    CHECK(said("a kitten on a blue background").find("nearest to \"kitten\": cat, cat face") != std::string::npos);
    CHECK(said("a panda beside a dgo").find("not learnt every word of this prompt; nearest to \"dgo\": dog") !=
          std::string::npos);
    CHECK(said("a cute panda, noto style, on a blue background").find("warning") == std::string::npos);

    const auto pipeline = Pipeline::load({.model = (source_folder() / "assets/sticker-256").string(), .vae = {}});
    const std::vector<UnknownWord> words = pipeline.unknown_words("Aple, 小狗");
    REQUIRE(words.size() == 2);
    CHECK(words[0].word == "aple");
    CHECK(words[0].nearest.front() == "apple");
    CHECK(words[1].word == "小狗");
    CHECK(words[1].nearest == std::vector<std::string>{"狗", "狗脸"});
    CHECK_THROWS_AS(pipeline.unknown_words("\xff"), Error);
}

TEST_CASE("inspect lists the bundled model's vocabulary by group") {
    const std::string listed = run_t2i({"inspect"}, environment).out;
    for (const char* part : {"Animals & Nature (160): ", "Food & Drink (131): ", "red apple 红苹果"})
        CHECK(listed.find(part) != std::string::npos);
    CHECK(listed.find("names (en)") == std::string::npos);
    CHECK(run_t2i({"inspect", "--json"}, environment).out.find("\"by group (Food & Drink)\"") != std::string::npos);
}

TEST_CASE("a prompt file says at its end how many prompts have no word that the bundled model knows") {
    const TempFolder folder;
    std::ofstream(folder / "prompts.txt") << "a red apple\na medieval castle\n城堡\n";
    const Outcome run = run_t2i({"batch", folder / "prompts.txt", "--steps", "1", "-o", folder / "out"}, environment);
    INFO(run.err);
    CHECK(run.code == 0);
    CHECK(run.err.find("2 prompts had no word that the model has learnt") != std::string::npos);
}

TEST_CASE("the bundled model draws the flag lines of AUTOMATIC1111's wiki, whatever their samplers") {
    const TempFolder folder;
    const std::string file =
        write_file(folder / "a.txt",
                   "--prompt \"photo of sunset\" --negative_prompt \"orange, pink\" --sampler_name \"DPM++ 2M Karras\" --steps 2 "
                   "--batch_size 2 "
                   "--cfg_scale 3 --seed 9\n--prompt \"photo of winter mountains\" --steps 2 --sampler_name \"DDIM\"\n"
                   "--prompt \"x\" --sampler_name \"Euler a\"\n--prompt \"z\" --do_not_save_grid true\n");
    const Outcome run = run_t2i({"batch", file, "-o", folder / "out", "--steps", "1"}, environment);
    INFO(run.err);
    CHECK(run.code == 0);
    CHECK(std::count(run.out.begin(), run.out.end(), '\n') == 5);
    CHECK(run.err.find("keeps its own schedule, not \"karras\"") != std::string::npos);
    const std::string manifest = file_text(folder / "out/manifest.jsonl");
    for (const char* sampler : {"dpm++2m", "flow_euler", "flow_euler_a"})
        CHECK(manifest.find("\"sampler_name\":\"" + std::string(sampler) + "\"") != std::string::npos);
    // A schedule beside the sampler says the same as one in its name.
    const auto draw = [&](const std::string& name, std::vector<std::string> flags) {
        flags.insert(flags.end(), {"-p", "x", "--steps", "1", "--no-metadata", "-o", (folder / name)});
        const Outcome one = run_t2i(flags, environment);
        CHECK(one.code == 0);
        CHECK(one.err.find("keeps its own schedule, not \"karras\"") != std::string::npos);
        return file_text(folder / name);
    };
    CHECK(draw("a.png", {"--scheduler", "Karras", "--sampling-method", "DPM++ 2M"}) ==
          draw("b.png", {"--sampling-method", "DPM++ 2M Karras"}));
}

}  // namespace t2i::test
