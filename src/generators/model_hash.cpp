#include "generators/model_hash.h"

#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "core/check.h"
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

// The files of a decoder that the pipeline's own component could be.
std::vector<std::string> files_of_decoder(const ModelFolder& folder, const std::string& path) {
    const auto row = std::ranges::find_if(
        folder.row->components, [&](const ComponentRow& part) { return std::string_view(part.folder) == folder.row->decoder; });
    T2I_CHECK(row != folder.row->components.end(), "a pipeline whose decoder is none of its components");
    return row->files(path);
}

}  // namespace

std::string hash_decoder(const ModelFolder& folder, const std::string& another_decoder) {
    return hash_files(files_of_decoder(folder, another_decoder));
}

ModelHashes hash_model(const ModelFolder& folder, const std::string& another_decoder, const std::atomic<bool>* abandoned) {
    ShortHash hash(abandoned);
    hash.add_text(folder.pipeline_class);
    hash.add_text(std::to_string(folder.max_prompt_tokens));
    for (const ClassLabel& label : folder.classes) {
        hash.add_text(std::to_string(label.id));
        hash.add_text(label.names);
    }
    for (const ComponentRow& part : folder.row->components) {
        if (std::string_view(part.folder) == folder.row->decoder && !another_decoder.empty()) continue;
        hash.add_text(part.folder);
        add_files(hash, part.files(folder.component(part.folder)));
    }
    ModelHashes hashes{.model = hash.text(), .decoder = {}};
    if (!another_decoder.empty()) {
        ShortHash decoder(abandoned);
        add_files(decoder, files_of_decoder(folder, another_decoder));
        hashes.decoder = decoder.text();
    }
    return hashes;
}

std::string hash_weights_0_1(const std::string& folder) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
    std::ranges::sort(files);
    ShortHash hash;
    for (const auto& file : files) hash.add_contents(file);
    return hash.text();
}

}  // namespace t2i
