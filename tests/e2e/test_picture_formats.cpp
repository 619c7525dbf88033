// JPEG and WebP beside PNG: drawn, inspected, verified, in batches.
#include <filesystem>

#include "core/files.h"
#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "pipeline/picture_read.h"
#include "support/catch.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

Outcome draw(std::vector<std::string> more) {
    more.insert(more.begin(), {"-q", "-m", tiny_model().string(), "--steps", "1", "-p", "红苹果, twemoji", "-n", "blurry"});
    return run_t2i(more);
}

PictureInfo info_of(const std::string& path) {
    return read_picture_info(read_file(path), path);
}

std::string last_line(const std::string& text) {
    return text.substr(text.rfind('\n', text.size() - 2) + 1);
}

TEST_CASE("formats: the name says what is written, with the same parameters, and inspect reads each") {
    const TempFolder folder;
    REQUIRE(draw({"-o", folder / "a.png"}).code == 0);
    const std::string parameters = run_t2i({"inspect", folder / "a.png"}).out;
    CHECK(parameters.starts_with("红苹果, twemoji\nNegative prompt: blurry\nSteps: 1, "));
    const auto check = [&](const std::string& name, PictureFormat format, const std::vector<std::string>& more, bool lossless) {
        INFO(name);
        std::vector<std::string> arguments{"-o", folder / name};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Outcome run = draw(arguments);
        INFO(run.err);
        REQUIRE(run.code == 0);
        CHECK(run.out == folder / name + "\n");
        CHECK(info_of(folder / name).format == format);
        CHECK(info_of(folder / name).lossless == lossless);
        CHECK(run_t2i({"inspect", folder / name}).out == parameters);
    };
    check("a.jpg", PictureFormat::jpeg, {}, false);
    check("a.JPEG", PictureFormat::jpeg, {"--quality", "50"}, false);
    check("a.webp", PictureFormat::webp, {}, false);
    check("b.webp", PictureFormat::webp, {"--quality", "lossless"}, true);
    check("b.png", PictureFormat::png, {"--quality", "lossless"}, true);
    CHECK(fs::file_size(folder / "a.JPEG") < fs::file_size(folder / "a.jpg"));
    CHECK(decode_picture(read_file(folder / "b.webp"), "b").rgb == decode_picture(read_file(folder / "a.png"), "a").rgb);

    REQUIRE(draw({"-o", folder / "none.jpg", "--no-metadata"}).code == 0);
    CHECK(run_t2i({"inspect", folder / "none.jpg"}).out == "64x64 JPEG without parameters\n");
}

TEST_CASE("formats: verify compares lossless pictures and says of others that it cannot") {
    const TempFolder folder;
    REQUIRE(draw({"-o", folder / "a.webp", "--quality", "lossless"}).code == 0);
    const auto verify = [&](const std::string& name) { return run_t2i({"verify", folder / name, "-m", tiny_model().string()}); };
    const Outcome same = verify("a.webp");
    INFO(same.err);
    CHECK(same.code == 0);
    CHECK(same.out.find(": the same") != std::string::npos);
    for (const char* name : {"b.jpg", "b.webp"}) {
        REQUIRE(draw({"-o", folder / name}).code == 0);
        const Outcome other = verify(name);
        CHECK(other.code == 3);
        CHECK((other.out + other.err).find("lossless") != std::string::npos);
        CHECK((other.out + other.err).find(name) != std::string::npos);
    }
}

TEST_CASE("formats: what cannot be written is said before the work, with exit code 2, and nothing is left") {
    const TempFolder folder;
    const auto refused = [&](const std::vector<std::string>& arguments, const std::string& word) {
        INFO(word);
        const Outcome run = draw(arguments);
        CHECK(run.code == 2);
        CHECK(run.err.starts_with("t2i: error: "));
        CHECK(last_line(run.err) == run.err);
        CHECK(run.err.find(word) != std::string::npos);
        CHECK(fs::is_empty(folder.path()));
    };
    refused({"-o", folder / "a"}, ".png, .jpg, .jpeg or .webp");
    refused({"-o", folder / "a.bmp"}, ".bmp");
    refused({"-o", folder / "a.png", "--quality", "80"}, "--quality: a PNG has none");
    refused({"-o", folder / "a.jpg", "--quality", "0"}, "--quality");
    refused({"-o", folder / "a.jpg", "--quality", "101"}, "--quality");
    refused({"-o", folder / "a.jpg", "--quality", "best"}, "--quality");
    refused({"-o", folder / "a.jpg", "--quality", "lossless"}, "--quality: a JPEG cannot be lossless");
    refused({"-o", folder / "a.jpg", "--image-format", "webp"}, "--image-format");
    refused({"-o", folder / "new/", "--image-format", "bmp"}, "png, jpg and webp");
    refused({"-o", folder / "new/", "--steps", "0"}, "--steps");  // the folder is not made for nothing
}

