#include "batch/tar.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>

#include "core/check.h"

namespace t2i::batch {

namespace {

// A number in octal digits with leading zeros, NUL at the end of the field.
void put_octal(std::string& block, std::size_t at, std::size_t width, std::uint64_t value) {
    std::array<char, 24> digits{};
    std::snprintf(digits.data(), digits.size(), "%0*llo", static_cast<int>(width - 1), static_cast<unsigned long long>(value));
    block.replace(at, width - 1, digits.data());
}

}  // namespace

std::string tar_header(std::string_view name, std::uint64_t bytes) {
    T2I_CHECK(!name.empty() && name.size() <= 100 && bytes < (std::uint64_t{1} << 33U), "a tar member beyond ustar's limits");
    std::string block(tar_block_bytes, '\0');
    block.replace(0, name.size(), name);
    put_octal(block, 100, 8, 0644);
    put_octal(block, 108, 8, 0);  // owner
    put_octal(block, 116, 8, 0);  // group
    put_octal(block, 124, 12, bytes);
    put_octal(block, 136, 12, 0);  // time
    block[156] = '0';              // a plain file
    block.replace(257, 8, std::string_view("ustar\00000", 8));
    block.replace(148, 8, "        ");  // the checksum counts as spaces in its own sum
    const unsigned sum =
        std::accumulate(block.begin(), block.end(), 0U, [](unsigned s, char c) { return s + static_cast<unsigned char>(c); });
    put_octal(block, 148, 7, sum);
    block[154] = '\0';
    block[155] = ' ';
    return block;
}

std::string tar_end() {
    return std::string(2 * tar_block_bytes, '\0');
}

}  // namespace t2i::batch
