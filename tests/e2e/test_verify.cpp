// t2i verify: pictures made again and compared.
#include <hwy/targets.h>

#include "core/files.h"
#include "e2e/tiny_model.h"
#include "pipeline/parameters.h"
#include "pipeline/png_encode.h"
#include "pipeline/png_read.h"
#include "support/catch.h"
#include "support/run_t2i.h"

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

TEST_CASE("verify: another dtype is named") {
    const TempFolder folder;
    const auto path = picture(folder, "a.png", {"--device", "ref", "--dtype", "bf16"});
    const Outcome run = verify({path, "--device", "ref", "--dtype", "f32"});
    INFO(run.out << run.err);
    CHECK(run.code == 3);
    CHECK(run.out.ends_with("; made with dtype bf16, here f32\n"));
    CHECK(verify({path, "--device", "ref", "--dtype", "bf16"}).out == path + ": the same\n");
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
        return run.err;
    };
    CHECK(with("").find("no parameters chunk") != std::string::npos);
    CHECK(with("a cat").find("Steps") != std::string::npos);
    CHECK(with("a\nSteps: 3, Seed: 1, Size: 64x64, Model hash: 123, Model: other")
              .find("made by other (hash 123), this is tiny-64") != std::string::npos);
    const std::string inspected = run_t2i({"inspect", tiny_model().string()}).out;
    const auto at = inspected.find("hash ") + 5;
    const std::string own = ", Model hash: " + inspected.substr(at, 10);
    CHECK(with("a\nSteps: 3, Seed: 1, Size: 64x80" + own).find("not of its parameters' size") != std::string::npos);
    CHECK(with("a\nSteps: 0, Seed: 1, Size: 64x64" + own).find("a.png: steps: 0 is out of range") != std::string::npos);
    CHECK(with("a\nSteps: 3, Seed: 1, Size: 64x64, Sampler: Heun" + own).find("Heun") != std::string::npos);
    CHECK(verify({folder / "none.png"}).code == 3);
    CHECK(verify({write_file(folder / "text.png", "not a PNG")}).code == 3);
    CHECK(verify({}).code == 2);
}

}  // namespace
}  // namespace t2i::test
