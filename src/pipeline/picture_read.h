// Picture files in memory, whatever their format: what they say about themselves, and their pixels.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "t2i/pipeline.h"

namespace t2i {

struct PictureInfo {
    bool lossless = true;                                   // its pixels are the very ones that it was made of
    std::uint32_t width = 0, height = 0;                    // pixels
    std::vector<std::pair<std::string, std::string>> text;  // keyword, UTF-8 value
    // How t2i made it; null where the file does not say. Lives as long as this.
    [[nodiscard]] const std::string* parameters() const;
};

// By the file's first bytes; its name does not count. Throws Error{input}: another format, damaged, cut short; `where` names the
// file. From any thread.
[[nodiscard]] PictureInfo read_picture_info(std::span<const std::uint8_t> file, const std::string& where);

// The pixels as 8-bit RGB; alpha is dropped. Throws Error{input}, for damage anywhere. From any thread.
[[nodiscard]] Image decode_picture(std::span<const std::uint8_t> file, const std::string& where);

}  // namespace t2i
