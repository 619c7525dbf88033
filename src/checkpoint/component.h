// Which files of a component's folder hold its weights, chosen as the library chooses them whose class the component is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/reader.h"

namespace t2i {

enum class Library : std::uint8_t {
    diffusers,    // diffusion_pytorch_model; of an index and a whole file the index
    transformers  // model, pytorch_model.bin; of an index and a whole file the whole file
};

struct ComponentFolder {
    std::string path{};
    Library library = Library::diffusers;
    // "fp16": the files of this name in the middle where there are some, else those without one. Empty: those without one, or,
    // where a single variant stands alone, that.
    std::string variant{};
};

// safetensors come before .bin, and this library's names before the other's. All three throw Error{input} naming the folder or
// file: none that can be chosen, and why where that can be told (the shards without their index, another variant alone, a link
// that points to nothing, a download that has not finished).
[[nodiscard]] std::string component_checkpoint(const ComponentFolder& folder);  // the path of a whole file or of an index
[[nodiscard]] std::unique_ptr<CheckpointReader> open_component(const ComponentFolder& folder);
[[nodiscard]] std::vector<std::string> component_checkpoint_files(const ComponentFolder& folder);  // see checkpoint_files()

// What is wrong with a file of weights that is one shard of several, by its name; empty: it is none.
[[nodiscard]] std::string shard_problem(const std::string& path);

// Whether there are files of folder.variant, which is not empty.
[[nodiscard]] bool has_variant(const ComponentFolder& folder);

}  // namespace t2i
