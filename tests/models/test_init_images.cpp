// Pictures that begin with a picture, against diffusers' rules, from pixels to pixels (scripts/golden/init_images.py).
#include <algorithm>
#include <cmath>

#include "core/json_options.h"
#include "models/golden_picture.h"
#include "models/registry.h"
#include "pipeline/engine.h"
#include "pipeline/picture_encode.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/fixture.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

std::shared_ptr<const Image> image_of(const TensorView& pixels) {
    auto image = std::make_shared<Image>();
    image->width = static_cast<int>(pixels.shape[1]);
    image->height = static_cast<int>(pixels.shape[0]);
    const auto values = pixels.as<const std::uint8_t>();
    image->rgb.assign(values.begin(), values.end());
    return image;
}

struct Fixture {
    nlohmann::json manifest = read_manifest("init_images");
    std::unique_ptr<CheckpointReader> results = read_results("init_images");
    std::shared_ptr<const Image> picture = image_of(results->tensor("picture")), mask = image_of(results->tensor("mask"));

    // A model folder with a case's scheduler and autoencoder.
    void write(const nlohmann::json& c, const TempFolder& folder) const {
        nlohmann::json pipeline = manifest.at("pipeline");
        const auto config = c.at("scheduler").get<std::string>();
        if (c.at("vae") == "tiny") {
            pipeline["components"]["vae"] = manifest.at("tiny");
            pipeline["model_index"]["vae"][1] = "AutoencoderTiny";
        }
        pipeline["model_index"]["scheduler"][1] = JsonOptions::parse(config, "config").text("_class_name", {});
        pipeline["files"]["scheduler/scheduler_config.json"]["text"] = config;
        write_pipeline(pipeline, folder.path());
    }
    [[nodiscard]] GenerateRequest request_of(const nlohmann::json& c) const {
        GenerateRequest request = test::request_of(c);
        request.strength = c.at("strength").get<double>();
        request.resize_mode = c.at("resize_mode").get<std::string>();
        request.init_image.pixels = picture;
        if (c.at("mask").get<bool>()) request.mask.pixels = mask;
        return request;
    }
};

PipelineOptions options_for(const TempFolder& folder, const std::string& device) {
    PipelineOptions options;
    options.model = folder.path().string();
    options.device = device;
    options.dtype = "f32";
    options.threads = 2;
    return options;
}

PictureJob job_of(Engine& engine, const GenerateRequest& request, const ResolvedRequest& settings) {
    return {.prompt = engine.tokenize(request.prompt, "prompt").ids,
            .negative = engine.tokenize(request.negative_prompt, "negative_prompt").ids,
            .seed = request.seed,
            .start = read_start(request, settings)};
}

struct Drawn {
    std::vector<Tensor> latents;
    std::vector<std::vector<std::uint8_t>> rgb;
};

Drawn draw(Engine& engine, const ResolvedRequest& settings, std::span<const PictureJob> jobs) {
    Drawn drawn;
    drawn.latents.resize(jobs.size());
    drawn.rgb.resize(jobs.size());
    engine.make(
        settings, jobs,
        {.picture = [&](std::size_t i, Engine::Picture made) { drawn.rgb[i] = std::move(made.rgb); },
         .progress = {},
         .grid = [&](std::size_t i, const TensorView& grid) { drawn.latents[i] = Tensor::from(grid.as<float>(), grid.shape); }});
    engine.flush();
    return drawn;
}

int largest_difference(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
    REQUIRE(a.size() == b.size());
    int largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(int{a[i]} - int{b[i]}));
    return largest;
}

}  // namespace

TEST_CASE("init image: pictures from pictures are those of diffusers' rules, with masks and without") {
    const Fixture fixture;
    for (const auto& c : fixture.manifest.at("pictures"))
        for (const std::string device : {"ref", "cpu", "emulated"}) {
            const auto name = c.at("name").get<std::string>();
            INFO(name << " on " << device);
            const TempFolder folder;
            fixture.write(c, folder);
            Engine engine(options_for(folder, device));
            const GenerateRequest request = fixture.request_of(c);
            const ResolvedRequest settings = engine.resolve(request);
            const PictureJob job = job_of(engine, request, settings);
            const Drawn drawn = draw(engine, settings, std::span(&job, 1));
            const TensorView latents = fixture.results->tensor(name + ".latents"), rgb = fixture.results->tensor(name + ".rgb");
            check_parity("Picture from a picture, final latents", name + " f32 " + device,
                         relative_error(drawn.latents[0], latents), 1e-4);
            check_parity("Picture from a picture, largest difference of a pixel value", name + " f32 " + device,
                         largest_difference(drawn.rgb[0], rgb.as<const std::uint8_t>()), 1);
        }
}

