// t2i convert: what it writes draws the same pictures, or nearly, and nothing that is there is touched.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checkpoint/safetensors.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/run_t2i.h"
#include "t2i/picture.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

Outcome convert(const std::string& from, const std::string& to, const std::vector<std::string>& more = {}) {
    std::vector<std::string> all{"convert", from, to};
    all.insert(all.end(), more.begin(), more.end());
    return run_t2i(all);
}

// Its pixels' file without parameters, which name the model.
std::string drawn(const std::vector<std::string>& model) {
    const TempFolder folder;
    std::vector<std::string> all{"-p", "a cat",          "--steps",      "2", "--device", "cpu", "--dtype", "f32",
                                 "-o", folder / "a.png", "--no-metadata"};
    all.insert(all.end(), model.begin(), model.end());
    const Outcome run = run_t2i(all);
    INFO(run.err);
    REQUIRE(run.code == 0);
    return file_text(folder / "a.png");
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("convert: a whole model keeps its pictures, and in another type says what that cost") {
    const TempFolder folder;
    const std::string model = tiny_model().string(), same = folder / "same", half = folder / "half";
    const Outcome copied = convert(model, same);
    INFO(copied.err);
    REQUIRE(copied.code == 0);
    CHECK(contains(copied.out, " tensors, all equal to the input\n"));
    CHECK(drawn({"-m", same}) == drawn({"-m", model}));
    for (const char* part : {"transformer", "text_encoder", "vae", "scheduler", "tokenizer"})
        CHECK(fs::is_directory(fs::path(same) / part));

    const Outcome rounded = convert(model, half + "/", {"--type", "bf16", "--json"});
    REQUIRE(rounded.code == 0);
    std::istringstream lines(rounded.out);
    std::size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        const auto tensor = nlohmann::json::parse(line);
        CHECK(tensor["to"] == "bf16");
        CHECK(tensor["relative_error"].get<double>() < 0x1p-8);
    }
    CHECK(contains(copied.out, "same: " + std::to_string(count) + " tensors"));
    CHECK(fs::file_size(fs::path(half) / "transformer/diffusion_pytorch_model.safetensors") <
          fs::file_size(fs::path(same) / "transformer/diffusion_pytorch_model.safetensors"));
    CHECK_FALSE(drawn({"-m", half}).empty());
    CHECK(names_in(folder.path()) == std::vector<std::string>{"half", "same"});
}

TEST_CASE("convert: the folder of a transformer may have its early name, and a part remembers its config") {
    const TempFolder folder;
    const std::string early = folder / "early", now = folder / "now", part = folder / "part.gguf";
    fs::copy(tiny_class_model(), early, fs::copy_options::recursive);
    fs::rename(early + "/transformer", early + "/dit");
    auto index = nlohmann::json::parse(file_text(early + "/model_index.json"));
    index["dit"] = index["transformer"];
    index.erase("transformer");
    write_file(early + "/model_index.json", index.dump());
    const Outcome run = convert(early, now);
    INFO(run.err);
    REQUIRE(run.code == 0);
    const auto pixels = [&](const std::vector<std::string>& model) {
        std::vector<std::string> all{
            "-p", "0", "--steps", "2", "--device", "cpu", "--dtype", "f32", "-o", folder / "a.png", "--no-metadata"};
        all.insert(all.end(), model.begin(), model.end());
        const Outcome drawn = run_t2i(all);
        INFO(drawn.err);
        REQUIRE(drawn.code == 0);
        return file_text(folder / "a.png");
    };
    const std::string plain = pixels({"-m", tiny_class_model().string()});
    CHECK(pixels({"-m", now}) == plain);
    CHECK(fs::is_directory(now + "/transformer"));
    REQUIRE(convert(now + "/transformer", part).code == 0);
    CHECK(pixels({"-m", tiny_class_model().string(), "--transformer", part}) == plain);
}

