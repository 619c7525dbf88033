// t2i verify: pictures made again and compared.
#include <hwy/targets.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/files.h"
#include "e2e/tiny_model.h"
#include "generators/model_hash.h"
#include "pipeline/parameters.h"
#include "pipeline/png_encode.h"
#include "pipeline/png_read.h"
#include "support/catch.h"
#include "support/run_t2i.h"
#include "t2i/version.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

std::string picture(const TempFolder& folder, const std::string& name, std::vector<std::string> more = {}) {
    std::vector<std::string> a{"-m", tiny_model().string(), "-p", "红苹果, twemoji", "--steps", "3", "-s", "9",
                               "-o", folder / name};
    a.insert(a.end(), more.begin(), more.end());
    REQUIRE(run_t2i(a).code == 0);
    return folder / name;
}

Outcome verify(std::vector<std::string> more) {
    more.insert(more.begin(), {"verify", "-m", tiny_model().string()});
    return run_t2i(more);
}

TEST_CASE("verify: pictures are made again, the same to the last bit with any number of threads") {
    const TempFolder folder;
    const auto plain = picture(folder, "a.png");
    const auto special =
        picture(folder, "b.png",
                {"-n", "blurry", "--cfg-scale", "2.5", "--sampling-method", "euler", "--scheduler", "karras", "-W", "96"});
    const Outcome run = verify({plain, special, "-t", "1"});
    INFO(run.err);
    CHECK(run.code == 0);
    CHECK(run.out == plain + ": the same\n" + special + ": the same\n");
}

TEST_CASE("verify: a changed picture is told from the same one, within a tolerance") {
    const TempFolder folder;
    const auto path = picture(folder, "a.png");
    Image image = decode_png(read_file(path), path);
    const PngInfo info = read_png_info(read_file(path), path);
    image.rgb[100] = static_cast<std::uint8_t>(image.rgb[100] ^ 2);
    write_file_atomically(path, encode_png(image.width, image.height, image.rgb, info.text.front().second));
    const Outcome run = verify({path});
    CHECK(run.code == 3);
    CHECK(run.out ==
          path + ": up to 2 levels of 255 apart, in 0.01 % of its values; made with the hardware, dtype and build of here\n");
    CHECK(run.err.find("1 of 1 picture is not what the parameters make on ") != std::string::npos);
    CHECK(verify({path, "--tolerance", "2"}).code == 0);
    CHECK(verify({path, "--tolerance", "1"}).code == 3);
}

#if HWY_ARCH_X86
// This process computes with fewer lanes as long as it lives: AVX2 where there is AVX-512, else SSE2.
class FewerLanes {
  public:
    FewerLanes() {
        const std::int64_t all = hwy::SupportedTargets();  // the better, the lower the bit
        const bool has_avx512 = (all & (HWY_AVX2 - 1)) != 0;
        hwy::SetSupportedTargetsForTest(all & ~(has_avx512 ? HWY_AVX2 - 1 : 2 * HWY_AVX2 - 1));
    }
    ~FewerLanes() { hwy::SetSupportedTargetsForTest(0); }
    FewerLanes(const FewerLanes&) = delete;
    FewerLanes& operator=(const FewerLanes&) = delete;
};

TEST_CASE("verify: another instruction set makes another picture, within a tolerance, and is named") {
    PipelineOptions options;
    options.model = tiny_model().string();
    options.device = "cpu";
    options.dtype = "f32";
    GenerateRequest request;
    request.prompt = "cat";
    request.steps = 4;
    request.width = request.height = 512;
    const auto make = [&](ModelInfo& info) {
        Pipeline pipeline = Pipeline::load(options);
        info = pipeline.info();
        return pipeline.generate(request).front();
    };
    ModelInfo here, other;
    const Image usual = make(here);
    Image image;
    {
        const FewerLanes fewer;
        image = make(other);
    }
    REQUIRE(other.hardware != here.hardware);
    CHECK(image.parameters != usual.parameters);
    CHECK(image.rgb != usual.rgb);

    const TempFolder folder;
    const std::string path = folder / "a.png";
    write_file_atomically(path, encode_png(image.width, image.height, image.rgb, image.parameters));
    const Outcome run = verify({path, "--device", "cpu", "--dtype", "f32"});
    INFO(run.out << run.err);
    CHECK(run.code == 3);
    CHECK(run.out.starts_with(path + ": up to "));
    CHECK(run.out.ends_with("; made with hardware " + other.hardware + ", here " + here.hardware + "\n"));
    CHECK(verify({path, "--device", "cpu", "--dtype", "f32", "--tolerance", "2"}).code == 0);

    write_file_atomically(path, encode_png(usual.width, usual.height, usual.rgb, usual.parameters));
    CHECK(verify({path, "--device", "cpu", "--dtype", "f32"}).out == path + ": the same\n");
}
#endif

