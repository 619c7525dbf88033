#include "models/golden_picture.h"

#include <cmath>
#include <cstdlib>

#include "pipeline/engine.h"
#include "support/catch.h"

namespace t2i::test {

GenerateRequest request_of(const nlohmann::json& c) {
    const auto& r = c.at("request");
    GenerateRequest request;
    request.prompt = r.at("prompt").get<std::string>();
    request.negative_prompt = r.at("negative_prompt").get<std::string>();
    request.steps = r.at("steps").get<int>();
    request.cfg_scale = r.at("cfg_scale").get<double>();
    request.seed = r.at("seed").get<std::uint64_t>();
    request.width = r.at("width").get<int>();
    request.height = r.at("height").get<int>();
    request.clean_caption = r.value("clean_caption", false);
    request.resolution_binning = r.value("resolution_binning", false);
    return request;
}

namespace {

struct Difference {
    int largest = 0;  // of one value of 0..255
    double mean = 0;
};

Difference compare(const std::vector<std::uint8_t>& a, std::span<const std::uint8_t> b) {
    REQUIRE(a.size() == b.size());
    Difference d;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const int level = std::abs(static_cast<int>(a[i]) - static_cast<int>(b[i]));
        d.largest = std::max(d.largest, level);
        d.mean += level / static_cast<double>(a.size());
    }
    return d;
}

}  // namespace

Tensor latents_of(PipelineOptions options, const GenerateRequest& asked, const Shape& shape) {
    if (options.dtype == "auto") options.dtype = "f32";
    options.threads = 2;
    Engine engine(options);
    const ResolvedRequest request = engine.resolve(asked);
    PictureJob job{.prompt = engine.tokenize(request.prompt, "--prompt", false).ids, .negative = {}, .seed = request.seed};
    if (request.guided) job.negative = engine.tokenize(request.negative_prompt, "--negative-prompt", false).ids;
    Tensor latents;
    engine.make(request, std::span(&job, 1),
                {.picture = [](std::size_t, Engine::Picture) {},
                 .progress = {},
                 .grid = [&](std::size_t, const TensorView& grid) { latents = Tensor::from(grid.as<float>(), shape); }});
    engine.flush();
    return latents;
}

void check_picture(const std::string& component, const nlohmann::json& c, const CheckpointReader& results,
                   PipelineOptions options) {
    const auto name = c.at("name").get<std::string>();
    const std::string device = options.device;
    INFO(name << " on " << device);
    options.dtype = "f32";
    options.threads = 2;
    Engine engine(options);
    const ResolvedRequest request = engine.resolve(request_of(c));
    const bool clean = request.clean_caption;
    PictureJob job{.prompt = engine.tokenize(request.prompt, "--prompt", clean).ids, .negative = {}, .seed = request.seed};
    if (request.guided) job.negative = engine.tokenize(request.negative_prompt, "--negative-prompt", clean).ids;
    const TensorView latents = results.tensor(name + ".latents"), rgb = results.tensor(name + ".rgb");
    Tensor ours;
    std::vector<std::uint8_t> picture;
    engine.make(request, std::span(&job, 1),
                {.picture = [&](std::size_t, Engine::Picture made) { picture = std::move(made.rgb); },
                 .progress = {},
                 .grid = [&](std::size_t, const TensorView& grid) { ours = Tensor::from(grid.as<float>(), latents.shape); }});
    engine.flush();
    check_parity(component + ", final latents", name + " f32 " + device, relative_error(ours, latents), 1e-4);
    const Difference d = compare(picture, rgb.as<std::uint8_t>());
    check_parity(component + ", largest difference of a pixel value", name + " f32 " + device, d.largest, 1);
    CHECK(d.mean < 0.05);
    if (device != "cpu") return;
    const auto images = Pipeline::load(options).generate(request_of(c));  // the front door draws the same
    REQUIRE(images.size() == 1);
    CHECK(images[0].rgb == picture);
}

}  // namespace t2i::test
