// A spiece.model: SentencePiece itself, and the fields of its file that SentencePiece does not tell.
#pragma once

#include <sentencepiece_processor.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace t2i {

// Loads the bytes of a spiece.model. Throws Error{input} naming `where`.
void load_sentencepiece(sentencepiece::SentencePieceProcessor& processor, const std::string& model, const std::string& where);

// What a fast tokenizer is made of beside the pieces.
struct SentencePieceFields {
    std::string_view charsmap{};   // NormalizerSpec.precompiled_charsmap, bytes of the model
    std::int64_t unknown = 0;      // TrainerSpec.unk_id
    bool is_unigram = true;        // TrainerSpec.model_type
    std::set<int> user_defined{};  // ids of pieces of that type
};
// The model must have been loaded: what is no protobuf message is left out. The result lies in `model`.
[[nodiscard]] SentencePieceFields read_sentencepiece_fields(std::string_view model);

}  // namespace t2i
