#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>

#include "checkpoint/dictionary.h"
#include "checkpoint/gguf.h"
#include "checkpoint/mapped_file.h"
#include "checkpoint/reader.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/sharded.h"
#include "checkpoint/torch_file.h"
#include "core/stand_in.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// A format with its own magic bytes. `open` is null for formats that are only recognised, to say what to do.
struct MagicRow {
    std::string_view magic;
    std::unique_ptr<CheckpointReader> (*open)(const std::string& path);
    const char* problem = nullptr;
    std::size_t at = 0;  // of the magic's first byte
};
constexpr auto magics = std::to_array<MagicRow>({
    {"{", open_sharded},
    {"PK\x03\x04", open_torch_zip},
    {"\x80", open_torch_stream},
    {"GGUF", open_gguf},
    {"PK\x05\x06", nullptr, "an empty zip archive"},
    {"\x89HDF", nullptr, "an HDF5 file, of Keras or TensorFlow; the same page may hold safetensors or PyTorch's .bin"},
    {"\x1F\x8B", nullptr, "compressed by gzip; unpack it first"},
    {"ustar", nullptr,
     "a tar archive: unpack it if a checkpoint is in it; if it is a checkpoint of PyTorch before 0.4, save it again in Python: "
     "torch.save(torch.load(…), …)",
     257},
});

std::string_view text_of(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// A safetensors header length can spell any magic, but its upper half is 0 and byte 8 is '{'. GGUF has its version there, and may
// well hold 123 tensors.
bool is_safetensors(std::string_view text) {
    return text.size() > 8 && text[8] == '{' && text.substr(4, 4) == std::string_view("\0\0\0\0", 4);
}

// The row of a file's magic; null: it has none and is taken for safetensors.
const MagicRow* magic_row(std::string_view text) {
    if (is_safetensors(text)) return nullptr;
    const auto row = std::ranges::find_if(
        magics, [&](const MagicRow& r) { return text.substr(std::min(r.at, text.size())).starts_with(r.magic); });
    return row == magics.end() ? nullptr : &*row;
}

// What a file is that has bytes of no checkpoint; empty: it may be one.
std::string not_weights(std::string_view text) {
    if (is_safetensors(text)) return {};
    if (std::string problem = stand_in_problem(text); !problem.empty()) return problem;
    constexpr std::size_t first_bytes = 8, short_text = 4096;
    if (text.size() > first_bytes && text.find_first_not_of('\0') >= first_bytes)
        return "begins with zeros: its download has not finished; let it finish, or fetch the file again";
    const auto is_printable = [](char c) { return c == '\n' || c == '\r' || c == '\t' || (c >= ' ' && c != '\x7F'); };
    if (text.front() != '{' && text.size() <= short_text && std::ranges::all_of(text, is_printable))
        return "is a text of " + std::to_string(text.size()) + " bytes, not weights" + fetch_again;
    return {};
}

// What JSON is that stands where an index of shards could; empty: it may be one.
std::string not_an_index(std::string_view text) {
    constexpr std::size_t config_bytes = std::size_t{1} << 20U;  // an index may be longer, and says what it is at either end
    if (text.size() > config_bytes || text.find("\"weight_map\"") != text.npos) return {};
    if (text.find("\"_diffusers_version\"") != text.npos && text.find("\"scheduler\"") != text.npos)
        return "is the index of a model, not weights; give the folder that it lies in";
    for (const std::string_view key : {"\"_class_name\"", "\"architectures\"", "\"model_type\"", "\"tokenizer_class\""})
        if (text.find(key) != text.npos)
            return "is a config, not weights; give the folder that it lies in, or the file beside it";
    return "is JSON without a \"weight_map\", so neither weights nor an index of their shards";
}

// magic_row() of a file that can be opened. Throws Error{input}.
const MagicRow* checked_row(const std::string& path) {
    const MappedFile file(path);
    const std::string_view text = text_of(file);
    const MagicRow* row = magic_row(text);
    if (row != nullptr && row->open == nullptr) throw Error(ErrorCode::input, row->problem, path);
    if (row != nullptr && row->open != open_sharded) return row;
    if (const std::string problem = not_weights(text); !problem.empty()) throw Error(ErrorCode::input, problem, path);
    if (const std::string problem = row ? not_an_index(text) : std::string(); !problem.empty())
        throw Error(ErrorCode::input, problem, path);
    return row;
}

}  // namespace

std::unique_ptr<CheckpointReader> open_checkpoint(const std::string& path, const std::optional<std::string>& dictionary) {
    const MagicRow* row = checked_row(path);
    auto reader = row == nullptr ? open_safetensors(path) : row->open(path);
    const std::string chosen = dictionary ? *dictionary : reader->weights();
    return take_dictionary(std::move(reader), chosen);
}

std::unique_ptr<CheckpointReader> open_shard(const std::string& path) {
    const MagicRow* row = checked_row(path);
    if (row != nullptr && row->open == open_sharded)
        throw Error(ErrorCode::input, "is an index or another JSON file, not a shard", path);
    return open_checkpoint(path);
}

std::span<const std::string_view> checkpoint_extensions() {
    static constexpr std::array<std::string_view, 6> extensions{".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt"};
    return extensions;
}

std::vector<std::string> checkpoint_files(const std::string& path) {
    std::vector<std::string> files{path};
    const MappedFile file(path);
    const MagicRow* row = magic_row(text_of(file));
    if (row == nullptr || row->open != open_sharded) return files;
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : parse_shard_index(text_of(file), path)) shards.insert(shard);
    for (const auto& shard : shards) files.push_back((std::filesystem::path(path).parent_path() / shard).string());
    return files;
}

}  // namespace t2i
