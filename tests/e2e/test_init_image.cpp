// Pictures that begin with a picture, as users ask for them: flags, prompt files, metadata, verify.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "pipeline/parameters.h"
#include "pipeline/picture_encode.h"
#include "pipeline/picture_read.h"
#include "pipeline/start_picture.h"
#include "support/catch.h"
#include "support/place.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Small, and with an encoder.
const fs::path& model() {
    static const TempFolder holder;
    static const fs::path path = [] {
        write_pipeline(read_manifest("init_images")["pipeline"], holder.path() / "with-encoder");
        return holder.path() / "with-encoder";
    }();
    return path;
}

Image gradient(int width, int height, int blue) {
    Image image{.width = width, .height = height, .rgb = {}, .seed = 0, .parameters = {}};
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (const int value : {x * 255 / width, y * 255 / height, blue})
                image.rgb.push_back(static_cast<std::uint8_t>(value));
    return image;
}

std::string save(const std::string& path, const Image& image, const PictureEncoding& encoding = {}) {
    const auto bytes = encode_picture(image, encoding);
    return write_file(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// The right half white.
Image half_mask(int width, int height) {
    Image mask = gradient(width, height, 0);
    for (std::size_t i = 0; i < mask.rgb.size(); ++i) mask.rgb[i] = static_cast<int>(i / 3) % width * 2 >= width ? 255 : 0;
    return mask;
}

Outcome draw(const std::string& output, const std::vector<std::string>& more) {
    std::vector<std::string> a{"-m", model().string(), "-p", "a red apple", "--steps", "4", "-s", "9", "-o", output};
    a.insert(a.end(), more.begin(), more.end());
    return run_t2i(a);
}

std::string parameters_of(const std::string& path) {
    return *read_picture_info(read_file(path), path).parameters();
}

Outcome batch(const std::string& file, const std::string& folder, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"batch", file, "-o", folder, "-m", model().string(), "--steps", "4"});
    return run_t2i(more);
}

}  // namespace

TEST_CASE("init image: a picture is drawn from a picture, says so, and is verified by its pixels") {
    const TempFolder folder;
    const std::string from = save(folder / "from.png", gradient(80, 64, 40)), mask = save(folder / "mask.png", half_mask(80, 64));
    REQUIRE(draw(folder / "plain.png", {}).code == 0);
    const Outcome run = draw(folder / "a.png", {"--init-image", from, "--mask", mask, "--strength", "0.5", "--keep-unmasked"});
    INFO(run.err);
    REQUIRE(run.code == 0);
    const std::string text = parameters_of(folder / "a.png");
    CHECK(has(text, ", Denoising strength: 0.5, "));
    CHECK(has(text, ", Init image: from.png, "));
    CHECK(has(text, ", Mask: mask.png, "));
    CHECK(has(text, ", Keep unmasked: true"));
    const std::string hash = ", Model hash: ", plain = parameters_of(folder / "plain.png");
    CHECK_FALSE(has(plain, "Init image"));
    CHECK(text.substr(text.find(hash), 30) == plain.substr(plain.find(hash), 30));

    const auto verify = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"verify", "-m", model().string(), folder / "a.png"});
        return run_t2i(more);
    };
    // The same pixels under another name, among others.
    fs::create_directory(folder.path() / "kept");
    save(folder / "kept/renamed.webp", gradient(80, 64, 40), {.format = PictureFormat::webp, .lossless = true});
    save(folder / "kept/other.png", gradient(80, 64, 41));
    CHECK(verify({"--init-image", folder / "kept", "--mask", mask}).out == folder / "a.png" + ": the same\n");
    const Outcome lacking = verify({"--mask", mask});
    CHECK(lacking.code == 3);
    CHECK(has(lacking.out, "a.png: not checked: was made with an init image \"from.png\" (hash of its pixels "));
    CHECK(has(lacking.out, "); --init-image names it\n"));
    CHECK(has(verify({"--init-image", from}).out, "was made with a mask \"mask.png\" "));
    CHECK(has(verify({"--init-image", folder / "kept/other.png", "--mask", mask}).out, "--init-image names it"));
}

