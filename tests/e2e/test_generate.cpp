// The program from outside: pictures, names, metadata, reproducibility.
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/files.h"
#include "e2e/tiny_model.h"
#include "pipeline/png_read.h"
#include "support/catch.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> arguments(std::vector<std::string> more) {
    std::vector<std::string> a{"-m", tiny_model().string(), "--steps", "3"};
    a.insert(a.end(), more.begin(), more.end());
    return a;
}

TEST_CASE("a prompt becomes a PNG of the model's size, and stdout carries its path alone") {
    const TempFolder folder;
    const auto out = (folder.path() / "a.png").string();
    const Outcome run = run_t2i(arguments({"-p", "a red apple", "-o", out}));
    INFO(run.err);
    REQUIRE(run.code == 0);
    CHECK(run.out == out + "\n");
    const PngInfo info = read_png_info(read_file(out), out);
    CHECK(info.width == 64);
    CHECK(info.height == 64);
}

TEST_CASE("the same request gives the same bytes, whatever the threads, and another seed gives another picture") {
    const TempFolder folder;
    const auto make = [&](const std::string& name, std::vector<std::string> more) {
        const auto out = folder.path() / name;
        more.insert(more.end(), {"-p", "红苹果", "-o", out.string()});
        REQUIRE(run_t2i(arguments(more)).code == 0);
        return bytes_of(out);
    };
    const auto first = make("a.png", {"-s", "7", "-t", "1"});
    CHECK(first == make("b.png", {"-s", "7", "-t", "2"}));
    CHECK(first != make("c.png", {"-s", "8"}));
    CHECK(first != make("d.png", {"-s", "7", "-n", "green pear"}));
}

TEST_CASE("a picture of a batch is the picture of its own seed") {
    const TempFolder folder;
    const auto out = (folder.path() / "x.png").string();
    const Outcome batch = run_t2i(arguments({"-p", "a cat", "-s", "5", "-b", "4", "-o", out}));
    INFO(batch.err);
    REQUIRE(batch.code == 0);
    const auto single = folder.path() / "single.png";
    REQUIRE(run_t2i(arguments({"-p", "a cat", "-s", "7", "-o", single.string()})).code == 0);
    for (int i = 0; i < 4; ++i) CHECK(fs::exists(folder.path() / ("x_" + std::to_string(i) + ".png")));
    CHECK(bytes_of(folder.path() / "x_2.png") == bytes_of(single));
}

TEST_CASE("a picture does not depend on how many are made together") {
    const TempFolder folder;
    // A sampler that draws noise at every step: each picture has its own stream.
    const auto make = [&](const std::string& together) {
        const auto out = folder / ("by" + together + "_%d.png");
        const Outcome run = run_t2i(arguments(
            {"-p", "a cat", "-b", "5", "-s", "11", "--sampling-method", "euler_a", "--engine-batch", together, "-o", out}));
        INFO(run.err);
        REQUIRE(run.code == 0);
    };
    for (const char* together : {"1", "2", "3"}) make(together);
    for (int i = 0; i < 5; ++i)
        for (const char* together : {"2", "3"}) {
            INFO("picture " << i << " made " << together << " at a time");
            const auto name = [&](const std::string& t) { return folder.path() / ("by" + t + "_" + std::to_string(i) + ".png"); };
            CHECK(bytes_of(name("1")) == bytes_of(name(together)));
        }
}

TEST_CASE("output names: a pattern, a folder") {
    const TempFolder folder;
    REQUIRE(run_t2i(arguments({"-p", "a cat", "-b", "2", "-o", (folder.path() / "p%03d.png").string()})).code == 0);
    CHECK(fs::exists(folder.path() / "p001.png"));
    REQUIRE(run_t2i(arguments({"-p", "a cat", "-b", "2", "-o", folder.path().string() + "/"})).code == 0);
    CHECK(fs::exists(folder.path() / "000.png"));
    CHECK(fs::exists(folder.path() / "001.png"));
}