TEST_CASE("verify: device and dtype are the file's, unless another is asked for, which is named") {
    const TempFolder folder;
    const auto path = picture(folder, "a.png", {"--device", "ref", "--dtype", "bf16"});
    const auto other = picture(folder, "b.png", {"--device", "cpu", "--dtype", "f32"});
    CHECK(verify({path, other}).code == 0);
    const Outcome run = verify({path, "--device", "ref", "--dtype", "f32"});
    INFO(run.out << run.err);
    CHECK(run.code == 3);
    CHECK(run.out.ends_with("; made with dtype bf16, here f32\n"));
    CHECK(verify({path, "--device", "ref", "--dtype", "bf16"}).out == path + ": the same\n");
}

// The file's parameters, changed.
void change_parameters(const std::string& path, const std::function<std::string(std::string)>& change) {
    const Image image = decode_png(read_file(path), path);
    const std::string text = read_png_info(read_file(path), path).text.front().second;
    write_file_atomically(path, encode_png(image.width, image.height, image.rgb, change(text)));
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    REQUIRE(text.find(from) != std::string::npos);
    return text.replace(text.find(from), from.size(), to);
}

TEST_CASE("verify: all files and folders are checked, whatever is wrong with some, and each is told of") {
    const TempFolder folder;
    std::filesystem::create_directories(folder.path() / "many/deep/.hidden");
    const auto first = picture(folder, "many/a.png"), last = picture(folder, "many/deep/z.png"), plain = picture(folder, "b.png");
    picture(folder, "many/deep/.hidden/h.png");
    const auto bare = picture(folder, "bare.png", {"--no-metadata"}), text = write_file(folder / "text.png", "not a PNG"),
               foreign = picture(folder, "foreign.png");
    change_parameters(foreign, [](const std::string&) {
        return "cat\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 64x64, Model hash: 6ce0161689, Version: v1.6.0";
    });
    const Outcome run = verify({bare, folder / "none.png", text, foreign, folder / "many", plain});
    INFO(run.out << run.err);
    CHECK(run.code == 3);
    CHECK(contains(run.out, bare + ": not checked: has no parameters, so nothing says how it was made\n"));
    CHECK(contains(run.out, folder / "none.png" + std::string(": not checked: cannot be read: No such file or directory\n")));
    CHECK(contains(run.out, text + ": not checked: not a PNG"));
    CHECK(contains(run.out, foreign + ": not checked: was not made by t2i but by another program (\"v1.6.0\"), whose pictures"));
    CHECK(contains(run.out, first + ": the same\n" + last + ": the same\n" + plain + ": the same\n"));
    CHECK_FALSE(contains(run.out, "h.png"));
    CHECK(run.err == "t2i: error: 4 of 7 pictures could not be checked\n");
    std::filesystem::create_directory(folder / "empty");
    CHECK(contains(verify({folder / "empty"}).out, "empty: not checked: holds no picture"));
    CHECK(verify({folder / "many"}).code == 0);
}

TEST_CASE("verify: as JSON, an object a line") {
    const TempFolder folder;
    const auto same = picture(folder, "a.png"), other = picture(folder, "b\x01.png");
    change_parameters(other, [](const std::string& text) { return replaced(text, "Seed: 9", "Seed: 10"); });
    const Outcome run = verify({"--json", same, other, folder / "none.png"});
    INFO(run.out << run.err);
    CHECK(run.code == 3);
    std::istringstream lines(run.out);
    std::map<std::string, nlohmann::json> found;
    for (std::string line; std::getline(lines, line);) {
        const auto j = nlohmann::json::parse(line);
        found[j["file"]] = j;
    }
    REQUIRE(found.size() == 3);
    CHECK(found[same]["result"] == "same");
    CHECK(found[same]["levels"] == 0);
    CHECK(found[other]["result"] == "different");
    CHECK(found[other]["levels"] > 0);
    CHECK(found[other]["values_different"] <= found[other]["values"]);
    CHECK(found[folder / "none.png"]["result"] == "unchecked");
    CHECK(contains(found[folder / "none.png"]["why"].get<std::string>(), "cannot be read"));
}

TEST_CASE("verify: another decoder is written down by name and hash, asked for, and compared") {
    const TempFolder folder;
    const std::string vae = folder / "soft vae", another = folder / "another";
    for (const auto& to : {vae, another})
        std::filesystem::copy(tiny_model() / "vae", to, std::filesystem::copy_options::recursive);
    write_file(another + "/config.json", file_text(another + "/config.json") + " ");
    const auto path = picture(folder, "a.png", {"--vae", vae + "/"}), plain = picture(folder, "b.png");
    const std::string text = run_t2i({"inspect", path}).out;
    const auto at = text.find(", VAE hash: ");
    REQUIRE(at != std::string::npos);
    const std::string hash = text.substr(at + 12, 10);
    CHECK(contains(text, ", VAE hash: " + hash + ", VAE: soft vae, "));
    CHECK_FALSE(contains(run_t2i({"inspect", plain}).out, "VAE"));

    const Outcome without = verify({path, plain});
    INFO(without.out);
    CHECK(without.code == 3);
    CHECK(contains(without.out, path + ": not checked: was made with another decoder than the model's, \"soft vae\" (hash " +
                                    hash + "); --vae names it\n"));
    CHECK(contains(without.out, plain + ": the same\n"));
    const Outcome wrong = verify({path, "--vae", another});
    INFO(wrong.out);
    CHECK(wrong.code == 3);
    CHECK(contains(wrong.out, "\"soft vae\" (hash " + hash + "); --vae names \"another\" (hash "));
    CHECK(verify({path, plain, "--vae", vae}).code == 0);
}

