// Prompt files in other encodings than UTF-8, through the C library's iconv.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "batch/byte_source.h"

namespace t2i::batch {

// What a byte-order mark at the beginning says.
struct EncodingMark {
    std::string encoding;   // "UTF-8", "UTF-16LE" …; empty: there is none
    std::size_t bytes = 0;  // of the mark
};
// May bring more of the source's start.
[[nodiscard]] EncodingMark find_encoding_mark(StartedSource& source);

// Throws Error{invalid_argument} about the field encoding when the C library cannot read it. UTF-8 always can be.
void check_encoding(const std::string& encoding);

// The source as UTF-8. What is invalid becomes a byte that is no UTF-8 (0xFF), so that it is a bad line's. Throws as
// check_encoding() does.
[[nodiscard]] std::unique_ptr<ByteSource> decode(std::unique_ptr<ByteSource> source, const std::string& encoding);

}  // namespace t2i::batch
