#include "generators/model_hash.h"

#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "core/files.h"
#include "core/json_options.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

// The first 10 of the 16 hex digits of XXH3-64, as long as AUTOMATIC1111's hashes.
class ShortHash {
  public:
    explicit ShortHash(const std::atomic<bool>* abandoned = nullptr) : abandoned_(abandoned) { XXH3_64bits_reset(state_.get()); }
    void add(std::string_view bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
    // With its length before it, so that no two lists of texts are the same bytes.
    void add_text(std::string_view text) {
        add(std::to_string(text.size()) + ":");
        add(text);
    }
    // Throws Error{input}.
    void add_file(const std::string& path) {
        std::error_code ec;
        const auto size = fs::file_size(path, ec);
        if (ec) throw Error(ErrorCode::input, "cannot be read: " + ec.message(), path);
        add(std::to_string(size) + ":");
        if (add_contents(path) != size && !is_abandoned()) throw Error(ErrorCode::input, "cannot be read to its end", path);
    }
    // Bytes that were read.
    std::uint64_t add_contents(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        std::uint64_t read = 0;
        while (!is_abandoned() && (file.read(block_.data(), static_cast<std::streamsize>(block_.size())) || file.gcount() > 0)) {
            add({block_.data(), static_cast<std::size_t>(file.gcount())});
            read += static_cast<std::uint64_t>(file.gcount());
        }
        return read;
    }
    [[nodiscard]] std::string text() const { return hex_text(XXH3_64bits_digest(state_.get())).substr(0, 10); }

  private:
    [[nodiscard]] bool is_abandoned() const { return abandoned_ && *abandoned_; }
    const std::atomic<bool>* abandoned_;
    std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_{XXH3_createState(), &XXH3_freeState};
    std::vector<char> block_ = std::vector<char>(std::size_t{1} << 20);
};

void add_files(ShortHash& hash, std::span<const std::string> files) {
    hash.add(std::to_string(files.size()) + ";");
    for (const auto& file : files) hash.add_file(file);
}

}  // namespace

std::string hash_files(std::span<const std::string> files) {
    ShortHash hash;
    add_files(hash, files);
    return hash.text();
}

namespace {

// What model_index.json says of a component and its own file does not, where that makes another picture; empty: nothing.
std::string class_beside_files(const ComponentRow& part, const ComponentSource& source, std::span<const std::string> files) {
    if (!part.class_key) return {};
    const JsonOptions own = JsonOptions::read(files.front());
    return own.text(part.class_key, {}) == source.class_name ? std::string() : source.class_name;
}

void add_part(ShortHash& hash, const ComponentRow& part, const ComponentSource& source) {
    const std::vector<std::string> files = part.files(source);
    if (const std::string name = class_beside_files(part, source, files); !name.empty()) hash.add_text(name);
    if (part.rules)
        if (const std::string rules = part.rules(source); !rules.empty()) hash.add_text(rules);
    add_files(hash, files);
    // Of a file without a config what its names and shapes, and those around it, say instead.
    if (part.weights)
        if (const std::string config = derived_config(source); !config.empty()) hash.add_text(config);
}

std::string hash_part(const ComponentRow& part, const ComponentSource& source, const std::atomic<bool>* abandoned) {
    ShortHash hash(abandoned);
    add_part(hash, part, source);
    return hash.text();
}

const ComponentRow& decoder_row(const ModelFolder& folder) {
    const ComponentRow* row = folder.row_of(folder.row->decoder);
    T2I_CHECK(row, "a pipeline whose decoder is none of its components");
    return *row;
}

}  // namespace

std::string hash_decoder(const ModelFolder& folder, const std::string& another_decoder) {
    return hash_part(decoder_row(folder), folder.decoder(another_decoder), nullptr);
}

ModelHashes hash_model(const ModelFolder& folder, const std::string& another_decoder, const std::atomic<bool>* abandoned) {
    ShortHash hash(abandoned);
    hash.add_text(folder.pipeline_class);
    hash.add_text(std::to_string(folder.max_prompt_tokens));
    for (const ClassLabel& label : folder.classes) {
        hash.add_text(std::to_string(label.id));
        hash.add_text(label.names);
    }
    ModelHashes hashes;
    for (const ComponentRow& part : folder.row->components) {
        if (std::string_view(part.folder) == folder.row->decoder && !another_decoder.empty()) continue;
        if (std::ranges::any_of(folder.named, [&](const NamedPart& named) { return named.component == part.folder; })) {
            hashes.parts[part.folder] = hash_part(part, folder.source(part.folder), abandoned);
            continue;
        }
        hash.add_text(part.folder);
        if (!folder.lacks(part.folder)) add_part(hash, part, folder.source(part.folder));
        else hash.add_text(folder.row->schedule);
    }
    hashes.model = hash.text();
    if (!another_decoder.empty()) hashes.decoder = hash_part(decoder_row(folder), folder.decoder(another_decoder), abandoned);
    return hashes;
}

std::string hash_weights_0_1(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code ec;  // what cannot be read held nothing that 0.1.0 could have loaded
    for (auto at = fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied, ec);
         !ec && at != fs::recursive_directory_iterator(); at.increment(ec))
        if (at->path().extension() == ".safetensors" && is_plain_file(at->path().string())) files.push_back(at->path().string());
    std::ranges::sort(files);
    ShortHash hash;
    for (const auto& file : files) hash.add_contents(file);
    return hash.text();
}

}  // namespace t2i
