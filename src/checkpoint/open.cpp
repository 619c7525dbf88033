#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>

#include "checkpoint/mapped_file.h"
#include "checkpoint/reader.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/sharded.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// A format with its own magic bytes. `open` is null for formats that are only recognised, to say what to do.
struct MagicRow {
    std::string_view magic;
    std::unique_ptr<CheckpointReader> (*open)(const std::string& path);
    const char* problem;
};
constexpr std::array<MagicRow, 6> magics{{
    {"{", open_sharded, nullptr},
    {"PK\x03\x04", nullptr, "a PyTorch checkpoint (zip); convert it to safetensors"},
    {"\x80\x02", nullptr, "a PyTorch checkpoint (pickle); convert it to safetensors"},
    {"GGUF", nullptr, "a GGUF file; only safetensors is supported"},
    {"version https://git-lfs", nullptr, "a Git LFS pointer, not the weights; fetch the file itself (git lfs pull)"},
    {"<!", nullptr, "a web page, not a checkpoint; the download went wrong"},
}};

std::string_view text_of(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// The row of a file's magic; null: it has none and is taken for safetensors.
const MagicRow* magic_row(std::string_view text) {
    // A safetensors header length can spell any magic, but then byte 8 is '{'.
    if (text.size() > 8 && text[8] == '{' && text[7] == '\0') return nullptr;
    const auto row = std::ranges::find_if(magics, [&](const MagicRow& r) { return text.starts_with(r.magic); });
    return row == magics.end() ? nullptr : &*row;
}

}  // namespace

std::unique_ptr<CheckpointReader> open_checkpoint(const std::string& path) {
    const MagicRow* row = magic_row(text_of(MappedFile(path)));
    if (row == nullptr) return open_safetensors(path);
    if (row->open == nullptr) throw Error(ErrorCode::input, row->problem, path);
    return row->open(path);
}

namespace {

// The file of a component's folder that is opened.
std::string component_checkpoint(const std::string& folder) {
    namespace fs = std::filesystem;
    for (const char* stem : {"diffusion_pytorch_model", "model"}) {
        const auto whole = fs::path(folder) / (std::string(stem) + ".safetensors");
        const auto index = fs::path(folder) / (std::string(stem) + ".safetensors.index.json");
        if (fs::exists(whole)) return whole.string();
        if (fs::exists(index)) return index.string();
    }
    throw Error(ErrorCode::input,
                fs::is_directory(folder)
                    ? "no diffusion_pytorch_model.safetensors, model.safetensors or their .index.json in this folder"
                    : "no such folder",
                folder);
}

}  // namespace

std::unique_ptr<CheckpointReader> open_component(const std::string& folder) {
    return open_checkpoint(component_checkpoint(folder));
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

std::vector<std::string> component_checkpoint_files(const std::string& folder) {
    return checkpoint_files(component_checkpoint(folder));
}

}  // namespace t2i
