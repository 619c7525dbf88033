// What `t2i batch` does with the pictures that it finds: its own, others', those of other flags and of an older version.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "pipeline/png_encode.h"
#include "pipeline/png_read.h"
#include "support/catch.h"
#include "support/place.h"
#include "t2i/version.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string request(const std::string& id, const std::string& prompt) {
    return R"({"id": ")" + id + R"(", "prompt": ")" + prompt + "\"}\n";
}

std::string text_of(const fs::path& path) {
    return file_text(path.string());
}

// A dry run says the same and has the same exit code.
void check_rehearsal(const std::string& file, const std::string& out, const std::vector<std::string>& more, int code,
                     const std::map<std::string, int>& counts) {
    std::vector<std::string> all = more;
    all.insert(all.end(), {"--dry-run", "--log-format", "json"});
    const Outcome dry = run_batch(file, out, all);
    INFO(dry.out << dry.err);
    CHECK(dry.code == code);
    const json found = json::parse(dry.out);
    for (const auto& [name, count] : counts) {
        INFO(name);
        CHECK(found[name] == count);
    }
}

bool verifies(const fs::path& folder) {
    return run_t2i({"batch", "--verify", "-o", folder.string()}).code == 0;
}

TEST_CASE("resume: a file that is in no journal is never replaced, and its line fails") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    fs::create_directory(out);
    write_file((out / "a.png").string(), "my own picture");
    fs::create_symlink("nowhere", out / "b.png");
    fs::create_directory(out / "c.png");
    REQUIRE(run_t2i({"-m", tiny_model().string(), "-p", "my own cat", "--steps", "1", "-o", (out / "d.png").string()}).code == 0);
    const std::string own = text_of(out / "d.png");
    const std::string file =
        write_file(folder / "p.jsonl", request("a", "a cat") + request("b", "a dog") + request("c", "a fox") +
                                           request("d", "a pear") + request("e", "a plum"));
    check_rehearsal(file, out.string(), {}, 5, {{"taken", 4}, {"to_make", 1}, {"left", 0}});
    const Outcome run = run_batch(file, out.string(), {"-q", "--remake"});  // not even so
    INFO(run.err);
    CHECK(run.code == 5);
    CHECK(contains(run.err, "t2i: line 1: a.png is there and in no journal: somebody's file, which is left as it is\n"));
    CHECK(text_of(out / "a.png") == "my own picture");
    CHECK(fs::read_symlink(out / "b.png") == "nowhere");
    CHECK(fs::is_directory(out / "c.png"));
    CHECK(text_of(out / "d.png") == own);
    CHECK(json_lines(out / "failed.jsonl").size() == 4);
    CHECK(json_lines(out / "journal.jsonl").size() == 1);
    CHECK(fs::exists(out / "e.png"));
    // Out of the way, they are made.
    for (const char* name : {"a.png", "b.png", "c.png", "d.png"}) fs::remove_all(out / name);
    CHECK(run_batch(file, out.string()).code == 0);
    CHECK(pictures_in(out).size() == 5);
}

TEST_CASE("resume: two lines whose files would have one name: the second fails, and the first stays") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    const std::string file = write_file(folder / "p.jsonl", request("b-c", "a") + request("c", "a b"));
    check_rehearsal(file, out.string(), {"--name", "{prompt}-{id}"}, 5, {{"taken", 1}, {"to_make", 1}});
    const Outcome run = run_batch(file, out.string(), {"--name", "{prompt}-{id}"});
    INFO(run.err);
    CHECK(run.code == 5);
    REQUIRE(json_lines(out / "manifest.jsonl").size() == 1);
    CHECK(json_lines(out / "manifest.jsonl").front()["file_name"] == "a-b-c.png");
    CHECK(json_lines(out / "failed.jsonl").size() == 1);
    CHECK(verifies(out));
}

