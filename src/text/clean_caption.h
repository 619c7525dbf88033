// What diffusers' PixArt pipelines do to prompts with clean_caption=True.
#pragma once

#include <string>
#include <string_view>

#include "t2i/error.h"

namespace t2i {

// _clean_caption of diffusers' pipelines twice over, as their _text_preprocessing does: percent codes, links, tags and references
// of HTML, names (@anna), Chinese characters, file names, sizes (1920x1080), codes (jc6640vc), typography, words of shops; small
// letters. Equal to theirs but for text that was decoded by the wrong encoding, see fix_text(). utf8 must be valid.
// Throws Error{input} about the field: HTML that theirs rejects too, see html_text(); a text that takes too long.
[[nodiscard]] std::string clean_caption(std::string_view utf8, const Field& field);

}  // namespace t2i
