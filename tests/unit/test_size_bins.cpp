// The sizes that PixArt is drawn at for other sizes, and how its pictures are brought to those (scripts/golden/binning.py).
#include "generators/pipelines.h"
#include "generators/size_bins.h"
#include "pipeline/picture_resize.h"
#include "pipeline/request.h"
#include "support/catch.h"
#include "support/fixture.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

class AnyPlan final : public RequestRules {
  public:
    [[nodiscard]] std::shared_ptr<const GenerationPlan> plan(const GenerateRequest& request) const override {
        auto plan = std::make_shared<GenerationPlan>();
        plan->key = std::to_string(*request.width) + "x" + std::to_string(*request.height);
        return plan;
    }
};

ResolvedRequest binned(int width, int height, const PictureSizes& sizes) {
    GenerateRequest request{.width = width, .height = height};
    request.resolution_binning = true;
    return resolve(request, AnyPlan(), sizes);
}

PictureSizes sizes_of(std::int64_t side) {
    return {.side = static_cast<int>(side * 8), .multiple = 16, .bins = pixart_sigma_bins(side)};
}

}  // namespace

TEST_CASE("binning: every size is drawn at the one that diffusers draws at") {
    const auto cases = read_manifest("binning").at("classified");
    REQUIRE(cases.size() > 200);
    for (const auto& c : cases) {
        INFO(c.dump());
        const ResolvedRequest r = binned(c[2].get<int>(), c[1].get<int>(), sizes_of(c[0].get<std::int64_t>()));
        CHECK(r.drawn_height == c[3].get<int>());
        CHECK(r.drawn_width == c[4].get<int>());
        CHECK(r.height == c[1].get<int>());
        CHECK(r.width == c[2].get<int>());
        CHECK(r.plan->key == std::to_string(r.drawn_width) + "x" + std::to_string(r.drawn_height));
    }
}

TEST_CASE("binning: Alpha has no table of 2048 pixels, and other models none at all") {
    CHECK(pixart_alpha_bins(128).size() == 33);
    CHECK(pixart_sigma_bins(256).size() == 40);
    for (const std::int64_t side : {8, 16, 96, 256}) CHECK(pixart_alpha_bins(side).empty());
    CHECK(pixart_sigma_bins(16).empty());
    const PictureSizes none{.side = 64, .multiple = 16, .bins = {}};
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { static_cast<void>(binned(64, 64, none)); }),
                   "resolution_binning: this model has no table of sizes to draw at"));
}

TEST_CASE("binning: sizes out of range, and a decoder that cannot draw what the table says") {
    const auto message = [](int width, int height, const PictureSizes& sizes) {
        return message_of(ErrorCode::invalid_argument, [&] { static_cast<void>(binned(width, height, sizes)); });
    };
    CHECK(message(0, 64, sizes_of(32)) == "width: 0 is out of range [1, 4096]");
    CHECK(message(64, 4097, sizes_of(32)) == "height: 4097 is out of range [1, 4096]");
    PictureSizes coarse = sizes_of(32);
    coarse.multiple = 64;
    CHECK(contains(message(464, 130, coarse), "would draw at 464x128, and this decoder needs multiples of 64"));
    const GenerateRequest odd{.width = 250};
    const auto without = [&](const PictureSizes& sizes) {
        return message_of(ErrorCode::invalid_argument, [&] { static_cast<void>(resolve(odd, AnyPlan(), sizes)); });
    };
    CHECK(without(sizes_of(32)) == "width: 250 is not divisible by 16 (nearest: 240, 256; with resolution binning, any)");
    CHECK(without({.side = 64, .multiple = 16, .bins = {}}) == "width: 250 is not divisible by 16 (nearest: 240, 256)");
}

TEST_CASE("binning: pictures of one drawn size and another asked size make no batch") {
    const auto sizes = sizes_of(32);
    CHECK(binned(100, 100, sizes).batch_key != binned(101, 101, sizes).batch_key);
    CHECK(binned(256, 256, sizes).batch_key != resolve({.width = 256, .height = 256}, AnyPlan(), sizes).batch_key);
}

TEST_CASE("binning: a picture is resized and cropped as diffusers does it") {
    const auto manifest = read_manifest("binning");
    for (const auto& c : manifest.at("resized")) {
        INFO(c.at("to").dump());
        const Tensor from = generate(c.at("from"));
        const Tensor to = Tensor::host({from.shape()[0], c.at("to")[0].get<int>(), c.at("to")[1].get<int>(), 3});
        resize_and_crop(from, to);
        const auto expected = c.at("values").get<std::vector<float>>();
        REQUIRE(expected.size() == to.as<float>().size());
        for (std::size_t i = 0; i < expected.size(); ++i) REQUIRE(std::abs(to.as<float>()[i] - expected[i]) < 1e-6);
    }
}

// 1088 by 25 / 1088 is 24.999…: diffusers would cut a picture of 24 pixels to one of 1.
TEST_CASE("binning: a side is never a pixel short") {
    for (int side = 1; side < 300; ++side) {
        const Tensor from = Tensor::host({1, 960, 1088, 1});
        const Tensor to = Tensor::host({1, 1, side, 1});
        for (float& value : from.as<float>()) value = 1;
        resize_and_crop(from, to);
        for (const float value : to.as<float>()) REQUIRE(value == 1);
        side += 6;
    }
}

TEST_CASE("size bins: the pipelines that have them are PixArt's") {
    for (const char* name : {"PixArtAlphaPipeline", "PixArtSigmaPipeline"}) {
        INFO(name);
        REQUIRE(find_pipeline(name)->size_bins);
        CHECK_FALSE(find_pipeline(name)->size_bins(128).empty());
    }
    for (const char* name : {"DiTPipeline", "DiT"}) CHECK_FALSE(find_pipeline(name)->size_bins);
    CHECK(find_pipeline("PixArtSigmaPipeline")->size_bins(256).size() >
          find_pipeline("PixArtAlphaPipeline")->size_bins(256).size());
}

}  // namespace t2i::test
