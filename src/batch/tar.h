// Members of a POSIX ustar archive.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace t2i::batch {

constexpr std::uint64_t tar_block_bytes = 512;

// A member's header block (POSIX.1-1988, ustar): a plain file, mode 0644, time 0, so that equal members are equal bytes.
// name: at most 100 bytes.
[[nodiscard]] std::string tar_header(std::string_view name, std::uint64_t bytes);
// Zeros that fill the last block of a member.
[[nodiscard]] constexpr std::uint64_t tar_padding(std::uint64_t bytes) {
    return (tar_block_bytes - bytes % tar_block_bytes) % tar_block_bytes;
}
// What ends an archive: two zero blocks.
[[nodiscard]] std::string tar_end();

}  // namespace t2i::batch