TEST_CASE("resume: journal, manifest and list of failures that are somebody else's stop the run before it touches them") {
    const TempFolder folder;
    const std::string file = write_file(folder / "p.jsonl", request("a", "a cat"));
    for (const std::string name : {"journal.jsonl", "manifest.jsonl", "failed.jsonl"}) {
        INFO(name);
        const fs::path out = folder.path() / ("out-" + name);
        fs::create_directory(out);
        const std::string text = "{\"monday\": \"it rained\"}\nno line break at the end";
        write_file((out / name).string(), text);
        const Outcome run = run_batch(file, out.string());
        INFO(run.err);
        CHECK(run.code == 3);
        CHECK(contains(run.err, name + (name == "journal.jsonl" ? ": is " : ": has no journal beside it")));
        CHECK(contains(run.err, "move it away"));
        CHECK(text_of(out / name) == text);
        CHECK(pictures_in(out).empty());
        CHECK(run_t2i({"batch", "--merge", "-o", out.string()}).code == 3);
        CHECK(text_of(out / name) == text);
    }
}

TEST_CASE("resume: other flags make new lines and leave, count and name the others, and --remake makes them again") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    const std::string file = write_file(folder / "p.jsonl", request("a", "a cat") + request("b", "a dog"));
    REQUIRE(run_batch(file, out.string()).code == 0);
    const auto before = pictures_in(out);
    const std::string more = write_file(folder / "more.jsonl", file_text(file) + request("c", "a fox"));
    const std::vector<std::string> flags{"--cfg-scale", "2"};
    check_rehearsal(more, out.string(), flags, 5, {{"left", 2}, {"to_make", 1}, {"done", 0}, {"changed", 0}});
    for (const bool quiet : {false, true}) {
        const Outcome run = run_batch(more, out.string(), {"--cfg-scale", "2", quiet ? "-q" : "--quick-check"});
        INFO(run.err);
        CHECK(run.code == 5);
        CHECK(contains(run.err, "line 1: a.png was made with cfg_scale 4.5, here 2.0; it is left as it is\n"));
        CHECK(contains(run.err, "2 pictures of earlier runs"));
        CHECK(contains(run.err, "--remake makes them again"));
    }
    auto now = pictures_in(out);
    CHECK(now.size() == 3);
    now.erase("c.png");
    CHECK((now == before));
    const auto failed = json_lines(out / "failed.jsonl");
    REQUIRE(failed.size() == 2);
    CHECK(failed[0]["id"] == "a");
    CHECK(failed[0]["left"] == true);
    CHECK(verifies(out));

    check_rehearsal(more, out.string(), {"--cfg-scale", "2", "--remake"}, 0,
                    {{"left", 0}, {"to_make", 2}, {"changed", 2}, {"done", 1}});
    const Outcome again = run_batch(more, out.string(), {"--cfg-scale", "2", "--remake"});
    INFO(again.err);
    CHECK(again.code == 0);
    CHECK(contains(again.err, "2 made again because their request changed"));
    now = pictures_in(out);
    CHECK(now.at("a.png") != before.at("a.png"));
    CHECK(json_lines(out / "manifest.jsonl").size() == 3);
    CHECK(verifies(out));
    CHECK(run_batch(more, out.string(), flags).code == 0);
    // The first flags again: what they made is gone, which is said.
    CHECK(run_batch(more, out.string()).code == 5);
    CHECK((pictures_in(out) == now));
}

TEST_CASE("resume: another dtype, decoder, schedule or fast math leaves the pictures, and is named") {
    const TempFolder folder;
    const fs::path out = folder / "out", model = folder / "model";
    copy_tiny_model(model);
    fs::copy(model / "vae", folder / "vae", fs::copy_options::recursive);
    const std::string file = write_file(folder / "p.jsonl", request("a", "a cat"));
    const auto run = [&](const std::vector<std::string>& more) {
        std::vector<std::string> all{"batch", file, "-o", out.string(), "-m", model.string(), "--steps", "1"};
        all.insert(all.end(), more.begin(), more.end());
        return run_t2i(all);
    };
    const std::vector<std::string> first{"--device", "ref", "--dtype", "f32"};
    REQUIRE(run(first).code == 0);
    const auto before = pictures_in(out);
    const auto left = [&](const std::string& device, const std::string& dtype, std::vector<std::string> more,
                          const std::string& why) {
        more.insert(more.end(), {"--device", device, "--dtype", dtype});
        const Outcome found = run(more);
        INFO(found.err);
        CHECK(found.code == 5);
        CHECK(contains(found.err, "a.png was made with " + why));
        CHECK((pictures_in(out) == before));
    };
    left("ref", "bf16", {}, "dtype f32, here bf16;");
    left("ref", "f32", {"--vae", folder / "vae"}, "vae_hash none, here ");
    left("ref", "f32", {"--fast-math"}, "fast_math false, here true;");
    left("cpu", "f32", {}, "device ref, here cpu;");
    write_file((model / "notes.safetensors").string(), "lies beside");
    CHECK(run(first).code == 0);
    const std::string config = (model / "scheduler/scheduler_config.json").string();
    std::string text = file_text(config);
    REQUIRE(contains(text, "\"beta_end\": 0.02"));
    write_file(config, text.replace(text.find("\"beta_end\": 0.02"), 16, "\"beta_end\": 0.03"));
    left("ref", "f32", {}, "model_hash ");
}

