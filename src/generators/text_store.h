// Encoded prompts on disk, for later runs: a text encoder may be far larger than the rest of a model.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/tensor.h"

namespace t2i {

class TextStore {
  public:
    // folder: made when it is not there. identity: everything that an encoding depends on besides its ids (the encoder's files,
    // device, instruction set, dtype, build). Throws Error{input} naming the folder.
    TextStore(std::string folder, std::string identity);
    // [T, width] f32 on the host; nothing when it is not there or not whole.
    [[nodiscard]] std::optional<Tensor> load(std::span<const std::int32_t> ids, std::int64_t width) const;
    // text: [T, width] f32 on the host. A store that cannot be written to (a full disk) is only slower: nothing is thrown.
    void save(std::span<const std::int32_t> ids, const TensorView& text) const;

  private:
    [[nodiscard]] std::string path_of(std::span<const std::int32_t> ids) const;
    std::string folder_, identity_;
};

}  // namespace t2i