TEST_CASE("convert: a text encoder in GGUF draws in place of the model's own") {
    const TempFolder folder;
    const std::string model = tiny_model().string(), encoder = model + "/text_encoder";
    const std::string plain = folder / "plain.gguf", blocks = folder / "blocks.gguf", back = folder / "back";
    REQUIRE(convert(encoder, plain).code == 0);
    CHECK(drawn({"-m", model, "--text-encoder", plain}) == drawn({"-m", model}));
    const Outcome packed = convert(encoder, blocks, {"--type", "Q8_0"});
    INFO(packed.err);
    REQUIRE(packed.code == 0);
    CHECK(contains(packed.out, "enc.blk.0.attn_q.weight"));
    CHECK(contains(packed.out, " q8_0 "));
    CHECK(contains(packed.out, " rounded, at worst by "));
    CHECK_FALSE(drawn({"-m", model, "--text-encoder", blocks}).empty());
    REQUIRE(convert(plain, back).code == 0);
    CHECK(names_in(back) == std::vector<std::string>{"config.json", "model.safetensors"});
    CHECK(drawn({"-m", model, "--text-encoder", back}) == drawn({"-m", model}));
}

TEST_CASE("convert: what is there stays, and what cannot be is said in one line") {
    const TempFolder folder;
    const std::string model = tiny_model().string(), part = model + "/transformer";
    const auto refused = [&](const std::string& from, const std::string& to, const std::vector<std::string>& more, int code,
                             const std::string& says) {
        const Outcome run = convert(from, to, more);
        INFO(run.err);
        CHECK(run.code == code);
        CHECK(contains(run.err, says));
        CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
    };
    const std::string kept = write_file(folder / "kept.gguf", "mine");
    fs::create_directory(folder / "kept");
    refused(part, kept, {}, 3, "is there already, and is not replaced");
    refused(part, folder / "kept", {}, 3, "is there already, and is not replaced");
    refused(model, folder / "a.gguf", {}, 2, "a whole model is written as a folder");
    refused(part, folder / "a", {"--type", "q4_k"}, 2, "--type: q4_k is kept in GGUF alone");
    refused(part, folder / "a.safetensors", {"--type", "q8_0"}, 2, "--type: q8_0 is kept in GGUF alone");
    refused(part, folder / "a", {"--type", "bf61"}, 2, "--type: unknown type \"bf61\"; did you mean bf16?");
    refused(folder / "none", folder / "a", {}, 3, "no such file or folder");
    refused(part, folder / "no/where/a", {}, 3, "output folder does not exist");
    refused(part, folder / "no/where.gguf", {}, 3, "output folder does not exist");
    refused(kept, folder / "a", {}, 3, "kept.gguf");
    refused(part, "", {}, 2, "");
    refused(part, folder / "a.pth", {}, 2, "written are NAME.gguf, NAME.safetensors and folders");
    refused(model, folder / "a", {"--variant", "fp16"}, 3, "--variant: no component has files of this variant");
    refused(model, folder / "A.GGUF", {}, 2, "a whole model is written as a folder");
    refused(part, folder / "a.gguf", {"--type", "q8"}, 2, "--type: unknown type \"q8\"; did you mean q8_0?");
    refused(part, folder / "a.gguf", {"--type", "q4"}, 2, "--type: unknown type \"q4\"; did you mean q4_k or q4_0?");
    refused(model + "/tokenizer", folder / "a", {}, 3, "is a tokenizer's folder, which has no weights to convert");
    refused(model + "/scheduler", folder / "a", {}, 3, "is a scheduler's folder, which has no weights to convert");
    refused(folder / "kept", folder / "a", {}, 3, "is neither a model's folder (it has no model_index.json) nor a part's");
    refused(model + "/model_index.json", folder / "a", {}, 3, "is the index of a model, not weights; give the folder");
    refused(part + "/config.json", folder / "a", {}, 3, "is a config, not weights; give the folder that it lies in");
    const std::string longest(255, 'n'), longer(256, 'n');
    refused(part, folder / longer, {}, 3, "File name too long");
    refused(part, folder / (longer + ".gguf"), {}, 3, "File name too long");
    CHECK(convert(part, folder / longest).code == 0);  // what it is called meanwhile is no longer than that
    fs::remove_all(folder / longest);
    CHECK(file_text(kept) == "mine");
    CHECK(names_in(folder.path()) == std::vector<std::string>{"kept", "kept.gguf"});
    CHECK(fs::is_empty(folder / "kept"));
}