TEST_CASE("resume: a picture that somebody has changed since is left, a damaged one is made again") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    const std::string file = write_file(folder / "p.jsonl", request("a", "a cat") + request("b", "a dog"));
    REQUIRE(run_batch(file, out.string()).code == 0);
    Image image = decode_png(read_file((out / "a.png").string()), "a");
    image.rgb[7] ^= 1U;  // as a program for pictures saves it
    write_file_atomically((out / "a.png").string(), encode_png(image.width, image.height, image.rgb, {}));
    const std::string edited = text_of(out / "a.png");
    fs::resize_file(out / "b.png", fs::file_size(out / "b.png") - 20);
    check_rehearsal(file, out.string(), {}, 5, {{"left", 1}, {"to_make", 1}});
    const Outcome run = run_batch(file, out.string());
    INFO(run.err);
    CHECK(run.code == 5);
    CHECK(contains(run.err, "a.png is not the picture in the journal: somebody has changed it; it is left as it is"));
    CHECK(text_of(out / "a.png") == edited);
    CHECK(run_batch(file, out.string(), {"--remake"}).code == 0);
    CHECK(verifies(out));
}

TEST_CASE(
    "resume: what somebody put under a picture's name is left, be it no picture, and a file cut to nothing is not somebody's") {
    const TempFolder folder;
    const fs::path out = folder / "out", elsewhere = folder / "notes.txt";
    const std::string file = write_file(
        folder / "p.jsonl", request("a", "a cat") + request("b", "a dog") + request("c", "a fox") + request("d", "a bee"));
    REQUIRE(run_batch(file, out.string()).code == 0);
    write_file((out / "a.png").string(), "a shopping list");
    write_file(elsewhere.string(), "notes");
    fs::remove(out / "b.png");
    fs::create_symlink(elsewhere, out / "b.png");
    fs::resize_file(out / "c.png", 0);
    write_file((out / "d.png").string(), std::string(300, '\0'));  // as a power cut may leave it
    check_rehearsal(file, out.string(), {}, 5, {{"left", 2}, {"to_make", 2}});
    const Outcome run = run_batch(file, out.string());
    INFO(run.err);
    CHECK(run.code == 5);
    CHECK(contains(run.err, "a.png is not the picture in the journal: somebody has changed it; it is left as it is"));
    CHECK(text_of(out / "a.png") == "a shopping list");
    CHECK(fs::is_symlink(out / "b.png"));
    CHECK(text_of(elsewhere) == "notes");
    CHECK(fs::file_size(out / "c.png") > 0);
    CHECK(text_of(out / "d.png").starts_with("\x89PNG"));
}