TEST_CASE("formats: a folder is made, or is there, with or without a slash, while one above it is not made") {
    const TempFolder folder;
    const auto names = [&](const Outcome& run) {
        INFO(run.err);
        CHECK(run.code == 0);
        return run.out;
    };
    CHECK(names(draw({"-b", "2", "-o", folder / "cats/"})) == folder / "cats/000.png\n" + folder / "cats/001.png\n");
    CHECK(names(draw({"-b", "2", "-o", folder / "cats", "--image-format", "jpg"})) ==
          folder / "cats/000.jpg\n" + folder / "cats/001.jpg\n");
    CHECK(names(draw({"-o", folder / "cats/50%%_%03d.webp"})) == folder / "cats/50%_000.webp\n");
    const Outcome missing = draw({"-o", folder / "none/cats/"});
    CHECK(missing.code == 3);
    CHECK(missing.err == "t2i: error: " + folder / "none" + ": output folder does not exist\n");
    // What is there is replaced, numbered names too, as the help says.
    const auto before = fs::file_size(folder / "cats/000.png");
    write_file(folder / "cats/000.png", "old");
    names(draw({"-o", folder / "cats/"}));
    CHECK(fs::file_size(folder / "cats/000.png") == before);
}

TEST_CASE("formats: a batch in another format, with its journal, manifest, resuming and verification") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(6)), out = folder / "out";
    const std::vector<std::string> lossless{"--image-format", "webp", "--quality", "lossless"};
    REQUIRE(run_batch(file, folder / "png").code == 0);
    const Outcome run = run_batch(file, out, lossless);
    INFO(run.err);
    REQUIRE(run.code == 0);
    for (const auto& [name, bytes] : pictures_in(folder / "png")) {
        const std::string other = out + "/" + fs::path(name).replace_extension(".webp").string();
        CHECK(decode_picture(read_file(other), other).rgb ==
              decode_picture({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, name).rgb);
        CHECK(*info_of(other).parameters() == *info_of((fs::path(folder / "png") / name).string()).parameters());
    }
    CHECK(pictures_in(out).empty());
    CHECK(file_text(out + "/manifest.jsonl").find("\"file_name\":\"p0.webp\"") != std::string::npos);
    CHECK(run_batch(file, out, lossless).err.find("0 pictures made") != std::string::npos);
    CHECK(run_t2i({"batch", "--verify", "-o", out}).out == "6 good, 0 missing or damaged, 0 unknown, 0 failed\n");
    write_file(out + "/stranger.JPG", "x");
    fs::resize_file(out + "/p0.webp", 100);
    const Outcome verify = run_t2i({"batch", "--verify", "-o", out});
    CHECK(verify.code == 3);
    CHECK(verify.out.find(out + "/stranger.JPG: in no journal") != std::string::npos);
    CHECK(verify.out.find(out + "/p0.webp: damaged") != std::string::npos);
}

TEST_CASE("formats: tar shards hold pictures of the format that was asked for") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(2));
    REQUIRE(run_batch(file, folder / "out", {"--format", "webdataset", "--image-format", "jpg", "--quality", "70"}).code == 0);
    const std::string tar = file_text(folder / "out/shard-000000.tar");
    CHECK(tar.find("p0.jpg") != std::string::npos);
    CHECK(tar.find("p1.jpg") != std::string::npos);
    CHECK(tar.find(".png") == std::string::npos);
    CHECK(run_t2i({"batch", "--verify", "-o", folder / "out"}).code == 0);
}

TEST_CASE("formats: a prompt too long for a JPEG's metadata fails its line alone, in a dry run too") {
    const TempFolder folder;
    const std::string file =
        write_file(folder / "a.jsonl", "{\"prompt\": \"a cat\"}\n{\"prompt\": \"" + std::string(40'000, 'x') + "\"}\n");
    const std::vector<std::string> jpg{"--image-format", "jpg"}, dry{"--image-format", "jpg", "--dry-run"};
    for (const auto& more : {dry, jpg}) {
        const Outcome run = run_batch(file, folder / "out", more);
        CHECK(run.code == 5);
        CHECK(run.err.find("line 2: prompt: is too long for the metadata of a JPEG") != std::string::npos);
    }
    CHECK(lines_in(fs::path(folder / "out") / "manifest.jsonl") == 1);
    CHECK(run_batch(file, folder / "bare", {"--image-format", "jpg", "--no-metadata"}).code == 0);
    const Outcome one = run_t2i({"-q", "-m", tiny_model().string(), "-p", std::string(40'000, 'x'), "-o", folder / "a.jpg"});
    CHECK(one.code == 3);
    CHECK(one.err.starts_with("t2i: error: --prompt: is too long for the metadata of a JPEG"));
}

}  // namespace
}  // namespace t2i::test
