// PNG files: what is written can be read, and damage is named.
#include <vector>

#include "pipeline/png_encode.h"
#include "pipeline/png_read.h"
#include "support/catch.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

const std::vector<std::uint8_t> pixels(5 * 3 * 3, 200);

}  // namespace

TEST_CASE("png: ASCII parameters go into tEXt, others into iTXt, and both come back") {
    for (const std::string text : {"a red apple\nSteps: 3", "红苹果\nSteps: 3"}) {
        const auto file = encode_png(5, 3, pixels, text);
        const PngInfo info = read_png_info(file, "a.png");
        CHECK(info.width == 5);
        CHECK(info.height == 3);
        REQUIRE(info.text.size() == 1);
        CHECK(info.text[0].first == "parameters");
        CHECK(info.text[0].second == text);
        const std::string bytes(file.begin(), file.end());
        CHECK((bytes.find("tEXt") != std::string::npos) == (text.front() == 'a'));
    }
    CHECK(read_png_info(encode_png(5, 3, pixels, ""), "a.png").text.empty());
}

TEST_CASE("png: the pixels that were written come back") {
    std::vector<std::uint8_t> rgb(5 * 3 * 3);
    for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 37);
    const Image image = decode_png(encode_png(5, 3, rgb, "text"), "a.png");
    CHECK(image.width == 5);
    CHECK(image.height == 3);
    CHECK(image.rgb == rgb);
}

TEST_CASE("png: every cut and every flipped byte is an error or harmless, never a crash") {
    const auto whole = encode_png(5, 3, pixels, "text");
    for (std::size_t n = 0; n < whole.size(); ++n) {
        const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
        CHECK_FALSE(message_of(ErrorCode::input, [&] { (void)read_png_info(cut, "a.png"); }).empty());
        auto flipped = whole;
        flipped[n] ^= 0x10;
        CHECK_FALSE(message_of(ErrorCode::input, [&] { (void)read_png_info(flipped, "a.png"); }).empty());
    }
}

}  // namespace t2i::test
