#include "pipeline/exif.h"

#include <algorithm>

#include "core/escape.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {

namespace {

using namespace std::string_view_literals;

// Of TIFF 6.0, section 2, and Exif 2.32, 4.6.
constexpr std::uint16_t orientation_tag = 0x0112, exif_folder_tag = 0x8769, user_comment_tag = 0x9286;
constexpr std::uint16_t type_ascii = 2, type_short = 3, type_long = 4, type_undefined = 7;
constexpr std::size_t entry_bytes = 12, folder_bytes = 2 + entry_bytes + 4;  // a folder of one entry
// What names the encoding before a UserComment, Exif 2.32, table 10.
constexpr std::size_t code_bytes = 8;
constexpr std::string_view code_unicode = "UNICODE\0"sv, code_ascii = "ASCII\0\0\0"sv, code_none = "\0\0\0\0\0\0\0\0"sv;
constexpr std::size_t text_limit = std::size_t{1} << 20;

void put_u16(std::vector<std::uint8_t>& out, std::uint32_t v) {
    out.push_back(static_cast<std::uint8_t>(v >> 8));
    out.push_back(static_cast<std::uint8_t>(v));
}
void put_u32(std::vector<std::uint8_t>& out, std::uint32_t v) {
    put_u16(out, v >> 16);
    put_u16(out, v);
}
void put_folder(std::vector<std::uint8_t>& out, std::uint16_t tag, std::uint16_t type, std::size_t count, std::size_t value) {
    put_u16(out, 1);
    put_u16(out, tag);
    put_u16(out, type);
    put_u32(out, static_cast<std::uint32_t>(count));
    put_u32(out, static_cast<std::uint32_t>(value));
    put_u32(out, 0);  // no folder after it
}

// Folders of tags in a block of untrusted bytes.
class Tiff {
  public:
    Tiff(std::span<const std::uint8_t> bytes, const std::string& where) : bytes_(bytes), where_(where) {
        const bool is_big = begins_with("MM\0*"sv), is_little = begins_with("II*\0"sv);
        if (!is_big && !is_little) throw Error(ErrorCode::input, "EXIF block has no TIFF header", where_);
        is_big_ = is_big;
    }
    [[nodiscard]] bool is_big() const { return is_big_; }
    [[nodiscard]] std::size_t first_folder() const { return u32(4); }

    // Where in the block the entry of `tag` of the folder at `at` begins.
    [[nodiscard]] std::optional<std::size_t> find(std::size_t at, std::uint16_t tag) const {
        const std::size_t count = u16(at);
        for (std::size_t i = 0; i < count; ++i)
            if (const std::size_t entry = at + 2 + i * entry_bytes; u16(entry) == tag) return entry;
        return std::nullopt;
    }
    [[nodiscard]] std::uint16_t type_of(std::size_t entry) const { return u16(entry + 2); }
    // A value of type_short.
    [[nodiscard]] int short_of(std::size_t entry) const { return u16(entry + 8); }
    // A value of type_long.
    [[nodiscard]] std::size_t number_of(std::size_t entry) const { return u32(entry + 8); }
    // A value of single bytes: in the entry itself, if they fit there.
    [[nodiscard]] std::span<const std::uint8_t> bytes_of(std::size_t entry) const {
        const std::size_t count = u32(entry + 4);
        const std::size_t at = count <= 4 ? entry + 8 : u32(entry + 8);
        check(at, count);
        return bytes_.subspan(at, count);
    }