TEST_CASE("init image: what cannot be is told in one line with the flag") {
    const TempFolder folder;
    const std::string from = save(folder / "from.png", gradient(64, 64, 0)),
                      small = save(folder / "small.png", half_mask(32, 64));
    write_file(folder / "text.png", "no picture");
    struct Case {
        std::vector<std::string> flags;
        int code;
        std::string says;
    };
    const std::vector<Case> cases{
        {{"--strength", "0.5"}, 2, "--strength: says nothing without a picture to begin with"},
        {{"--mask", small}, 2, "--mask: says nothing without a picture to begin with"},
        {{"--keep-unmasked", "--init-image", from}, 2, "--keep-unmasked: says nothing without a mask"},
        {{"--init-image", from, "--strength", "1.1"}, 2, "--strength: 1.1 is out of range [0, 1]"},
        {{"--init-image", from, "--strength", "nan"}, 2, "--strength: \"nan\" is not a number"},
        {{"--init-image", from, "--strength", "0"}, 2, "--strength: 0 of 4 steps leaves none to do"},
        {{"--init-image", from, "--strength", "0.2"}, 2, "--strength: 0.2 of 4 steps leaves none to do"},
        {{"--init-image", from, "--mask", small}, 2, "--mask: has 32x64 pixels, init_image 64x64; they must be of one size"},
        {{"--init-image", from, "--resize-mode", "tile"}, 2, "--resize-mode: \"tile\" is none of crop, stretch, fill"},
        {{"--init-image", from, "--sampling-method", "pndm"}, 2, "--sampling-method: pndm begins with Runge-Kutta steps"},
        {{"--init-image", ""}, 2, "--init-image: the value is empty"},
        {{"--init-image", folder / "none.png"}, 3, "none.png: "},
        {{"--init-image", folder / "text.png"}, 3, "text.png: not a PNG, JPEG or WebP file"},
        {{"--init-image", folder.path().string()}, 3, folder.path().string() + ": "},
        {{"--init-img", from}, 2, "unknown flag --init-img; did you mean --init-image?"},
        {{"--denoising-strength", "1"}, 2, "did you mean --strength?"},
    };
    for (const Case& c : cases) {
        const Outcome run = draw(folder / "out.png", c.flags);
        INFO(c.flags.front() << ": " << run.err);
        CHECK(run.code == c.code);
        CHECK(has(run.err, c.says));
        CHECK(std::ranges::count(run.err.substr(run.err.find("t2i: ")), '\n') == 1);
        CHECK_FALSE(fs::exists(folder / "out.png"));
    }
    const Outcome decoder = run_t2i({"-m", tiny_model().string(), "-p", "a", "--init-image", from, "-o", folder / "out.png"});
    CHECK(decoder.code == 3);
    CHECK(has(decoder.err, "/vae: has no encoder that could read a picture: "));
}

