#include "generators/text_store.h"

#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/files.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

// A file: this header, then the values.
struct Header {
    std::array<char, 8> magic{'t', '2', 'i', 't', 'e', 'x', 't', '1'};
    std::int64_t tokens = 0, width = 0;
    std::uint64_t checksum = 0;  // XXH3-64 of the values: files are not synced, so a power cut may leave any of them broken
};
static_assert(sizeof(Header) == 32);

constexpr std::int64_t most_tokens = 1 << 16;

}  // namespace

TextStore::TextStore(std::string folder, std::string identity) : folder_(std::move(folder)), identity_(std::move(identity)) {
    std::error_code ec;
    fs::create_directory(folder_, ec);
    if (ec || ::access(folder_.c_str(), W_OK | X_OK) != 0) throw Error(ErrorCode::input, "cannot be written to", folder_);
}

std::string TextStore::path_of(std::span<const std::int32_t> ids) const {
    std::string key = identity_;
    key.append(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
    const XXH128_hash_t h = XXH3_128bits(key.data(), key.size());
    const std::string name = hex_text(h.high64) + hex_text(h.low64);
    return folder_ + "/" + name.substr(0, 2) + "/" + name;  // sub-folders by the first two digits keep each small
}

std::optional<Tensor> TextStore::load(std::span<const std::int32_t> ids, std::int64_t width) const {
    std::ifstream file(path_of(ids), std::ios::binary);
    Header header;
    if (!file.read(reinterpret_cast<char*>(&header), sizeof header) || header.magic != Header{}.magic || header.width != width ||
        header.tokens < 1 || header.tokens > most_tokens)
        return std::nullopt;
    Tensor text = Tensor::host({header.tokens, width});
    const auto values = text.as<float>();
    if (!file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size_bytes())))
        return std::nullopt;
    if (XXH3_64bits(values.data(), values.size_bytes()) != header.checksum) return std::nullopt;
    return text;
}

void TextStore::save(std::span<const std::int32_t> ids, const TensorView& text) const {
    const auto values = text.as<float>();
    Header header;
    header.tokens = text.shape[0];
    header.width = text.shape[1];
    header.checksum = XXH3_64bits(values.data(), values.size_bytes());
    const std::string path = path_of(ids);
    std::error_code ignored;
    fs::create_directory(fs::path(path).parent_path(), ignored);
    try {
        AtomicFile file(path, {.sync = false});
        file.write({reinterpret_cast<const char*>(&header), sizeof header});
        file.write({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
        file.commit();
    } catch (const Error&) {  // a full disk costs the next run its time, not this one its pictures
    }
}

}  // namespace t2i
