#include <libdeflate.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "pipeline/png_format.h"
#include "pipeline/png_read.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr std::size_t text_limit = std::size_t{1} << 20;

std::uint32_t get_u32(const std::uint8_t* p) {
    return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

std::string inflate(std::string_view data, const std::string& where) {
    std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> d(libdeflate_alloc_decompressor(),
                                                                                        &libdeflate_free_decompressor);
    std::string out(text_limit, '\0');
    std::size_t n = 0;
    if (!d || libdeflate_zlib_decompress(d.get(), data.data(), data.size(), out.data(), out.size(), &n) != LIBDEFLATE_SUCCESS)
        throw Error(ErrorCode::input, "compressed text chunk is damaged or over 1 MiB", where);
    out.resize(n);
    return out;
}

std::string latin1_to_utf8(std::string_view s) {
    std::string out;
    for (const char c : s) {
        const auto u = static_cast<unsigned char>(c);
        if (u < 128) out += c;
        else out += {static_cast<char>(0xC0 | (u >> 6)), static_cast<char>(0x80 | (u & 63))};
    }
    return out;
}

// Splits at the first NUL; throws when there is none.
std::pair<std::string_view, std::string_view> split(std::string_view s, const std::string& where) {
    const auto zero = s.find('\0');
    if (zero == std::string_view::npos) throw Error(ErrorCode::input, "text chunk has no keyword", where);
    return {s.substr(0, zero), s.substr(zero + 1)};
}

void read_text(std::string_view type, std::string_view data, PngInfo& info, const std::string& where) {
    auto [keyword, rest] = split(data, where);
    if (type == "tEXt") {
        info.text.emplace_back(latin1_to_utf8(keyword), latin1_to_utf8(rest));
    } else if (type == "zTXt") {
        if (rest.empty()) throw Error(ErrorCode::input, "text chunk is cut short", where);
        info.text.emplace_back(latin1_to_utf8(keyword), latin1_to_utf8(inflate(rest.substr(1), where)));
    } else {
        if (rest.size() < 2) throw Error(ErrorCode::input, "text chunk is cut short", where);
        const bool compressed = rest[0] != 0;
        const auto text = split(split(rest.substr(2), where).second, where).second;
        info.text.emplace_back(std::string(keyword), compressed ? inflate(text, where) : std::string(text));
    }
}

}  // namespace

PngInfo read_png_info(std::span<const std::uint8_t> file, const std::string& where) {
    if (file.size() < png_signature.size() || !std::equal(png_signature.begin(), png_signature.end(), file.begin()))
        throw Error(ErrorCode::input, "not a PNG file", where);
    PngInfo info;
    bool header = false, end = false;
    for (std::size_t at = png_signature.size(); !end;) {
        if (file.size() - at < 12) throw Error(ErrorCode::input, "PNG is cut short", where);
        const std::size_t length = get_u32(file.data() + at);
        if (length > file.size() - at - 12) throw Error(ErrorCode::input, "PNG chunk reaches past the end of the file", where);
        const std::uint8_t* body = file.data() + at + 4;
        if (libdeflate_crc32(0, body, length + 4) != get_u32(body + 4 + length))
            throw Error(ErrorCode::input, "PNG chunk is damaged (CRC)", where);
        const std::string_view type(reinterpret_cast<const char*>(body), 4);
        const std::string_view data(reinterpret_cast<const char*>(body + 4), length);
        if (!header && (type != "IHDR" || length != 13)) throw Error(ErrorCode::input, "PNG has no header", where);
        if (type == "IHDR" && length == 13) {
            info.width = get_u32(body + 4);
            info.height = get_u32(body + 8);
            header = true;
        } else if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
            read_text(type, data, info, where);
        }
        end = type == "IEND";
        at += length + 12;
    }
    return info;
}

}  // namespace t2i