  private:
    void check(std::size_t at, std::size_t count) const {
        if (at > bytes_.size() || count > bytes_.size() - at)
            throw Error(ErrorCode::input, "EXIF block is damaged: it reaches past its end", where_);
    }
    [[nodiscard]] bool begins_with(std::string_view start) const {
        return bytes_.size() >= 8 && std::equal(start.begin(), start.end(), bytes_.begin(),
                                                [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
    }
    [[nodiscard]] std::uint16_t u16(std::size_t at) const {
        check(at, 2);
        const unsigned first = bytes_[at], second = bytes_[at + 1];
        return static_cast<std::uint16_t>(is_big_ ? first << 8 | second : second << 8 | first);
    }
    [[nodiscard]] std::uint32_t u32(std::size_t at) const {
        const std::uint32_t first = u16(at), second = u16(at + 2);
        return is_big_ ? first << 16 | second : second << 16 | first;
    }
    std::span<const std::uint8_t> bytes_;
    const std::string& where_;
    bool is_big_ = true;
};

std::u16string units_of(std::span<const std::uint8_t> bytes, bool is_big) {
    std::u16string units;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        const unsigned first = bytes[i], second = bytes[i + 1];
        units += static_cast<char16_t>(is_big ? first << 8 | second : second << 8 | first);
    }
    return units;
}

// Parameters always hold ASCII ("Steps: "), so the right byte order is the one with more of it.
std::string read_utf16(std::span<const std::uint8_t> bytes, bool block_is_big) {
    const auto ascii = [](const std::u16string& units) {
        return std::ranges::count_if(units, [](char16_t c) { return c < 128; });
    };
    std::u16string own = units_of(bytes, block_is_big), other = units_of(bytes, !block_is_big);
    std::u16string& units = ascii(other) > ascii(own) ? other : own;
    if (units.starts_with(u'\xFEFF')) units.erase(0, 1);
    return utf8_of(units);
}

// Many programs write UTF-8 where the standard wants ASCII.
std::string read_bytes(std::span<const std::uint8_t> bytes) {
    std::string text(bytes.begin(), bytes.end());
    if (is_utf8(text)) return text;
    return utf8_of(std::u16string(bytes.begin(), bytes.end()));  // Latin-1 is the start of Unicode
}

}  // namespace

std::vector<std::uint8_t> exif_with_comment(std::string_view text) {
    check_utf8(text, "parameters");
    const std::u16string units = utf16_of(text);
    constexpr std::size_t header_bytes = 8, comment_at = header_bytes + 2 * folder_bytes;
    std::vector<std::uint8_t> out{'M', 'M', 0, '*'};
    put_u32(out, header_bytes);
    put_folder(out, exif_folder_tag, type_long, 1, header_bytes + folder_bytes);
    put_folder(out, user_comment_tag, type_undefined, code_bytes + 2 * units.size(), comment_at);
    out.insert(out.end(), code_unicode.begin(), code_unicode.end());
    for (const char16_t unit : units) put_u16(out, unit);
    return out;
}

std::optional<std::string> read_exif_comment(std::span<const std::uint8_t> exif, const std::string& where) {
    constexpr std::string_view jpeg_mark = "Exif\0\0"sv;  // which belongs before it in a JPEG only, but stands in some WebP files
    if (exif.size() >= jpeg_mark.size() && std::equal(jpeg_mark.begin(), jpeg_mark.end(), exif.begin()))
        exif = exif.subspan(jpeg_mark.size());
    const Tiff tiff(exif, where);
    const auto folder = tiff.find(tiff.first_folder(), exif_folder_tag);
    if (!folder) return std::nullopt;
    const auto entry = tiff.find(tiff.number_of(*folder), user_comment_tag);
    if (!entry || (tiff.type_of(*entry) != type_undefined && tiff.type_of(*entry) != type_ascii)) return std::nullopt;
    const auto bytes = tiff.bytes_of(*entry);
    if (bytes.size() < code_bytes || bytes.size() > text_limit) return std::nullopt;
    const std::string code(bytes.begin(), bytes.begin() + code_bytes);
    std::string text;
    if (code == code_unicode) text = read_utf16(bytes.subspan(code_bytes), tiff.is_big());
    else if (code == code_ascii || code == code_none) text = read_bytes(bytes.subspan(code_bytes));
    while (text.ends_with('\0')) text.pop_back();
    return text.empty() ? std::nullopt : std::optional(std::move(text));
}

int read_exif_orientation(std::span<const std::uint8_t> exif) {
    constexpr int upright = 1, last = 8;
    const std::string nowhere;
    try {
        const Tiff tiff(exif, nowhere);
        const auto entry = tiff.find(tiff.first_folder(), orientation_tag);
        if (!entry || tiff.type_of(*entry) != type_short) return upright;
        const int orientation = tiff.short_of(*entry);
        return orientation >= upright && orientation <= last ? orientation : upright;
    } catch (const Error&) {
        return upright;
    }
}

}  // namespace t2i