TEST_CASE("resume: pictures of another form are not put beside the folder's own") {
    const TempFolder folder;
    const fs::path out = folder / "out", tars = folder / "tars", bare = folder / "bare";
    const std::string first = write_file(folder / "p.jsonl", request("a", "a cat")),
                      more = write_file(folder / "more.jsonl", request("a", "a cat") + request("b", "a dog"));
    REQUIRE(run_batch(first, out.string()).code == 0);
    REQUIRE(run_batch(first, tars.string(), {"--format", "webdataset"}).code == 0);
    REQUIRE(run_batch(first, bare.string(), {"--no-metadata", "--name", "{seed}/{id}"}).code == 0);
    const auto refused = [&](const fs::path& to, const std::vector<std::string>& flags, const std::string& says) {
        const auto before = pictures_in(to);
        for (const bool dry : {true, false}) {
            std::vector<std::string> all = flags;
            if (dry) all.emplace_back("--dry-run");
            const Outcome run = run_batch(more, to.string(), all);
            INFO(run.err);
            CHECK(run.code == 2);
            CHECK(contains(run.err, says));
            CHECK(contains(run.err, "; use the same flags, or name another folder\n"));
            CHECK((pictures_in(to) == before));
        }
    };
    refused(out, {"--format", "webdataset"}, "--format: the pictures in this folder are a file each");
    refused(tars, {}, "--format: the pictures in this folder are in tar shards");
    refused(out, {"--image-format", "webp"}, "--image-format: the pictures in this folder are png, not webp 90");
    const fs::path lossless = folder / "lossless", jpegs = folder / "jpegs";
    REQUIRE(run_batch(first, lossless.string(), {"--image-format", "webp", "--quality", "lossless"}).code == 0);
    REQUIRE(run_batch(first, jpegs.string(), {"--format", "webdataset", "--image-format", "jpg"}).code == 0);
    refused(lossless, {"--image-format", "webp"}, "--quality: the pictures in this folder are webp lossless, not webp 90");
    refused(jpegs, {"--format", "webdataset"}, "--image-format: the pictures in this folder are jpg 90, not png");
    refused(out, {"--name", "{prompt}-{id}"}, "--name: the pictures in this folder have names by \"{id}\"");
    refused(bare, {"--no-metadata"}, "--name: the pictures in this folder have names by \"{seed}/{id}\"");
    refused(out, {"--no-metadata"}, "--no-metadata: the pictures in this folder hold their parameters");
    refused(bare, {"--name", "{seed}/{id}"}, "--no-metadata: the pictures in this folder do not hold their parameters");
    CHECK(run_batch(more, bare.string(), {"--name", "{seed}/{id}", "--no-metadata"}).code == 0);
    CHECK(pictures_in(bare).size() == 2);
    CHECK(run_batch(more, tars.string(), {"--format", "webdataset"}).code == 0);
}

TEST_CASE(
    "resume: a sample that is made again stays in its old shard too, which is said; a shard is listed once, when it is whole") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    const std::string file = write_file(folder / "p.jsonl", prompt_lines(5));
    const std::vector<std::string> flags{"--format", "webdataset", "--tar-samples", "2"};
    const Outcome first = run_batch(file, out.string(), flags);
    CHECK(first.out == (out / "shard-000000.tar").string() + "\n" + (out / "shard-000001.tar").string() + "\n" +
                           (out / "shard-000002.tar").string() + "\n");
    std::string bytes = text_of(out / "shard-000000.tar");
    bytes[600] = static_cast<char>(bytes[600] ^ 1);  // in the first sample's picture
    write_file((out / "shard-000000.tar").string(), bytes);
    const Outcome again = run_batch(file, out.string(), flags);
    INFO(again.err);
    CHECK(again.code == 0);
    CHECK(again.out == (out / "shard-000003.tar").string() + "\n");
    CHECK(contains(again.err, "t2i: warning: shard-000000.tar still holds the earlier sample \"p0\""));

    const auto refused = [&](const std::vector<std::string>& more, const std::string& says) {
        const Outcome run = run_batch(file, folder / "none", more);
        CHECK(run.code == 2);
        CHECK(contains(run.err, says));
    };
    refused({"--tar-samples", "2"}, "t2i: error: --tar-samples: without --format webdataset there are no tar shards");
    refused({"--format", "webdataset", "--name", "{seed}-{id}"}, "t2i: error: --name: samples of --format webdataset");
}