TEST_CASE("init image: a prompt file names pictures beside itself, and knows them by their pixels") {
    const TempFolder folder;
    fs::create_directories(folder.path() / "job/pictures");
    save(folder / "job/pictures/a.png", gradient(64, 64, 10));
    save(folder / "job/pictures/mask.png", half_mask(64, 64));
    const std::string file =
        write_file(folder / "job/list.jsonl",
                   "{\"id\":\"from\",\"prompt\":\"a cat\",\"init_image\":\"pictures/a.png\",\"strength\":0.5}\n"
                   "{\"id\":\"masked\",\"prompt\":\"a "
                   "cat\",\"init_img\":\"pictures/a.png\",\"mask\":\"pictures/mask.png\",\"keep_unmasked\":true}\n"
                   "{\"id\":\"plain\",\"prompt\":\"a cat\"}\n"
                   "{\"id\":\"bad\",\"prompt\":\"a cat\",\"strength\":0.5}\n"
                   "{\"id\":\"gone\",\"prompt\":\"a cat\",\"init_image\":\"pictures/b.png\"}\n");
    const std::string out = folder / "out";
    const Outcome run = batch(file, out);
    INFO(run.err);
    CHECK(run.code == 5);
    CHECK(has(run.err, "strength: says nothing without a picture to begin with (init_image)"));
    CHECK(has(run.err, "job/pictures/b.png: "));
    const auto manifest = json_lines(out + "/manifest.jsonl");
    REQUIRE(manifest.size() == 3);
    std::map<std::string, nlohmann::json> lines;
    for (const auto& line : manifest) lines[line.at("id").get<std::string>()] = line;
    CHECK(lines["from"].at("init_image") == "a.png");
    CHECK(lines["from"].at("strength") == 0.5);
    CHECK(lines["from"].at("init_image_hash") == hash_pixels(gradient(64, 64, 10)));
    CHECK(lines["masked"].at("mask_hash") == hash_pixels(half_mask(64, 64)));
    CHECK(lines["masked"].at("strength") == 0.75);
    CHECK(lines["masked"].at("keep_unmasked") == true);
    CHECK_FALSE(lines["plain"].contains("strength"));
    CHECK_FALSE(lines["plain"].contains("init_image_hash"));
    // The one that the command draws.
    const Outcome single = run_t2i({"-m", model().string(), "-p", "a cat", "--steps", "4", "-s", "42", "--init-image",
                                    folder / "job/pictures/a.png", "--strength", "0.5", "-o", folder / "single.png"});
    REQUIRE(single.code == 0);
    const auto pixels = [](const std::string& path) { return decode_picture(read_file(path), path).rgb; };
    CHECK(pixels(folder / "single.png") == pixels(out + "/from.png"));
    CHECK(run_t2i(
              {"verify", "-m", model().string(), out, "--init-image", folder / "job/pictures", "--mask", folder / "job/pictures"})
              .code == 0);

    // A pipe has no folder: the one counts where the program runs.
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const std::string line = R"({"prompt":"a cat","init_image":"pictures/a.png"})"
                             "\n";
    REQUIRE(::write(ends[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    ::close(ends[1]);
    Process piped({"batch", "/dev/fd/" + std::to_string(ends[0]), "--input-format", "jsonl", "-m", model().string(), "--steps",
                   "4", "-o", folder / "piped"},
                  {.folder = folder / "job"});
    CHECK(piped.wait().code == 0);
    ::close(ends[0]);

    // Again: all is done. With other pixels under the name it is another picture, which --remake makes.
    const auto before = file_text(out + "/from.png");
    CHECK(batch(file, out).code == 5);
    CHECK(json_lines(out + "/manifest.jsonl").size() == 3);
    save(folder / "job/pictures/a.png", gradient(64, 64, 11));
    const Outcome changed = batch(file, out);
    CHECK(has(changed.err, "was made with init_image_hash " + hash_pixels(gradient(64, 64, 10)) + ", here "));
    CHECK(file_text(out + "/from.png") == before);
    CHECK(batch(file, out, {"--remake"}).code == 5);
    CHECK(file_text(out + "/from.png") != before);
    CHECK(run_t2i({"batch", "--verify", "-o", out}).code == 0);
}

TEST_CASE("init image: a batch takes it from its flags for lines that name none, and a strength for those that do") {
    const TempFolder folder;
    save(folder / "a.png", gradient(64, 64, 10));
    save(folder / "b.png", gradient(64, 64, 90));
    const std::string file = write_file(folder / "list.txt", "--prompt \"a cat\" --init_image b.png\na dog\n");
    // A strength alone says something of the first line.
    REQUIRE(batch(file, folder / "one", {"--strength", "0.5"}).code == 0);
    const auto one = json_lines(folder / "one/manifest.jsonl");
    REQUIRE(one.size() == 2);
    CHECK(std::ranges::count_if(one, [](const auto& line) { return line.contains("strength"); }) == 1);
    REQUIRE(batch(file, folder / "two", {"--init-image", folder / "a.png"}).code == 0);
    std::vector<std::string> hashes;
    for (const auto& line : json_lines(folder / "two/manifest.jsonl"))
        hashes.push_back(line.at("init_image_hash").get<std::string>());
    std::ranges::sort(hashes);
    std::vector<std::string> wanted{hash_pixels(gradient(64, 64, 10)), hash_pixels(gradient(64, 64, 90))};
    std::ranges::sort(wanted);
    CHECK(hashes == wanted);
    CHECK(batch(file, folder / "three", {"--strength", "2"}).code == 2);
    CHECK(batch(file, folder / "three", {"--init-image", folder / "none.png"}).code == 3);
    CHECK_FALSE(fs::exists(folder.path() / "three"));
    const Outcome rehearsal = batch(file, folder / "four", {"--dry-run", "--strength", "0.5"});
    INFO(rehearsal.err);
    CHECK(rehearsal.code == 0);
    // An infotext of such a picture lacks the picture itself.
    const std::string path = folder / "one/" + one.front().at("file_name").get<std::string>();
    const std::string other = folder / "one/" + one.back().at("file_name").get<std::string>();
    const std::string text = has(parameters_of(path), "Init image") ? parameters_of(path) : parameters_of(other);
    const Outcome pasted = batch(write_file(folder / "pasted.txt", text + "\n"), folder / "five");
    CHECK(pasted.code == 5);
    CHECK(has(pasted.err, "is of a picture that began with another one, \"b.png\"; a line with init_image names it"));
}

TEST_CASE("init image: the bundled model redraws a sticker, the nearer to it the less strength there is") {
    const TempFolder folder;
    const std::string bundled = (source_folder() / "assets/sticker-256").string();
    const auto run = [&](const std::string& name, std::vector<std::string> more) {
        more.insert(more.begin(), {"-m", bundled, "--steps", "5", "-s", "3", "-o", folder / name});
        const Outcome outcome = run_t2i(more);
        INFO(outcome.err);
        REQUIRE(outcome.code == 0);
        return decode_picture(read_file(folder / name), name).rgb;
    };
    const auto apple = run("apple.png", {"-p", "red apple, twemoji"});
    const auto redrawn = [&](const std::string& strength) {
        return run("again.png", {"-p", "pear, twemoji", "--init-image", folder / "apple.png", "--strength", strength});
    };
    const auto distance = [&](const std::vector<std::uint8_t>& rgb) {
        double sum = 0;
        for (std::size_t i = 0; i < rgb.size(); ++i) sum += std::abs(int{rgb[i]} - int{apple[i]});
        return sum / static_cast<double>(rgb.size());
    };
    const double near = distance(redrawn("0.2")), middle = distance(redrawn("0.6")), far = distance(redrawn("1"));
    INFO(near << " " << middle << " " << far);
    CHECK(near < middle);
    CHECK(middle < far);
    CHECK(near < 12);  // of 255: what the autoencoder loses, and one small step
}

}  // namespace t2i::test
