// PNG, JPEG and WebP files: what is written can be read, parameters included, and damage is named.
#include <algorithm>
#include <array>
#include <vector>

#include "pipeline/exif.h"
#include "pipeline/picture_encode.h"
#include "pipeline/picture_format.h"
#include "pipeline/picture_read.h"
#include "support/catch.h"
#include "t2i/png.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

using namespace std::string_literals;

constexpr int width = 40, height = 24;

// Flat colours with hard edges, as in a drawing.
std::vector<std::uint8_t> drawing() {
    std::vector<std::uint8_t> rgb;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (const int value : {x < 20 ? 250 : 12, y < 12 ? 30 : 200, (x + y) % 16 * 15})
                rgb.push_back(static_cast<std::uint8_t>(value));
    return rgb;
}

int largest_difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
    REQUIRE(a.size() == b.size());
    int largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(int{a[i]} - int{b[i]}));
    return largest;
}

const std::vector<PictureEncoding> encodings{{PictureFormat::png},  {PictureFormat::jpeg},     {PictureFormat::jpeg, 1},
                                             {PictureFormat::webp}, {PictureFormat::webp, 30}, {PictureFormat::webp, 0, true}};

std::vector<std::uint8_t> bytes_of(const std::string& text) {
    return {text.begin(), text.end()};
}

std::string big_endian(std::u16string_view text) {
    std::string bytes;
    for (const char16_t unit : text) bytes += {static_cast<char>(unit >> 8), static_cast<char>(unit & 0xFF)};
    return bytes;
}

// A little-endian block as other programs write it: a folder of two entries, then the one with the comment.
std::vector<std::uint8_t> little_endian_block(const std::string& comment, char type = 7) {
    const std::string entry = "\x31\x01\x02\0\x04\0\0\0t2i\0"s;  // Software, held in the entry itself
    std::string block = "II*\0\x08\0\0\0"s + "\x02\0"s + entry + "\x69\x87\x04\0\x01\0\0\0\x26\0\0\0"s + "\0\0\0\0"s;
    block += "\x01\0\x86\x92"s + type + "\0"s + static_cast<char>(comment.size()) + "\0\0\0\x38\0\0\0\0\0\0\0"s;
    return bytes_of(block + comment);
}

}  // namespace

TEST_CASE("picture files: parameters and size come back from every format, and none where there were none") {
    for (const PictureEncoding& encoding : encodings)
        for (const std::string& text : {"a red apple\nNegative prompt: dog\nSteps: 3"s, "红苹果 🍎\nSteps: 3"s, ""s}) {
            const auto file = encode_picture(width, height, drawing(), text, encoding);
            const PictureInfo info = read_picture_info(file, "a");
            CHECK(info.format == encoding.format);
            CHECK(info.lossless == (encoding.format == PictureFormat::png || encoding.lossless));
            CHECK(info.width == width);
            CHECK(info.height == height);
            if (text.empty()) CHECK(info.parameters() == nullptr);
            else {
                REQUIRE(info.parameters());
                CHECK(*info.parameters() == text);
            }
            CHECK(read_picture_parameters(file) == text);
        }
}

TEST_CASE("picture files: pixels come back exactly where a format is lossless, and nearly elsewhere") {
    const auto rgb = drawing();
    for (const PictureEncoding& encoding : encodings) {
        const auto file = encode_picture(width, height, rgb, "text", encoding);
        CHECK(file == encode_picture(width, height, rgb, "text", encoding));
        const Image image = decode_picture(file, "a");
        CHECK(image.width == width);
        CHECK(image.height == height);
        const int apart = largest_difference(image.rgb, rgb);
        if (encoding.format == PictureFormat::png || encoding.lossless) CHECK(apart == 0);
        else CHECK(apart > 0);
    }
    // Chroma is not halved: at quality 100 only rounding is left, three conversions of half a level each way.
    CHECK(largest_difference(decode_picture(encode_picture(width, height, rgb, "", {PictureFormat::jpeg, 100}), "a").rgb, rgb) <=
          4);
}