TEST_CASE("resume: a manifest that is cut, damaged at its end or gone is written again from the journal") {
    const TempFolder folder;
    const fs::path out = folder / "out", manifest = out / "manifest.jsonl";
    const std::string file = write_file(folder / "p.jsonl", prompt_lines(3)),
                      more = write_file(folder / "more.jsonl", prompt_lines(5));
    REQUIRE(run_batch(file, out.string()).code == 0);
    const std::string good = text_of(manifest);
    std::string changed = good;
    changed.replace(changed.rfind("\"id\""), 4, "\"ID\"");
    const auto check = [&](const std::string& what, const std::string& problem) {
        INFO(what);
        const Outcome verify = run_t2i({"batch", "--verify", "-o", out.string()});
        INFO(verify.out);
        CHECK(verify.code == 3);
        CHECK(contains(verify.out, problem));
        CHECK(contains(verify.out, "the manifest does not match the journal\n"));
        const Outcome run = run_batch(file, out.string());
        INFO(run.err);
        CHECK(run.code == 0);
        CHECK(contains(run.err, "manifest.jsonl: did not match the journal; written again from it\n"));
        CHECK(text_of(manifest) == good);
        CHECK(verifies(out));
        CHECK_FALSE(contains(run_batch(file, out.string()).err, "manifest"));
    };
    // A prompt that somebody has edited.
    std::string edited = good;
    edited.replace(edited.find("\"prompt\":\""), 10, "\"PROMPT\":\"");
    write_file(manifest.string(), edited);
    CHECK(contains(run_t2i({"batch", "--verify", "-o", out.string()}).out, "line 1 is not what the journal says of "));
    write_file(manifest.string(), good);
    fs::resize_file(manifest, 100);
    check("cut", "line 1 is cut short, damaged or of no manifest");
    fs::remove(manifest);
    check("gone", "manifest.jsonl: has no line of 3 pictures, such as \"p");
    write_file(manifest.string(), changed);
    check("damaged", "line 3 is cut short, damaged or of no manifest");
    write_file(manifest.string(), good.substr(0, good.find('\n') + 1));
    check("a line alone", "has no line of 2 pictures");
    // Cut, and the same run makes more: each line is whole, and once.
    fs::resize_file(manifest, good.size() - 50);
    REQUIRE(run_batch(more, out.string()).code == 0);
    CHECK(json_lines(manifest).size() == 5);
    CHECK(text_of(manifest).starts_with(good));
    CHECK(verifies(out));
    // A line of a picture that nobody knows.
    write_file(manifest.string(), text_of(manifest) + R"({"id": "stranger", "sha256": ""})" + "\n");
    CHECK(contains(run_t2i({"batch", "--verify", "-o", out.string()}).out,
                   "line 6 is of a picture that is in no journal: \"stranger\""));
    // Merging writes it from the journal, too.
    fs::remove(manifest);
    REQUIRE(run_t2i({"batch", "--merge", "-o", out.string()}).code == 0);
    CHECK(json_lines(manifest).size() == 5);
    CHECK(verifies(out));
}

TEST_CASE("resume: columns that are no request's come back with a manifest that was gone") {
    const TempFolder folder;
    const fs::path out = folder / "out", manifest = out / "manifest.jsonl";
    const std::string file = write_file(folder / "p.csv", "prompt,category\na cat,animals\na dog,\"pets, too\"\n");
    REQUIRE(run_batch(file, out.string()).code == 0);
    const std::string whole = text_of(manifest);
    CHECK(contains(whole, R"("extra":{"category":"pets, too"})"));
    fs::remove(manifest);
    CHECK(run_batch(file, out.string()).code == 0);
    CHECK(text_of(manifest) == whole);
}

TEST_CASE("resume: what a kill left between a picture and its line in the journal is the run's own, whatever is asked then") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    const std::string file = write_file(folder / "p.jsonl", prompt_lines(4));
    REQUIRE(run_batch(file, out.string()).code == 0);
    // As after a kill: three pictures announced and written, of which one is in the journal.
    const auto journal = json_lines(out / "journal.jsonl");
    write_file((out / "journal.jsonl").string(), journal[0].dump() + "\n");
    fs::create_directory(out / ".unfinished");
    write_file((out / ".unfinished/names").string(), "p0.png\np1.png\np2.png\nsomebody.png\np");
    write_file((out / "p3.png").string(), "mine");
    const Outcome run = run_batch(file, out.string(), {"--cfg-scale", "2", "--remake"});
    INFO(run.err);
    CHECK(run.code == 5);
    CHECK(contains(run.err, "line 4: p3.png is there and in no journal"));
    CHECK(text_of(out / "p3.png") == "mine");
    CHECK(json_lines(out / "failed.jsonl").size() == 1);
    for (const auto& line : json_lines(out / "manifest.jsonl")) CHECK(line["cfg_scale"] == 2);
    CHECK(json_lines(out / "manifest.jsonl").size() == 3);
    CHECK(leftovers_in(out).empty());
}

