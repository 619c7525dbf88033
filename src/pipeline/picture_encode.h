// Pictures to files of any format.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "t2i/picture.h"

namespace t2i {

// The bytes of a file of `width` x `height` pixels; `rgb` is [height, width, 3], `text`, in UTF-8, what is told about the
// picture, or empty. `encoding` must pass check_encoding(). Throws Error: input (a text that the format cannot hold), resource.
// From any thread.
[[nodiscard]] std::vector<std::uint8_t> encode_picture(int width, int height, std::span<const std::uint8_t> rgb,
                                                       const std::string& text, const PictureEncoding& encoding);

// Before the work: throws Error{input} about the field prompt when the parameters of such prompts would not fit into the format.
void check_prompt_fits(PictureFormat format, std::string_view prompt, std::string_view negative_prompt);

}  // namespace t2i
