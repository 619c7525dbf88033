// Files of gzip (RFC 1952), unpacked as they are read.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "batch/byte_source.h"

namespace t2i::batch {

constexpr std::string_view gzip_mark = "\x1F\x8B";

// All members of a file one after the other; zeros after the last are passed over, as gzip does. `name` is for messages.
// Reading throws Error{input} where the file is damaged or cut short: what stood before was given out.
[[nodiscard]] std::unique_ptr<ByteSource> unpack_gzip(std::unique_ptr<ByteSource> packed, std::string name);

}  // namespace t2i::batch
