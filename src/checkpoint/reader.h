// Where tensors come from: one interface over all checkpoint formats.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
    // The tensor in the mapped file, valid while the reader lives, possibly unaligned; what the file holds in another order is
    // put in order when it is first asked for, and kept. From any thread. Throws Error{input} when it is absent or its dtype has
    // no DType.
    [[nodiscard]] virtual TensorView tensor(const std::string& name) const = 0;
    [[nodiscard]] virtual const std::map<std::string, std::string>& metadata() const = 0;
    // The tensor is not wanted for now: memory that it takes may be given back. Views of it are not read any more; tensor() gives
    // it again. Readers over other readers pass it on.
    virtual void release(const std::string& /*name*/) const {}
    // A file of torch.save may nest dictionaries: {"ema": {…}, "model": {…}, "opt": {…}}. The names of its entries are the keys
    // that lead to them, with dots between: "ema.blocks.0.attn.qkv.weight". This is the dictionary that the projects' own loaders
    // take (checkpoint/torch_objects.h), here "ema". Empty: what is at the top, and of every other format.
    [[nodiscard]] virtual std::string weights() const { return {}; }
};

// The entry of a name; null: there is none. From any thread.
[[nodiscard]] const CheckpointReader::Entry* find_entry(const CheckpointReader& reader, const std::string& name);
// Its place in entries(). Throws Error{input} naming `where`: there is none.
[[nodiscard]] std::size_t entry_index(const CheckpointReader& reader, const std::string& name, const std::string& where);

// Opens one file by its content: safetensors, a shard index, a PyTorch checkpoint, GGUF; whatever its name is.
// dictionary: which one of the file's is read, such as "model" (checkpoint/dictionary.h); empty: all, under their whole names;
// nothing: the one that weights() says. Throws Error{input} naming the file and what is wrong.
[[nodiscard]] std::unique_ptr<CheckpointReader> open_checkpoint(const std::string& path,
                                                                const std::optional<std::string>& dictionary = {});

// How the names of such files end: ".safetensors", ".bin", … Those that are found by a stem come first, in the order in which
// they are preferred.
[[nodiscard]] std::span<const std::string_view> checkpoint_extensions();

// The same of a file that holds tensors itself: an index is refused, so that none leads to another.
[[nodiscard]] std::unique_ptr<CheckpointReader> open_shard(const std::string& path);

// The files that open_checkpoint() reads: the one at `path`, and of an index the shards that it names, in order of name. Throws
// Error{input} naming a file that cannot be read or an index that is none.
[[nodiscard]] std::vector<std::string> checkpoint_files(const std::string& path);

}  // namespace t2i
