// Where tensors come from: one interface over all checkpoint formats.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace t2i {

class CheckpointReader {
  public:
    virtual ~CheckpointReader() = default;
    struct Entry {
        std::string name;
        std::string dtype;  // as the format spells it: "F32", "BF16", "I64", …
        Shape shape;
        std::size_t bytes = 0;
        std::string file;  // the file that holds it
    };
    // In name order.
    [[nodiscard]] virtual const std::vector<Entry>& entries() const = 0;
    // The tensor in the mapped file, valid while the reader lives, possibly unaligned.
    // Throws Error{input} when it is absent or its dtype has no DType.
    [[nodiscard]] virtual TensorView tensor(const std::string& name) const = 0;
    [[nodiscard]] virtual const std::map<std::string, std::string>& metadata() const = 0;
};

// Opens one file by its content: safetensors today. Throws Error{input} naming the file and what is wrong.
[[nodiscard]] std::unique_ptr<CheckpointReader> open_checkpoint(const std::string& path);

// Opens a diffusers or transformers component folder: `stem`.safetensors or `stem`.safetensors.index.json with its
// shards, where stem is diffusion_pytorch_model or model. Throws Error{input} naming the folder when there is neither.
[[nodiscard]] std::unique_ptr<CheckpointReader> open_component(const std::string& folder);

// The files that open_checkpoint() reads: the one at `path`, and of an index the shards that it names, in order of name. Throws
// Error{input} naming a file that cannot be read or an index that is none.
[[nodiscard]] std::vector<std::string> checkpoint_files(const std::string& path);
// The same of open_component(), which throws as this does.
[[nodiscard]] std::vector<std::string> component_checkpoint_files(const std::string& folder);

}  // namespace t2i