TEST_CASE("convert: an error of the values names the file, one of the disk the output") {
    const TempFolder folder;
    const fs::path part = folder.path() / "transformer";
    fs::copy(tiny_model() / "transformer", part);
    const std::string weights = (part / "diffusion_pytorch_model.safetensors").string();
    {
        const auto reader = open_checkpoint(weights);
        std::vector<Tensor> owned;
        std::vector<std::string> names;
        for (const auto& entry : reader->entries()) {
            owned.push_back(Tensor::host(entry.shape));
            std::ranges::copy(reader->tensor(entry.name).as<float>(), owned.back().as<float>().begin());
            names.push_back(entry.name);
        }
        owned.front().as<float>().front() = 1e30F;
        std::vector<NamedTensor> all;
        for (std::size_t i = 0; i < names.size(); ++i) all.push_back({names[i], owned[i]});
        write_safetensors(weights + ".new", all);
    }
    fs::rename(weights + ".new", weights);
    const Outcome run = convert(part.string(), folder / "out", {"--type", "f16"});
    CHECK(run.code == 3);
    INFO(run.err);
    CHECK(run.err.starts_with("t2i: error: " + weights + ": tensor \""));
    CHECK(contains(run.err, " is too large for f16\n"));
    CHECK(names_in(folder.path()) == std::vector<std::string>{"transformer"});
}

TEST_CASE("convert: what a killed process left goes with the next one, and what a living one makes stays") {
    const TempFolder folder;
    const std::string model = tiny_model().string();
    for (const std::string name : {"whole", "part.gguf"}) {
        const std::string from = name == "whole" ? model : model + "/transformer", out = folder / name;
        const auto unfinished = [&] {
            const auto names = names_in(folder.path());
            const auto found =
                std::ranges::find_if(names, [](const std::string& n) { return n.starts_with(".t2i-unfinished-"); });
            return found == names.end() ? std::string() : folder / *found;
        };
        {
            // The first tensor's line fills a pipe that nobody reads, so that the process stands where it is.
            int ends[2];
            REQUIRE(::pipe(ends) == 0);
            REQUIRE(::fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
            const std::string full(4096, ' ');
            REQUIRE(::write(ends[1], full.data(), full.size()) == static_cast<ssize_t>(full.size()));
            Process run({"convert", from, out, "--json"}, {.output = ends[1]});
            REQUIRE(run.wait_until([&] { return !unfinished().empty() && !fs::is_empty(unfinished()); }));
            const Outcome other = convert(from, out);
            CHECK(other.code == 3);
            CHECK(other.err == "t2i: error: " + out + ": another process is making it\n");
            run.signal(SIGKILL);
            CHECK(run.wait().code == 128 + SIGKILL);
            ::close(ends[0]);
            ::close(ends[1]);
        }
        CHECK_FALSE(unfinished().empty());
        write_file(unfinished() + "/left", "of the one that was killed");
        const Outcome again = convert(from, out);
        INFO(again.err);
        CHECK(again.code == 0);
        CHECK(unfinished().empty());
        CHECK_FALSE(fs::exists(fs::path(out) / "left"));
    }
    CHECK(names_in(folder.path()) == std::vector<std::string>{"part.gguf", "whole"});
}

TEST_CASE("convert: the help says what becomes of rows that are no whole blocks") {
    CHECK(contains(run_t2i({"convert", "--help"}).out, "rows that 32 does not divide either are kept as f16"));
}

}  // namespace t2i::test