TEST_CASE("the parameters chunk holds the request, and inspect prints it") {
    const TempFolder folder;
    const auto out = (folder.path() / "a.png").string();
    REQUIRE(run_t2i(arguments({"-p", "红苹果, twemoji", "-n", "blurry", "-s", "9", "--cfg-scale", "2.5", "-o", out})).code == 0);
    const Outcome inspect = run_t2i({"inspect", out});
    REQUIRE(inspect.code == 0);
    CHECK(
        inspect.out.starts_with("红苹果, twemoji\nNegative prompt: blurry\nSteps: 3, Sampler: dpm++2m, CFG scale: 2.5, Seed: 9, "
                                "Size: 64x64, Model hash: "));
    CHECK(inspect.out.find("Model: tiny-64, Device: cpu") != std::string::npos);

    REQUIRE(run_t2i(arguments({"-p", "a", "--no-metadata", "-o", out})).code == 0);
    CHECK(run_t2i({"inspect", out}).out == "64x64 PNG without parameters\n");
}

TEST_CASE("inspect takes many files and folders, and says of each what it is, as JSON too") {
    const TempFolder folder;
    fs::create_directories(folder.path() / "many/deep");
    for (const char* name : {"many/a.png", "many/deep/b.png"})
        REQUIRE(run_t2i({"-m", tiny_model().string(), "-p", "a cat\nNegative prompt: x", "-n", "dog", "--steps", "1", "-o",
                         folder / name})
                    .code == 0);
    const std::string none = folder / "none.png", weights = (tiny_model() / "vae").string();
    const Outcome text = run_t2i({"inspect", folder / "many", none, tiny_model().string()});
    CHECK(text.code == 3);
    CHECK(text.out.find("a.png:\na cat\nNegative prompt: x\nNegative prompt: dog\nSteps: 1, ") != std::string::npos);
    CHECK(text.out.find("deep/b.png:\n") != std::string::npos);
    CHECK(text.out.find("PixArtAlphaPipeline") != std::string::npos);
    CHECK(text.err.find("none.png: no such file or folder\nt2i: error: 1 of 4 could not be read\n") != std::string::npos);

    const Outcome run = run_t2i({"inspect", "--json", folder / "many", none, tiny_model().string(), weights});
    CHECK(run.code == 3);
    std::vector<nlohmann::json> found;
    std::istringstream lines(run.out);
    for (std::string line; std::getline(lines, line);) found.push_back(nlohmann::json::parse(line));
    REQUIRE(found.size() == 5);
    CHECK(found[0]["file"] == folder / "many/a.png");
    CHECK(found[0]["kind"] == "picture");
    CHECK(found[0]["width"] == 64);
    CHECK(found[0]["prompt"] == "a cat\nNegative prompt: x");
    CHECK(found[0]["negative_prompt"] == "dog");
    CHECK(found[0]["fields"]["Steps"] == "1");
    CHECK(found[0]["parameters"].get<std::string>().starts_with("a cat\n"));
    CHECK(found[2]["error"].get<std::string>().find("no such file") != std::string::npos);
    CHECK(found[3]["kind"] == "model");
    CHECK(found[3]["hash"] == found[0]["fields"]["Model hash"]);
    CHECK(found[3]["components"]["vae"]["tensors"] > 0);
    CHECK(found[4]["kind"] == "checkpoint");
    CHECK(found[4]["entries"].size() == found[4]["tensors"]);
    fs::create_directory(folder.path() / "empty");
    CHECK(run_t2i({"inspect", folder / "empty"}).code == 3);
}

TEST_CASE("inspect shows a model folder and a safetensors file") {
    const Outcome model = run_t2i({"inspect", tiny_model().string()});
    INFO(model.err);
    REQUIRE(model.code == 0);
    CHECK(model.out.find("PixArtTransformer2DModel") != std::string::npos);
    CHECK(model.out.find("dpm++2m") != std::string::npos);
    const Outcome file = run_t2i({"inspect", (tiny_model() / "transformer/diffusion_pytorch_model.safetensors").string()});
    REQUIRE(file.code == 0);
    CHECK(file.out.find("transformer_blocks.0.attn1.to_q.weight") != std::string::npos);
}

