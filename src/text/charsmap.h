// SentencePiece's precompiled normalisation (precompiled_charsmap), as the tokenizers library applies it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/aligned_text.h"

namespace t2i {

// The blob: a 32-bit length, so many bytes of a Darts double array, and texts that end in NUL. The array finds a text's prefixes;
// each stands for one of the replacements. Constant, so from any thread.
class Charsmap {
  public:
    // Throws Error{input} naming `where` when the lengths do not fit the blob. Places inside it are checked when they are used:
    // one that leads outside ends the search.
    Charsmap(std::string_view blob, const std::string& where);

    // Grapheme cluster by cluster (tokenizers: normalizers/precompiled.rs): one of fewer than six bytes becomes the replacement
    // of its shortest known prefix; in others, and where there is none, that is asked of every character.
    [[nodiscard]] AlignedText normalize(const AlignedText& text) const;

  private:
    // What the shortest prefix of `text` that the array knows becomes.
    [[nodiscard]] std::optional<std::string_view> replacement(std::string_view text) const;

    std::vector<std::uint32_t> units_;
    std::string replacements_;
};

}  // namespace t2i
