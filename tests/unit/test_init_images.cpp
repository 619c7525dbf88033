// Pictures that begin with a picture, without a model: sizes as Pillow makes them, where samplers begin, what a request may say,
// how a picture and its mask are told apart (scripts/golden/init_images.py).
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "pipeline/parameters.h"
#include "pipeline/picture_encode.h"
#include "pipeline/picture_fit.h"
#include "pipeline/picture_read.h"
#include "pipeline/start_picture.h"
#include "sampling/sampler.h"
#include "support/files.h"
#include "support/fixture.h"
#include "unit/expect_error.h"
#include "unit/prompt_entries.h"
#include "unit/replay.h"

namespace t2i::test {
namespace {

constexpr std::size_t elements = 3;

Image image_of(const TensorView& pixels) {
    Image image{.width = static_cast<int>(pixels.shape[1]),
                .height = static_cast<int>(pixels.shape[0]),
                .rgb = {},
                .seed = 0,
                .parameters = {}};
    const auto values = pixels.as<const std::uint8_t>();
    image.rgb.assign(values.begin(), values.end());
    return image;
}

Image plain(int width, int height, std::uint8_t value) {
    Image image{.width = width, .height = height, .rgb = {}, .seed = 0, .parameters = {}};
    image.rgb.assign(std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height), value);
    return image;
}

SourcePicture source_of(Image image) {
    return {.file = {}, .pixels = std::make_shared<const Image>(std::move(image))};
}

// A generator that takes whatever a request says.
class AnyRules final : public RequestRules {
    [[nodiscard]] std::shared_ptr<const GenerationPlan> plan(const GenerateRequest& /*request*/) const override {
        return std::make_shared<GenerationPlan>();
    }
};

ResolvedRequest resolved(const GenerateRequest& request) {
    return resolve(request, AnyRules(), {.side = 16, .multiple = 8, .bins = {}});
}

std::shared_ptr<const StartPicture> start_of(const GenerateRequest& request) {
    return read_start(request, resolved(request));
}

GenerateRequest begun_with(SourcePicture picture) {
    GenerateRequest request;
    request.init_image = std::move(picture);
    return request;
}

// Largest difference after a step, relative to the largest value and sum of terms of it and the three before.
double error_of_begun(const SamplerPlan& plan, const nlohmann::json& theirs) {
    std::vector<double> start;
    const NoiseMix level = plan.steps.front().begins_at;
    for (std::size_t j = 0; j < elements; ++j) {
        const double at = static_cast<double>(j);
        start.push_back(level.signal * static_cast<float>(std::sin(1.0 + at)) +
                        level.noise * static_cast<float>(1.1 * std::cos(0.7 * at + 0.2)));
    }
    const auto model = [](const std::vector<double>& x, double t) {
        std::vector<double> out;
        for (const double v : x) out.push_back(0.5 * v + 0.1 * std::sin(t / 100));
        return out;
    };
    const auto noise = [](int k) {
        std::vector<double> out;
        for (std::size_t j = 0; j < elements; ++j) out.push_back(1.3 * std::sin(1.7 * k + 0.9 * static_cast<double>(j) + 0.5));
        return out;
    };
    std::vector<double> sums{0.0};
    std::vector<std::vector<double>> ours{start};
    for (auto& row : replay<double>(plan, start, model, noise, &sums)) ours.push_back(std::move(row));
    REQUIRE(ours.size() == theirs.size());
    std::vector<double> sizes;
    double worst = 0.0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        double difference = 0.0, size = std::max(sums[i], 1e-30);
        for (std::size_t j = 0; j < elements; ++j) {
            const double reference = theirs[i][j].get<double>();
            difference = std::max(difference, std::abs(ours[i][j] - reference));
            size = std::max(size, std::abs(reference));
        }
        sizes.push_back(size);
        const auto first = sizes.end() - std::min<std::ptrdiff_t>(std::ssize(sizes), 4);
        worst = std::max(worst, difference / *std::max_element(first, sizes.end()));
    }
    return worst;
}

}  // namespace

TEST_CASE("init image: pictures come to their size as Pillow brings them, to the bit") {
    const auto manifest = read_manifest("init_images");
    const auto results = read_results("init_images");
    std::size_t number = 0;
    for (const auto& c : manifest.at("resized")) {
        const std::string name = "resized " + std::to_string(number++);
        INFO(name << " " << c.dump());
        const Image from = image_of(results->tensor(name + " from")), wanted = image_of(results->tensor(name));
        const Image ours = fit_picture(from, wanted.width, wanted.height, fit_named(c.at("mode").get<std::string>()));
        CHECK(ours.rgb == wanted.rgb);
    }
    // What does not cover the new picture is filled up with its own edge.
    Image red = plain(4, 8, 200);
    const Image filled = fit_picture(red, 16, 8, Fit::fill);
    CHECK(filled.rgb == plain(16, 8, 200).rgb);
    CHECK(contains(message_of(ErrorCode::invalid_argument, [] { (void)fit_named("squeeze"); }),
                   "resize_mode: \"squeeze\" is none of crop, stretch, fill"));
}

