// PNG files with the `parameters` chunk, written whole or not at all.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "t2i/pipeline.h"

namespace t2i {

// The bytes of an 8-bit RGB PNG. `text` goes into a `parameters` chunk (tEXt when it is ASCII, else iTXt) unless empty.
[[nodiscard]] std::vector<std::uint8_t> encode_png(int width, int height, std::span<const std::uint8_t> rgb,
                                                   const std::string& text);

struct PngInfo {
    std::uint32_t width = 0, height = 0;
    std::vector<std::pair<std::string, std::string>> text;  // keyword, UTF-8 value, in file order
};
// Reads header and text chunks of a PNG in memory; checks signature, lengths and CRCs. Compressed text (zTXt, or iTXt
// with its flag set) is inflated up to 1 MiB. Throws Error{input}; `where` names the file.
[[nodiscard]] PngInfo read_png_info(std::span<const std::uint8_t> file, const std::string& where);

// The pixels of a PNG in memory as 8-bit RGB, up to 4096x4096; alpha is dropped. Checks what read_png_info() checks. Throws
// Error{input}.
[[nodiscard]] Image decode_png(std::span<const std::uint8_t> file, const std::string& where);

// Writes bytes to a temporary name, syncs and renames, so that `path` is whole or untouched. The temporary name is in
// `temporary_folder` (on the same file system), or beside the file when that is empty. The folder itself is not synced.
// Throws Error{input} naming the path: folder missing, read-only, disk full.
void write_file_atomically(const std::string& path, std::span<const std::uint8_t> bytes,
                           const std::string& temporary_folder = {});

// A whole file. Throws Error{input} naming it, also when it is larger than `limit`.
[[nodiscard]] std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit_bytes = std::size_t{1} << 30);

}  // namespace t2i
