// From what a checkpoint's pickle builds to the tensors in it.
// Sources: PyTorch 2.15, torch/serialization.py, torch/_utils.py (_rebuild_*), torch/_weights_only_unpickler.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/pickle.h"
#include "core/shape.h"

namespace t2i {

// A run of elements that tensors share, as the pickle speaks of it.
struct TorchStorage {
    std::string_view key{};    // of its bytes in the file
    std::string_view dtype{};  // as safetensors spells it; what the bytes are swapped by
    std::size_t element_bytes = 0;
    std::uint64_t elements = 0;
    std::uint64_t first = 0;  // of those elements within what the key names, in elements: views of old files
};

struct TorchTensor {
    std::string name{};  // dotted: the keys that lead to it
    TorchStorage storage{};
    std::string_view dtype{};  // may be another than the storage's
    std::size_t element_bytes = 0;
    Shape shape{};
    std::vector<std::int64_t> strides{};  // in elements of dtype
    std::uint64_t first = 0;              // of the storage's elements, in elements of dtype
};

struct TorchObjects {
    std::vector<TorchTensor> tensors;  // in name order
    // The dictionary that the projects' own loaders take: of those that hold tensors "ema" (facebookresearch/DiT), else
    // "state_dict" (LDM, PixArt), "model" (LlamaGen), "module", and again inside of it; else the only one, when its names are
    // those of a state dict. Empty: the tensors at the top.
    std::string weights;
};

// All tensors in the dictionaries and lists of `graph`, which outlives what is returned. Each lies inside its storage. Numbers,
// texts and what trainings note beside weights (argparse.Namespace, NumPy's numbers, torch.Size, …) are passed over. Throws
// Error{input} naming `path` and the class or function: anything else that was called; a tensor that is sparse, quantised or
// negated, of more dimensions than a Shape has, outside its storage or under a name that another one has; no tensor at all.
[[nodiscard]] TorchObjects read_torch_objects(const PickleGraph& graph, const std::string& path);

// Every storage that the graph names, in no order: their sizes are needed to find them in a stream.
[[nodiscard]] std::vector<TorchStorage> read_torch_storages(const PickleGraph& graph, const std::string& path);

}  // namespace t2i