TEST_CASE("init image: every sampler begins where diffusers begins, and goes on without a history") {
    const auto manifest = read_manifest("init_images");
    for (const auto& c : manifest.at("begun")) {
        ScheduleConfig config = parse_schedule_config(c.at("config").dump(), "golden");
        config.eta = c.at("options").value("eta", 0.0);
        for (const auto& run : c.at("runs")) {
            const int steps = run.at("steps").get<int>();
            const auto strength = run.at("strength").get<double>();
            const std::string name = sampler_for(config).name + " " + c.at("config").dump() + " " + std::to_string(steps) +
                                     " steps, strength " + std::to_string(strength);
            INFO(name);
            const SamplerPlan plan = plan_steps(config, steps, first_step(steps, strength, config.prediction));
            REQUIRE(plan.steps.size() == run.at("timesteps").size());
            for (std::size_t i = 0; i < plan.steps.size(); ++i) {
                const double timestep = run.at("timesteps")[i].get<double>();
                CHECK(std::abs(plan.steps[i].timestep - timestep) <= 1e-6 * std::max(std::abs(timestep), 1.0));
            }
            CHECK(std::ranges::count_if(plan.steps, [](const SamplerStep& s) { return s.draws_noise; }) ==
                  run.at("draws").get<int>());
            check_parity("sampler begun with a picture", name, error_of_begun(plan, run.at("trajectory")), 1e-5);
        }
    }
}

TEST_CASE("init image: the share of steps is that of diffusers, whose pipelines for flows round the other way") {
    CHECK(first_step(50, 0.8, Prediction::epsilon) == 10);
    CHECK(first_step(50, 0.58, Prediction::epsilon) == 22);  // 28.999999999999996 steps
    CHECK(first_step(5, 0.5, Prediction::v_prediction) == 3);
    CHECK(first_step(5, 0.5, Prediction::flow) == 2);
    CHECK(first_step(20, 1.0, Prediction::epsilon) == 0);
    CHECK(contains(message_of(ErrorCode::invalid_argument, [] { (void)first_step(20, 0.04, Prediction::epsilon); }),
                   "strength: 0.04 of 20 steps leaves none"));
    CHECK(first_step(20, 0.04, Prediction::flow) == 19);
    CHECK(contains(message_of(ErrorCode::invalid_argument, [] { (void)first_step(20, 0.0, Prediction::flow); }), "strength: 0 "));
    const auto pndm = parse_schedule_config(R"({"_class_name":"PNDMScheduler"})", "x");
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)plan_steps(pndm, 8, 2); }), "sampler: pndm begins with"));
    CHECK(plan_steps(pndm, 8, 0).steps.size() == 17);
}

TEST_CASE("init image: what says nothing without one is refused by name") {
    GenerateRequest mask, strength, mode, paste, binned = begun_with(source_of(plain(16, 16, 0)));
    mask.mask = source_of(plain(16, 16, 0));
    strength.strength = 0.5;
    mode.resize_mode = "stretch";
    paste.init_image = source_of(plain(16, 16, 0));
    paste.keep_unmasked = true;
    binned.resolution_binning = true;
    const auto refusal = [](const GenerateRequest& r) {
        return message_of(ErrorCode::invalid_argument, [&] {
            (void)resolve(r, AnyRules(), {.side = 16, .multiple = 8, .bins = {{.ratio = 1, .height = 16, .width = 16}}});
        });
    };
    CHECK(refusal(mask) == "mask: says nothing without a picture to begin with (init_image)");
    CHECK(refusal(strength) == "strength: says nothing without a picture to begin with (init_image)");
    CHECK(refusal(mode) == "resize_mode: says nothing without a picture to begin with (init_image)");
    CHECK(refusal(paste) == "keep_unmasked: says nothing without a mask");
    CHECK(contains(refusal(binned), "resolution_binning: is for pictures made from nothing"));
    GenerateRequest other = begun_with(source_of(plain(16, 16, 0)));
    other.mask = source_of(plain(16, 8, 0));
    CHECK(message_of(ErrorCode::invalid_argument, [&] { (void)start_of(other); }) ==
          "mask: has 16x8 pixels, init_image 16x16; they must be of one size");
    Image cut = plain(16, 16, 0);
    cut.rgb.pop_back();
    CHECK(message_of(ErrorCode::invalid_argument, [&] { (void)start_of(begun_with(source_of(cut))); }) ==
          "init_image: 767 bytes are not a picture of 16x16");
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)start_of(begun_with({.file = "no/such.png", .pixels = {}})); }),
                   "no/such.png: "));
    CHECK(start_of({}) == nullptr);
}