TEST_CASE("verify: a model whose schedule was changed is another one") {
    const TempFolder folder;
    const std::filesystem::path model = folder.path() / "model";
    copy_tiny_model(model);
    const auto path = picture(folder, "a.png");
    const auto check = [&] { return run_t2i({"verify", "-m", model.string(), path}); };
    CHECK(check().code == 0);
    write_file((model / "notes.safetensors").string(), "lies beside");
    CHECK(check().code == 0);
    const std::string config = (model / "scheduler/scheduler_config.json").string();
    write_file(config, replaced(file_text(config), "\"beta_end\": 0.02", "\"beta_end\": 0.03"));
    const Outcome run = check();
    INFO(run.out);
    CHECK(run.code == 3);
    CHECK(contains(run.out, "was made by \"tiny-64\" (hash "));
    CHECK(contains(run.out, "this is \"model\" (hash "));
}

TEST_CASE("verify: fast math is written down, and taken from the file") {
    const TempFolder folder;
    const auto path = picture(folder, "a.png", {"--fast-math"});
    CHECK(contains(run_t2i({"inspect", path}).out, ", Fast math: true"));
    CHECK(verify({path}).code == 0);
}

TEST_CASE("verify: a prompt with a line that looks like a negative prompt's, and one of 0.1.0 that left it open") {
    const TempFolder folder;
    std::vector<std::string> a{"-m", tiny_model().string(), "-p", "红苹果\nNegative prompt: blurry", "--steps", "2",
                               "-o", folder / "a.png"};
    REQUIRE(run_t2i(a).code == 0);
    const std::string path = folder / "a.png";
    CHECK(contains(run_t2i({"inspect", path}).out, ", Prompt lines: 2\n"));
    CHECK(verify({path}).out == path + ": the same\n");
    const std::string hash = hash_weights_0_1(tiny_model().string());
    change_parameters(path, [&](std::string text) {
        text = text.substr(0, text.find(", Prompt lines: 2"));
        text = replaced(text, std::string("Version: t2i ") + T2I_VERSION, "Version: t2i 0.1.0");
        const auto at = text.find("Model hash: ") + 12;
        return text.replace(at, 10, hash);
    });
    const Outcome run = verify({path});
    INFO(run.out);
    CHECK(run.out == path + ": the same\n");
}

TEST_CASE("verify: what cannot be made again is one line and exit code 3") {
    const TempFolder folder;
    const auto path = picture(folder, "a.png");
    const Image image = decode_png(read_file(path), path);
    const auto with = [&](const std::string& parameters) {
        write_file_atomically(path, encode_png(image.width, image.height, image.rgb, parameters));
        const Outcome run = verify({path});
        CHECK(run.code == 3);
        CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
        CHECK(std::count(run.out.begin(), run.out.end(), '\n') == 1);
        return run.out;
    };
    CHECK(contains(with(""), "no parameters"));
    CHECK(contains(with("a cat"), "Steps"));
    CHECK(contains(with("a\nSteps: 3, Seed: 1, Size: 64x64, Model hash: 123, Model: other"), "was not made by t2i"));
    CHECK(contains(with("a\nSteps: 3, Seed: 1, Size: 64x64, Model hash: 123, Model: other, Version: t2i 0.2.0"),
                   "made by \"other\" (hash 123), this is \"tiny-64\""));
    const std::string inspected = run_t2i({"inspect", tiny_model().string()}).out;
    const auto at = inspected.find("hash ") + 5;
    const std::string own = ", Version: t2i 0.2.0, Model hash: " + inspected.substr(at, 10);
    CHECK(with("a\nSteps: 3, Seed: 1, Size: 64x80" + own).find("not of its parameters' size") != std::string::npos);
    CHECK(with("a\nSteps: 0, Seed: 1, Size: 64x64" + own).find("a.png: not checked: steps: 0 is out of range") !=
          std::string::npos);
    CHECK(with("a\nSteps: 3, Seed: 1, Size: 64x64, Sampler: Restart" + own).find("Restart") != std::string::npos);
    CHECK(verify({folder / "none.png"}).code == 3);
    CHECK(verify({write_file(folder / "text.png", "not a PNG")}).code == 3);
    CHECK(verify({}).code == 2);
}

}  // namespace
}  // namespace t2i::test