TEST_CASE("picture files: quality makes files smaller or larger, and 90 is the one that nobody names") {
    const auto rgb = drawing();
    for (const PictureFormat format : {PictureFormat::jpeg, PictureFormat::webp}) {
        const auto file = [&](int quality) { return encode_picture(width, height, rgb, "", {format, quality}); };
        CHECK(file(10).size() < file(90).size());
        CHECK(file(90).size() < file(100).size());
        CHECK(file(0) == file(90));
    }
}

TEST_CASE("picture files: a public encoder for every format, the program's own bytes") {
    Image image{.width = width, .height = height, .rgb = drawing(), .seed = 1, .parameters = "a\nSteps: 1"};
    for (const PictureEncoding& encoding : encodings)
        CHECK(encode_picture(image, encoding) == encode_picture(width, height, image.rgb, image.parameters, encoding));
    CHECK(encode_picture(image) == encode_png(image));
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)encode_picture(image, {PictureFormat::png, 80}); }),
                   "quality"));
    image.rgb.pop_back();
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)encode_picture(image, {PictureFormat::webp}); }), "rgb"));
    image = {.width = 16'384, .height = 1, .rgb = std::vector<std::uint8_t>(3 * 16'384), .seed = 1, .parameters = ""};
    CHECK(
        contains(message_of(ErrorCode::invalid_argument, [&] { (void)encode_picture(image, {PictureFormat::webp}); }), "16383"));
}

TEST_CASE("picture files: what a format does not have is refused") {
    const auto problem = [](const PictureEncoding& encoding) {
        return message_of(ErrorCode::invalid_argument, [&] { check_encoding(encoding); });
    };
    for (const PictureEncoding& encoding : encodings) CHECK_NOTHROW(check_encoding(encoding));
    CHECK(contains(problem({PictureFormat::jpeg, 101}), "101"));
    CHECK(contains(problem({PictureFormat::jpeg, -1}), "-1"));
    CHECK(contains(problem({PictureFormat::jpeg, 0, true}), "JPEG"));
    CHECK(contains(problem({PictureFormat::webp, 5, true}), "lossless"));
    CHECK(contains(problem({PictureFormat::png, 90}), "PNG"));
    CHECK_NOTHROW(check_encoding({PictureFormat::png, 0, true}));
}

TEST_CASE("picture files: the end of a name says the format, in any case") {
    CHECK(format_of_extension(".PNG") == PictureFormat::png);
    CHECK(format_of_extension(".jpg") == PictureFormat::jpeg);
    CHECK(format_of_extension(".JpEg") == PictureFormat::jpeg);
    CHECK(format_of_extension(".webp") == PictureFormat::webp);
    for (const char* other : {"", ".", ".bmp", "png", ".jpgg"}) CHECK_FALSE(format_of_extension(other));
    CHECK(known_extensions() == ".png, .jpg, .jpeg or .webp");
    for (const PictureFormatRow& row : picture_formats()) CHECK(format_of_extension(extension_of(row.format)) == row.format);
}

TEST_CASE("picture files: every cut is an error, never a crash, and others are named") {
    for (const PictureEncoding& encoding : encodings) {
        const auto whole = encode_picture(width, height, drawing(), "text", encoding);
        for (std::size_t n = 0; n < whole.size(); ++n) {
            const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
            CHECK_FALSE(message_of(ErrorCode::input, [&] { (void)decode_picture(cut, "a"); }).empty());
        }
    }
    const auto gif = bytes_of("GIF89a..........");
    CHECK(message_of(ErrorCode::input, [&] { (void)read_picture_info(gif, "a.gif"); }) == "a.gif: not a PNG, JPEG or WebP file");
    CHECK(message_of(ErrorCode::input, [&] { (void)decode_picture(gif, "a.gif"); }) == "a.gif: not a PNG, JPEG or WebP file");
}

TEST_CASE("picture files: a JPEG that claims to be gigantic takes no memory") {
    auto file = encode_picture(width, height, drawing(), "", {PictureFormat::jpeg});
    constexpr std::array<std::uint8_t, 2> mark{0xFF, 0xC0};
    const auto frame = std::search(file.begin(), file.end(), mark.begin(), mark.end());
    REQUIRE(frame != file.end());
    for (int i = 5; i < 9; ++i) frame[i] = 0x40;
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)decode_picture(file, "a.jpg"); }), "too large"));
}