TEST_CASE("every sampler that fits the model draws a picture") {
    const TempFolder folder;
    const auto out = (folder.path() / "a.png").string();
    std::istringstream list(run_t2i({"--sampling-method", "list"}).out);
    int drawn = 0;
    for (std::string line; std::getline(list, line);) {
        const std::string sampler = line.substr(0, line.find(' '));
        if (sampler.starts_with("flow_euler") || sampler == "iddpm") continue;  // of other models
        const Outcome run =
            run_t2i({"-m", tiny_model().string(), "-p", "a", "--steps", "4", "--sampling-method", sampler, "-o", out});
        INFO(sampler << ": " << run.err);
        CHECK(run.code == 0);
        CHECK(run_t2i({"verify", "-m", tiny_model().string(), out}).code == 0);  // by the name in its metadata
        ++drawn;
    }
    CHECK(drawn == 19);
}

TEST_CASE("a scheduler class that nobody knows stops a picture only where no other sampler is asked for") {
    const TempFolder folder;
    copy_tiny_model(folder.path() / "model");
    write_file((folder.path() / "model/scheduler/scheduler_config.json").string(), R"({"_class_name": "LMSDiscreteScheduler"})");
    const std::string index = (folder.path() / "model/model_index.json").string();
    auto components = nlohmann::json::parse(file_text(index));
    components["scheduler"][1] = "LMSDiscreteScheduler";
    write_file(index, components.dump());
    const auto draw = [&](std::vector<std::string> more) {
        more.insert(more.end(), {"-m", folder / "model", "-p", "a", "--steps", "1", "-o", folder / "a.png"});
        return run_t2i(more);
    };
    const Outcome refused = draw({});
    CHECK(refused.code == 3);
    CHECK(refused.err.find("scheduler_config.json: the scheduler class \"LMSDiscreteScheduler\" is not supported") !=
          std::string::npos);
    CHECK(draw({"--sampling-method", "unipc"}).code == 0);
    const Outcome about = run_t2i({"inspect", folder / "model"});
    CHECK(about.code == 0);
    CHECK(about.out.find("LMSDiscreteScheduler") != std::string::npos);
}

TEST_CASE("a prompt longer than the model takes is cut with a warning that shows what was lost") {
    const TempFolder folder;
    std::string prompt;
    for (int i = 0; i < 200; ++i) prompt += "apple ";
    const Outcome run = run_t2i(arguments({"-p", prompt + "zebra", "-o", (folder.path() / "a.png").string()}));
    CHECK(run.code == 0);
    CHECK(run.err.find("warning: prompt is longer than the model's 120 tokens; cut: ") != std::string::npos);
    CHECK(run.err.find("zebra") != std::string::npos);
}

TEST_CASE("a TOML file gives flags, and the command line wins") {
    const TempFolder folder;
    const auto config = folder.path() / "t2i.toml";
    std::ofstream(config) << "prompt = \"a cat\"\nseed = 3\nmodel = \"" << tiny_model().string() << "\"\nsteps = 2\n";
    const auto out = (folder.path() / "a.png").string();
    const Outcome run = run_t2i({"--config", config.string(), "--seed", "4", "-o", out});
    INFO(run.err);
    REQUIRE(run.code == 0);
    const auto text = run_t2i({"inspect", out}).out;
    CHECK(text.find("Steps: 2,") != std::string::npos);
    CHECK(text.find("Seed: 4,") != std::string::npos);
}

TEST_CASE("an interrupt ends after the step, with code 130 and no file") {
    const TempFolder folder;
    const Outcome run = interrupt_t2i(
        {"-m", tiny_model().string(), "-p", "a", "--steps", "1000", "-b", "1000", "-o", folder.path().string() + "/"});
    INFO(run.err);
    CHECK(run.code == 130);
    CHECK(run.err.ends_with("t2i: error: interrupted\n"));
    for (const auto& entry : fs::directory_iterator(folder.path())) CHECK(entry.path().extension() == ".png");
}

TEST_CASE("bench writes a table and JSON with the peak of the same run") {
    const TempFolder folder;
    const auto json = folder.path() / "bench.json";
    const Outcome run = run_t2i(
        {"bench", "-m", tiny_model().string(), "--steps", "2", "--runs", "2", "--warm-ups", "0", "--json", json.string()});
    INFO(run.err);
    REQUIRE(run.code == 0);
    CHECK(run.out.find("denoise, 2 steps with CFG") != std::string::npos);
    const auto parsed = nlohmann::json::parse(bytes_of(json));
    CHECK(parsed["peak_gflops"].get<double>() > 0);
    CHECK(parsed["rows"].size() == 7);
}

}  // namespace
}  // namespace t2i::test