TEST_CASE("init image: pictures of one batch begin with their own, and none depends on the others") {
    const Fixture fixture;
    const auto& c = *std::ranges::find(fixture.manifest.at("pictures"), "mask, euler_a",
                                       [](const auto& p) { return p.at("name").template get<std::string>(); });
    for (const std::string device : {"cpu", "emulated"}) {
        INFO(device);
        const TempFolder folder;
        fixture.write(c, folder);
        Engine engine(options_for(folder, device));
        GenerateRequest request = fixture.request_of(c);
        const ResolvedRequest settings = engine.resolve(request);
        std::vector<PictureJob> jobs{job_of(engine, request, settings)};
        auto other = std::make_shared<Image>(*fixture.picture);
        std::ranges::reverse(other->rgb);
        request.init_image.pixels = other;
        request.seed = 77;
        jobs.push_back(job_of(engine, request, settings));
        const Drawn both = draw(engine, settings, jobs);
        CHECK(both.rgb[0] != both.rgb[1]);
        for (std::size_t i = 0; i < jobs.size(); ++i) CHECK(draw(engine, settings, std::span(&jobs[i], 1)).rgb[0] == both.rgb[i]);
        // Anew after others, and by noise alone in between.
        GenerateRequest noise = fixture.request_of(c);
        noise.init_image = noise.mask = {};
        noise.strength.reset();
        const ResolvedRequest plain = engine.resolve(noise);
        CHECK(plain.batch_key != settings.batch_key);
        const PictureJob job = job_of(engine, noise, plain);
        static_cast<void>(draw(engine, plain, std::span(&job, 1)));
        engine.drop_caches();
        CHECK(draw(engine, settings, jobs).rgb == both.rgb);
    }
}

TEST_CASE("init image: the front door takes pixels and files, and keeps what the mask does not reach where it is told to") {
    const Fixture fixture;
    const auto& c = *std::ranges::find(fixture.manifest.at("pictures"), "mask, ddim",
                                       [](const auto& p) { return p.at("name").template get<std::string>(); });
    const TempFolder folder, files;
    fixture.write(c, folder);
    Pipeline pipeline = Pipeline::load(options_for(folder, "cpu"));
    GenerateRequest request = fixture.request_of(c);
    const Image of_pixels = pipeline.generate(request).front();
    const auto save = [&](const std::string& name, const Image& image) {
        const auto bytes = encode_picture(image);
        return write_file(files / name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    request.init_image = {.file = save("from.png", *fixture.picture), .pixels = {}};
    request.mask = {.file = save("mask.png", *fixture.mask), .pixels = {}};
    const Image of_files = pipeline.generate(request).front();
    CHECK(of_files.rgb == of_pixels.rgb);
    CHECK(contains(of_files.parameters, ", Init image: from.png, "));
    CHECK_FALSE(contains(of_pixels.parameters, ", Init image: "));

    request.keep_unmasked = true;
    const Image kept = pipeline.generate(request).front();
    Engine engine(options_for(folder, "cpu"));
    const auto start = read_start(request, engine.resolve(request));
    std::size_t dark = 0, white = 0;
    for (std::size_t i = 0; i < start->mask.size(); ++i)
        for (std::size_t j = 3 * i; j < 3 * i + 3; ++j) {
            if (start->mask[i] == 0 && ++dark > 0) CHECK(kept.rgb[j] == start->rgb[j]);
            if (start->mask[i] == 255 && ++white > 0) CHECK(kept.rgb[j] == of_files.rgb[j]);
        }
    CHECK(dark > 1000);
    CHECK(white > 1000);
    GenerateRequest range = fixture.request_of(c);
    range.strength = 1.5;
    CHECK(message_of(ErrorCode::invalid_argument, [&] { (void)pipeline.generate(range); }) ==
          "strength: 1.5 is out of range [0, 1]");
}

TEST_CASE("init image: a model with a decoder alone says so in a line, and draws from noise as ever") {
    const TempFolder folder;
    write_pipeline(read_manifest("pipeline")["cases"].front()["pipeline"], folder.path());
    Pipeline pipeline = Pipeline::load(options_for(folder, "cpu"));
    GenerateRequest request;
    request.prompt = "a red apple";
    request.steps = 1;
    CHECK(pipeline.generate(request).size() == 1);
    request.init_image.pixels = Fixture().picture;
    request.strength = 1.0;
    const std::string message = message_of(ErrorCode::input, [&] { (void)pipeline.generate(request); });
    CHECK(contains(message, "/vae: has no encoder that could read a picture: tensor \"encoder.conv_in.weight\" is missing"));
    CHECK_FALSE(contains(message, "\n"));
}

}  // namespace t2i::test
