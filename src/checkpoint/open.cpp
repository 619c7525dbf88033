#include <algorithm>
#include <array>
#include <filesystem>
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

}  // namespace

std::unique_ptr<CheckpointReader> open_checkpoint(const std::string& path) {
    {
        const MappedFile file(path);
        const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
        // A safetensors header length can spell any magic, but then byte 8 is '{'.
        const bool is_safetensors = text.size() > 8 && text[8] == '{' && text[7] == '\0';
        const auto row = std::find_if(magics.begin(), magics.end(),
                                      [&](const MagicRow& r) { return text.substr(0, r.magic.size()) == r.magic; });
        if (!is_safetensors && row != magics.end()) {
            if (row->open == nullptr) throw Error(ErrorCode::input, row->problem, path);
            return row->open(path);
        }
    }
    return open_safetensors(path);
}

std::unique_ptr<CheckpointReader> open_component(const std::string& folder) {
    namespace fs = std::filesystem;
    for (const char* stem : {"diffusion_pytorch_model", "model"}) {
        const auto whole = fs::path(folder) / (std::string(stem) + ".safetensors");
        const auto index = fs::path(folder) / (std::string(stem) + ".safetensors.index.json");
        if (fs::exists(whole)) return open_checkpoint(whole.string());
        if (fs::exists(index)) return open_checkpoint(index.string());
    }
    throw Error(ErrorCode::input,
                fs::is_directory(folder)
                    ? "no diffusion_pytorch_model.safetensors, model.safetensors or their .index.json in this folder"
                    : "no such folder",
                folder);
}

}  // namespace t2i
