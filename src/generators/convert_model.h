// A model, or a part of one, written anew: in another type, in another container, under diffusers' names.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "checkpoint/convert_tensors.h"
#include "t2i/log.h"

namespace t2i {

// A tensor that has been written.
struct ConvertedTensor {
    std::string part;        // "transformer"; empty where there is one part
    std::string name, from;  // its name in the new file; its type in the old one, as that spells it
    DType to = DType::f32;
    Shape shape{};
    ConversionError error{};
};

struct ConvertOptions {
    std::string input;   // a model's folder, a component's folder, or a file: all that t2i draws with
    std::string output;  // NAME.gguf or NAME.safetensors of a part; of a part or of a whole model any other name is a folder
    std::optional<DType> type{};  // of the weights; nothing: each keeps its own (converted_type())
    std::string variant{};        // of the weights' files: see ComponentFolder
    int threads = 0;              // 0: one per core
    Log log{};
    std::function<void(const ConvertedTensor&)> told{};  // in the order of the file
    std::function<bool()> is_stopped{};                  // asked before every tensor; may be empty
};

// Of a folder a new one with the same parts: configs, tokenizer and schedule as they are, weights in one safetensors file each.
// Of a file a component's folder with the config that its names and shapes say. The output appears under its name once it is
// whole, and nothing that is there is ever replaced. Memory: a few megabytes besides the mapped input. Throws Error: input (what
// cannot be read or written, is there already, or cannot hold the type), invalid_argument (about "type": a block type outside of
// GGUF; a file for a whole model), cancelled.
void convert_model(const ConvertOptions& options);

}  // namespace t2i
