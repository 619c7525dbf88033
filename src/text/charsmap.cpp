#include "text/charsmap.h"

#include "core/escape.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {

namespace {

// A unit of a Darts double array (darts.h, DoubleArrayUnit).
std::uint32_t offset_of(std::uint32_t unit) {
    return (unit >> 10) << ((unit & 0x200U) >> 6);
}
std::uint32_t label_of(std::uint32_t unit) {
    return unit & 0x800000FFU;
}
bool has_leaf(std::uint32_t unit) {
    return ((unit >> 8) & 1U) == 1;
}
std::uint32_t value_of(std::uint32_t unit) {
    return unit & 0x7FFFFFFFU;
}

std::uint32_t little_endian(std::string_view bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return value;
}

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& where) {
    const auto fail = [&] { throw Error(ErrorCode::input, "holds a precompiled_charsmap that is cut off or damaged", where); };
    if (blob.size() < 4) fail();
    const std::size_t bytes = little_endian(blob);
    blob.remove_prefix(4);
    if (bytes == 0 || bytes % 4 != 0 || bytes > blob.size()) fail();
    units_.resize(bytes / 4);
    for (std::size_t i = 0; i < units_.size(); ++i) units_[i] = little_endian(blob.substr(4 * i));
    replacements_ = blob.substr(bytes);
    if (!is_utf8(replacements_)) fail();
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
    std::size_t node = offset_of(units_[0]);
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte == 0) return std::nullopt;
        node ^= byte;
        if (node >= units_.size() || label_of(units_[node]) != byte) return std::nullopt;
        const bool ends_here = has_leaf(units_[node]);
        node ^= offset_of(units_[node]);
        if (!ends_here) continue;
        if (node >= units_.size()) return std::nullopt;
        const std::size_t at = value_of(units_[node]);
        // A place inside a character is no text.
        if (at > replacements_.size() || (at < replacements_.size() && is_continuation(replacements_[at]))) return std::nullopt;
        const std::string_view rest = std::string_view(replacements_).substr(at);
        return rest.substr(0, rest.find('\0'));
    }
    return std::nullopt;
}

AlignedText Charsmap::normalize(const AlignedText& text) const {
    constexpr std::size_t longest_cluster = 5;  // bytes, of those that are looked up as a whole
    AlignedText out;
    out.text.reserve(text.text.size());
    // Where the character stands that the reference takes for the next one: it forgets those that became nothing before the
    // first that is left, so that from then on all come from places as many characters earlier.
    std::size_t place = 0;
    const auto add = [&](std::string_view part, std::string_view other) {
        if (other.empty() && out.text.empty()) return;
        // Character for character; what is more belongs to the last one.
        std::size_t from = 0;
        const auto go_on = [&] {
            from = next_character(part, from);
            place = next_character(text.text, place);
        };
        for (std::size_t at = 0, end = 0; at < other.size(); at = end) {
            end = next_character(other, at);
            out.append(other.substr(at, end - at), text.origin[place]);
            if (next_character(part, from) < part.size()) go_on();
        }
        while (from < part.size()) go_on();
    };
    for (const std::string_view cluster : grapheme_clusters(text.text)) {
        if (cluster.size() <= longest_cluster)
            if (const auto other = replacement(cluster)) {
                add(cluster, *other);
                continue;
            }
        for (std::size_t at = 0, end = 0; at < cluster.size(); at = end) {
            end = next_character(cluster, at);
            const std::string_view character = cluster.substr(at, end - at);
            add(character, replacement(character).value_or(character));
        }
    }
    return out;
}

}  // namespace t2i