TEST_CASE("picture files: a prompt that no JPEG holds is refused before the work, and at the last moment") {
    const std::string longest(30'000, 'x'), longer(40'000, 'x');
    CHECK_NOTHROW(check_prompt_fits(PictureFormat::jpeg, longest, ""));
    CHECK(contains(message_of(ErrorCode::input, [&] { check_prompt_fits(PictureFormat::jpeg, "a", longer); }), "JPEG"));
    CHECK_NOTHROW(check_prompt_fits(PictureFormat::png, longer, longer));
    CHECK_NOTHROW(check_prompt_fits(PictureFormat::webp, longer, longer));
    const auto encode = [&](const std::string& text, PictureFormat format) {
        return encode_picture(width, height, drawing(), text, {format});
    };
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)encode(longer, PictureFormat::jpeg); }), "JPEG"));
    CHECK(*read_picture_info(encode(longest, PictureFormat::jpeg), "a").parameters() == longest);
    CHECK(*read_picture_info(encode(longer, PictureFormat::webp), "a").parameters() == longer);
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)encode("a\xff", PictureFormat::jpeg); }), "UTF-8"));
}

TEST_CASE("exif: the block is what piexif makes of AUTOMATIC1111's comment, with the end of a folder that it forgets") {
    const std::string expected = "MM\0*\0\0\0\x08"s + "\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0"s +
                                 "\0\x01\x92\x86\0\x07\0\0\0\x0e\0\0\0\x2c\0\0\0\0"s + "UNICODE\0\0a\0 \x7e\xa2"s;
    CHECK(exif_with_comment("a 红") == bytes_of(expected));
    // piexif.dump({"Exif": {piexif.ExifIFD.UserComment: piexif.helper.UserComment.dump("a 红", encoding="unicode")}})[6:]
    const std::string piexif = "MM\0*\0\0\0\x08"s + "\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0"s +
                               "\0\x01\x92\x86\0\x07\0\0\0\x0e\0\0\0("s + "UNICODE\0\0a\0 \x7e\xa2"s;
    CHECK(read_exif_comment(bytes_of(piexif), "a") == "a 红");
}

TEST_CASE("exif: comments of other programs are read: either byte order, ASCII, UTF-8, Latin-1, in a little-endian block") {
    const auto comment_of = [](const std::string& comment, char type = 7) {
        return read_exif_comment(little_endian_block(comment, type), "a").value_or("nothing");
    };
    CHECK(comment_of("UNICODE\0S\0t\0e\0p\0s\0"s) == "Steps");
    CHECK(comment_of("UNICODE\0"s + big_endian(u"红 Steps")) == "红 Steps");  // as piexif writes whatever the block says
    CHECK(comment_of("UNICODE\0"s + big_endian(u"\uFEFFSteps")) == "Steps");
    CHECK(comment_of("UNICODE\0"s + big_endian(u"a\xD800")) == "a\uFFFD");
    CHECK(comment_of("ASCII\0\0\0Steps\0\0"s) == "Steps");
    CHECK(comment_of("ASCII\0\0\0Steps"s, 2) == "Steps");
    CHECK(comment_of("\0\0\0\0\0\0\0\0红"s) == "红");
    CHECK(comment_of("\0\0\0\0\0\0\0\0\xe9"s) == "é");
    CHECK(comment_of("JIS\0\0\0\0\0Steps"s) == "nothing");
    CHECK(comment_of("ASCII\0\0\0"s) == "nothing");
    CHECK(comment_of("Steps"s) == "nothing");
    CHECK(comment_of("ASCII\0\0\0Steps"s, 3) == "nothing");
    // Some WebP files repeat the mark of a JPEG.
    auto marked = bytes_of("Exif\0\0"s);
    const auto block = exif_with_comment("Steps");
    marked.insert(marked.end(), block.begin(), block.end());
    CHECK(read_exif_comment(marked, "a") == "Steps");
}

TEST_CASE("exif: a block that reaches past its end is an error") {
    const auto whole = exif_with_comment("Steps: 1");
    for (std::size_t n = 0; n < whole.size(); ++n) {
        const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
        CHECK(contains(message_of(ErrorCode::input, [&] { (void)read_exif_comment(cut, "a.jpg"); }), "a.jpg: EXIF"));
    }
}

}  // namespace t2i::test
