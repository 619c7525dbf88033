#include "pipeline/png.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include "t2i/error.h"

// stb's own deflate is slow and packs poorly; it lets us bring another.
static unsigned char* deflate_for_stb(unsigned char* data, int length, int* out_length, int /*quality*/) {
    // Level 1: 0.9 ms for a 256x256 picture of the bundled model instead of 3.7 at level 6, whose files are 9 % smaller.
    std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)> c(libdeflate_alloc_compressor(1),
                                                                                    &libdeflate_free_compressor);
    if (!c) return nullptr;
    const std::size_t bound = libdeflate_zlib_compress_bound(c.get(), static_cast<std::size_t>(length));
    auto* out = static_cast<unsigned char*>(std::malloc(bound));
    if (!out) return nullptr;
    const std::size_t n = libdeflate_zlib_compress(c.get(), data, static_cast<std::size_t>(length), out, bound);
    if (n == 0 || n > INT_MAX) {
        std::free(out);
        return nullptr;
    }
    *out_length = static_cast<int>(n);
    return out;
}

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS deflate_for_stb
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace t2i {

namespace {

// Paeth's filter in every row: trying all five takes longer than packing does, for files 0.4 % smaller.
[[maybe_unused]] const int row_filter = stbi_write_force_png_filter = 4;

constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
constexpr std::size_t ihdr_end = signature.size() + 12 + 13;  // stb writes IHDR first
constexpr std::size_t text_limit = std::size_t{1} << 20;

void put_u32(std::vector<std::uint8_t>& out, std::uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(v >> shift));
}

std::uint32_t get_u32(const std::uint8_t* p) {
    return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

// Length, type, data, CRC over type and data (PNG specification, 5.3).
std::vector<std::uint8_t> chunk(std::string_view type, std::string_view data) {
    std::vector<std::uint8_t> out;
    put_u32(out, static_cast<std::uint32_t>(data.size()));
    out.insert(out.end(), type.begin(), type.end());
    out.insert(out.end(), data.begin(), data.end());
    put_u32(out, libdeflate_crc32(0, out.data() + 4, out.size() - 4));
    return out;
}

std::vector<std::uint8_t> parameters_chunk(const std::string& text) {
    const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; });
    using namespace std::string_literals;
    if (ascii) return chunk("tEXt", "parameters\0"s + text);
    // keyword, compression flag, method, language tag, translated keyword (both empty), text
    return chunk("iTXt", "parameters\0\0\0\0\0"s + text);
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

Error io_error(const std::string& what, const std::string& path) {
    return {ErrorCode::input, what + ": " + std::strerror(errno), path};
}

}  // namespace

std::vector<std::uint8_t> encode_png(int width, int height, std::span<const std::uint8_t> rgb, const std::string& text) {
    int length = 0;
    std::unique_ptr<unsigned char, decltype(&std::free)> png(
        stbi_write_png_to_mem(rgb.data(), width * 3, width, height, 3, &length), &std::free);
    if (!png) throw Error(ErrorCode::resource, "out of memory while encoding a PNG");
    std::vector<std::uint8_t> out(png.get(), png.get() + length);
    if (!text.empty()) {
        const auto extra = parameters_chunk(text);
        out.insert(out.begin() + ihdr_end, extra.begin(), extra.end());
    }
    return out;
}

PngInfo read_png_info(std::span<const std::uint8_t> file, const std::string& where) {
    if (file.size() < signature.size() || !std::equal(signature.begin(), signature.end(), file.begin()))
        throw Error(ErrorCode::input, "not a PNG file", where);
    PngInfo info;
    bool header = false, end = false;
    for (std::size_t at = signature.size(); !end;) {
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

std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit_bytes) {
    std::error_code ec;
    if (std::filesystem::is_directory(path, ec)) throw Error(ErrorCode::input, "is a folder", path);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw io_error("cannot be read", path);
    std::vector<std::uint8_t> bytes;
    std::array<std::uint8_t, 65536> block;
    ssize_t n = 0;
    while ((n = ::read(fd, block.data(), block.size())) > 0 && bytes.size() <= limit_bytes)
        bytes.insert(bytes.end(), block.begin(), block.begin() + n);
    ::close(fd);
    if (n < 0) throw io_error("cannot be read", path);
    if (bytes.size() > limit_bytes) throw Error(ErrorCode::input, "larger than " + std::to_string(limit_bytes) + " bytes", path);
    return bytes;
}

void write_file_atomically(const std::string& path, std::span<const std::uint8_t> bytes, const std::string& temporary_folder) {
    const std::filesystem::path target(path);
    if (std::error_code ec; std::filesystem::is_directory(target, ec)) throw Error(ErrorCode::input, "is a folder", path);
    auto folder = target.parent_path();
    if (folder.empty()) folder = ".";
    if (std::error_code ec; !std::filesystem::is_directory(folder, ec))
        throw Error(ErrorCode::input, "output folder does not exist", folder.string());
    const std::filesystem::path beside = temporary_folder.empty() ? folder : std::filesystem::path(temporary_folder);
    std::string temporary = (beside / ("." + target.filename().string() + ".XXXXXX")).string();
    const int fd = ::mkstemp(temporary.data());
    if (fd < 0) throw io_error("cannot write there", path);
    std::size_t done = 0;
    bool ok = true;
    while (ok && done < bytes.size()) {
        const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
        if (n > 0) done += static_cast<std::size_t>(n);
        else if (n == 0 || errno != EINTR) ok = false;
    }
    const mode_t mask = ::umask(0);
    ::umask(mask);
    ok = ok && ::fchmod(fd, 0666 & ~mask) == 0;  // mkstemp made it private; a picture is as public as any new file
    ok = ok && ::fsync(fd) == 0;
    int error = errno;
    if (::close(fd) != 0 && ok) {
        error = errno;
        ok = false;
    }
    if (ok && ::rename(temporary.c_str(), path.c_str()) != 0) {
        error = errno;
        ok = false;
    }
    if (!ok) {
        ::unlink(temporary.c_str());
        errno = error;
        throw io_error("cannot be written", path);
    }
}

}  // namespace t2i