TEST_CASE("init image: a picture is told by its pixels, whatever file they come in") {
    const TempFolder folder;
    Image picture = plain(20, 10, 90);
    picture.rgb[7] = 201;
    const auto file = [&](const std::string& name, const PictureEncoding& encoding, const std::string& parameters) {
        picture.parameters = parameters;
        const auto bytes = encode_picture(picture, encoding);
        return write_file(folder / name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    const auto hash = [](SourcePicture source) { return start_of(begun_with(std::move(source)))->hash; };
    const std::string own = hash(source_of(picture));
    CHECK(own.size() == 16);
    CHECK(hash({.file = file("a.png", {}, ""), .pixels = {}}) == own);
    CHECK(hash({.file = file("b.webp", {.format = PictureFormat::webp, .lossless = true}, "a text\nSteps: 1"), .pixels = {}}) ==
          own);
    Image turned = picture;  // the same bytes in another shape
    std::swap(turned.width, turned.height);
    CHECK(hash(source_of(turned)) != own);
    const auto named = start_of(begun_with({.file = file("c\xC2\x9B"
                                                         "1m.png",
                                                         {}, ""),
                                            .pixels = {}}));
    CHECK(named->name == "c\\u009b1m.png");
}

TEST_CASE("init image: transparent pixels lie over white") {
    const Image seen = over_white({.width = 3, .height = 1, .rgba = {10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128}});
    CHECK(seen.rgb == std::vector<std::uint8_t>{10, 20, 30, 255, 255, 255, 127, 177, 255});
    // 2x1 pixels, red and transparent black.
    const std::array<std::uint8_t, 72> png{
        0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0x00, 0x00, 0x00, 0x0D, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00,
        0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0xF4, 0x22, 0x7F, 0x8A, 0x00, 0x00, 0x00,
        0x0F, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9C, 0x63, 0xF8, 0xCF, 0xC0, 0x00, 0x44, 0x0C, 0x0C, 0x00, 0x0C, 0xFC,
        0x01, 0xFF, 0x5C, 0xFD, 0x14, 0x95, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82};
    const Image read = decode_picture(png, "x");
    CHECK(read.rgb == std::vector<std::uint8_t>{255, 0, 0, 255, 255, 255});
    CHECK(decode_transparency(png, "x").rgb == std::vector<std::uint8_t>{0, 0, 0, 255, 255, 255});
    const auto jpeg = encode_picture(plain(2, 1, 200), {.format = PictureFormat::jpeg});
    CHECK(decode_transparency(jpeg, "x").rgb == plain(2, 1, 0).rgb);
}

TEST_CASE("init image: text that is anybody's cannot name files, a prompt file can") {
    const std::string lines = R"({"prompt":"cat","init_image":"/etc/passwd"})"
                              "\n"
                              R"({"prompt":"cat","init_image":""})"
                              "\n"
                              R"({"prompt":"cat","mask":"a.png"})"
                              "\n"
                              R"({"prompt":"cat","strength":0.5})"
                              "\n";
    const auto entries = entries_of(lines, batch::PromptFormat::json_lines);
    REQUIRE(entries.size() == 4);
    CHECK(entries[0].problem == "init_image: names a file, and files are not read for this request");
    CHECK(entries[1].problem == "init_image is empty; a line without one leaves it out");
    CHECK(entries[2].problem == "mask: names a file, and files are not read for this request");
    CHECK(entries[3].request->request.strength == 0.5);
    const TempFolder folder;
    const auto file = batch::open_prompts(write_file(folder / "a.jsonl", lines), {});
    batch::PromptEntry entry;
    REQUIRE(file->next(entry));
    REQUIRE(entry.request);
    CHECK(entry.request->request.init_image.file == "/etc/passwd");
}

TEST_CASE("init image: a photo stands upright, however the camera was held") {
    // 1 2 3
    // 4 5 6
    Image picture = plain(3, 2, 0);
    for (std::size_t i = 0; i < 6; ++i) picture.rgb[3 * i] = static_cast<std::uint8_t>(i + 1);
    const auto seen = [&](int orientation) {
        const Image turned = upright(picture, orientation);
        std::string text = std::to_string(turned.width) + ":";
        for (std::size_t i = 0; i < turned.rgb.size(); i += 3) text += std::to_string(turned.rgb[i]);
        return text;
    };
    const std::vector<std::string> wanted{"3:123456", "3:321654", "3:654321", "3:456123",
                                          "2:142536", "2:415263", "2:635241", "2:362514"};
    for (int orientation = 1; orientation <= 8; ++orientation)
        CHECK(seen(orientation) == wanted[static_cast<std::size_t>(orientation - 1)]);

    std::vector<std::uint8_t> jpeg = encode_picture(plain(24, 16, 99), {.format = PictureFormat::jpeg});
    const auto size = [&](const std::vector<std::uint8_t>& file) {
        const Image read = decode_picture(file, "x");
        return std::to_string(read.width) + "x" + std::to_string(read.height);
    };
    CHECK(size(jpeg) == "24x16");
    // APP1 with one entry, Orientation 6.
    std::vector<std::uint8_t> turned{0xFF, 0xE1, 0,    34,   'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0,
                                     1,    0,    0x12, 0x01, 3,   0,   1,   0,   0, 0, 6,   0,   0,  0, 0, 0, 0, 0};
    turned.insert(turned.begin(), jpeg.begin(), jpeg.begin() + 2);
    turned.insert(turned.end(), jpeg.begin() + 2, jpeg.end());
    CHECK(size(turned) == "16x24");
    turned[2 + 28] = 9;  // no orientation
    CHECK(size(turned) == "24x16");
    turned[2 + 14] = 200;  // a folder past the end
    CHECK(size(turned) == "24x16");
}

TEST_CASE("init image: a mask is read at each latent's upper left pixel, above one half of grey") {
    GenerateRequest request = begun_with(source_of(plain(16, 16, 50)));
    Image mask = plain(16, 16, 0);
    const auto paint = [&](int x, int y, std::array<std::uint8_t, 3> rgb) {
        std::ranges::copy(rgb, mask.rgb.begin() + 3 * (16 * y + x));
    };
    paint(8, 0, {128, 128, 128});
    paint(0, 8, {127, 127, 127});
    paint(8, 8, {0, 218, 0});  // grey 128
    paint(9, 9, {255, 255, 255});
    request.mask = source_of(mask);
    const auto start = start_of(request);
    const Tensor latents = latent_mask(*start, 8);
    CHECK(std::ranges::equal(latents.as<float>(), std::array{0.0F, 1.0F, 0.0F, 1.0F}));
    CHECK(latent_mask(*start_of(begun_with(source_of(plain(16, 16, 50)))), 8).view.empty());
    // Pasting mixes by the grey itself.
    std::vector<std::uint8_t> drawn(768, 250);
    paste_unmasked(*start, drawn);
    CHECK(drawn[0] == 50);
    CHECK(drawn[3 * 8] == 150);
    CHECK(drawn[3 * (16 * 9 + 9)] == 250);
    const Tensor input = encoder_input(*start);
    CHECK(input.as<float>()[0] == 2.0F * (50.0F / 255.0F) - 1.0F);
}

TEST_CASE("init image: metadata says what a picture began with, and nothing where it began with noise") {
    auto plan = std::make_shared<GenerationPlan>();
    plan->fields = {{.key = "steps", .label = "Steps", .value = std::int64_t{20}},
                    {.key = "strength", .label = "Denoising strength", .value = 0.6}};
    GenerateRequest request = begun_with(source_of(plain(16, 16, 0)));
    request.mask = source_of(plain(16, 16, 255));
    request.resize_mode = "stretch";
    request.keep_unmasked = true;
    ResolvedRequest r = resolved(request);
    r.plan = plan;
    r.prompt = "cat";
    auto start = std::make_shared<StartPicture>(*start_of(request));
    start->name = "a, b.png";
    r.start = start;
    const std::string text = parameters_text(r, {}, {}, 7);
    CHECK(contains(text, ", Denoising strength: 0.6, "));
    CHECK(contains(text, ", Init image hash: " + start->hash + ", Init image: \"a, b.png\", Mask hash: " + start->mask_hash +
                             ", Resize mode: stretch, Keep unmasked: true"));
    const Parameters p = read_parameters(text, "x");
    CHECK(p.init_image.name == "a, b.png");
    CHECK(p.init_image.hash == start->hash);
    CHECK(p.mask.hash == start->mask_hash);
    CHECK(p.request.strength == 0.6);
    CHECK(p.request.resize_mode == "stretch");
    CHECK(p.request.keep_unmasked == true);
    r.start = nullptr;
    CHECK_FALSE(contains(parameters_text(r, {}, {}, 7), "Init image"));
    // Of other programs' pictures the strength may be that of a second pass over their own picture.
    const Parameters theirs =
        read_parameters("cat\nSteps: 20, Seed: 1, Size: 64x64, Denoising strength: 0.7, Hires upscale: 2, Version: v1.9", "x");
    CHECK_FALSE(theirs.request.strength.has_value());
}

}  // namespace t2i::test