TEST_CASE("merge: a file that is in no journal stays, and the merge says so") {
    const TempFolder folder;
    const std::string file = write_file(folder / "p.jsonl", request("a", "a cat"));
    REQUIRE(run_batch(file, folder / "one").code == 0);
    fs::create_directory(folder / "all");
    write_file(folder / "all/a.png", "mine");
    const Outcome merged = run_t2i({"batch", "--merge", "-o", folder / "all", folder / "one"});
    INFO(merged.err);
    CHECK(merged.code == 3);
    CHECK(contains(merged.err, "a.png: is there, and another file than in "));
    CHECK(file_text(folder / "all/a.png") == "mine");
}

// Made by t2i 0.1.0 on a CPU with the tiny model, one step.
TEST_CASE("0.1.0: its pictures are verified, its journals go on, and what they do not say is said") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    fs::copy(source_folder() / "tests/golden/v0.1.0/folder", out);
    const auto before = pictures_in(out);
    const std::string file = write_file(folder / "p.jsonl",
                                        file_text((source_folder() / "tests/golden/v0.1.0/prompts.jsonl").string())),
                      more = write_file(folder / "more.jsonl", file_text(file) + request("c", "a plum"));
    const auto run = [&](const std::string& lines, const std::vector<std::string>& flags) {
        std::vector<std::string> all{"batch",    lines, "-o",      out.string(), "-m", tiny_model().string(),
                                     "--device", "cpu", "--dtype", "f32"};
        all.insert(all.end(), flags.begin(), flags.end());
        return run_t2i(all);
    };
    // This machine may have another instruction set than the one that made them: then they are a level or two apart.
    const Outcome verify = run_t2i({"verify", "-m", tiny_model().string(), out.string(), "--tolerance", "2"});
    INFO(verify.out << verify.err);
    CHECK(verify.code == 0);
    CHECK(verifies(out));

    const Outcome same = run(file, {"--steps", "1"});
    INFO(same.err);
    CHECK(same.code == 0);
    CHECK(contains(same.err, "0 pictures made"));
    CHECK(contains(same.err, "2 were done already (2 of them by t2i 0.1.0, which noted of a model its weights alone)"));
    const Outcome other = run(file, {"--steps", "2"});
    INFO(other.err);
    CHECK(other.code == 5);
    CHECK(contains(other.err,
                   "line 1: a.png was made by t2i 0.1.0 from another request, or by another model, device or dtype; it is left"));
    CHECK((pictures_in(out) == before));
    const Outcome refused = run(file, {"--steps", "1", "--name", "{seed}-{id}"});
    CHECK(refused.code == 2);
    CHECK(contains(refused.err, "names such as \"b.png\""));

    REQUIRE(run(more, {"--steps", "1"}).code == 0);
    const auto journal = json_lines(out / "journal.jsonl");
    REQUIRE(journal.size() == 3);
    CHECK_FALSE(journal[1].contains("version"));
    CHECK(journal[2]["version"] == T2I_VERSION);
    CHECK(journal[2]["parameters"]["prompt"] == "a plum");
    CHECK(verifies(out));
    const auto manifest = json_lines(out / "manifest.jsonl");

    // Their lines of the manifest are nowhere else.
    const std::string text = text_of(out / "manifest.jsonl");
    write_file((out / "manifest.jsonl").string(), text.substr(0, text.find('\n') + 1));
    const Outcome rebuilt = run(more, {"--steps", "1"});
    INFO(rebuilt.err);
    CHECK(rebuilt.code == 0);
    CHECK(contains(rebuilt.err, "written again from it, without 1 picture of t2i 0.1.0, whose journal does not describe it"));
    CHECK((json_lines(out / "manifest.jsonl") == std::vector<json>{manifest[0], manifest[2]}));
    CHECK(contains(run_t2i({"batch", "--verify", "-o", out.string()}).out, "has no line of 1 picture: \"b.png\""));

    // Of another model they are left, too, and verify says so.
    const fs::path model = folder / "model";
    copy_tiny_model(model);
    std::string weights = text_of(model / "vae/diffusion_pytorch_model.safetensors");
    weights.back() = static_cast<char>(weights.back() ^ 1);
    write_file((model / "vae/diffusion_pytorch_model.safetensors").string(), weights);
    const Outcome another = run_t2i({"verify", "-m", model.string(), (out / "a.png").string()});
    CHECK(another.code == 3);
    CHECK(contains(another.out, "was made by \"tiny\" (hash 780ea55baf), this is \"model\" (hash "));
}

}  // namespace
}  // namespace t2i::test
