#include "text/sentencepiece_model.h"

#include <cstdint>
#include <new>
#include <optional>

#include "t2i/error.h"

namespace t2i {

void load_sentencepiece(sentencepiece::SentencePieceProcessor& processor, const std::string& model, const std::string& where) {
    bool loaded = false;
    try {
        loaded = processor.LoadFromSerializedProto(model).ok();
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception&) {
        // Its trie builder throws on some damaged models.
    }
    if (!loaded) throw Error(ErrorCode::input, "is not a SentencePiece model", where);
}

namespace {

// Field by field through one protobuf message; SentencePiece's own classes for it are not installed.
class Message {
  public:
    explicit Message(std::string_view bytes) : rest_(bytes) {}

    struct Field {
        std::uint64_t number = 0, value = 0;
        std::string_view bytes{};
    };
    // The next field that is a number or bytes; nothing at the end, or where the message is damaged.
    std::optional<Field> next() {
        while (const auto tag = varint()) {
            Field field{.number = *tag >> 3};
            switch (*tag & 7U) {
                case 0: {
                    const auto value = varint();
                    if (!value) return std::nullopt;
                    field.value = *value;
                    return field;
                }
                case 2: {
                    const auto size = varint();
                    if (!size || *size > rest_.size()) return std::nullopt;
                    field.bytes = rest_.substr(0, *size);
                    rest_.remove_prefix(*size);
                    return field;
                }
                case 1:
                case 5: {
                    const std::size_t size = (*tag & 7U) == 1 ? 8 : 4;
                    if (rest_.size() < size) return std::nullopt;
                    rest_.remove_prefix(size);
                    break;
                }
                default:
                    return std::nullopt;
            }
        }
        return std::nullopt;
    }

  private:
    std::optional<std::uint64_t> varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(rest_.front());
            rest_.remove_prefix(1);
            value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
            if (byte < 0x80) return value;
        }
        return std::nullopt;
    }
    std::string_view rest_;
};

}  // namespace

SentencePieceFields read_sentencepiece_fields(std::string_view model) {
    // Numbers of the fields in sentencepiece_model.proto.
    constexpr std::uint64_t pieces = 1, trainer_spec = 2, normalizer_spec = 3, piece_type = 3, model_type = 3, unk_id = 40,
                            precompiled_charsmap = 2;
    constexpr std::uint64_t unigram = 1, user_defined = 4;
    SentencePieceFields fields;
    Message message(model);
    int piece = -1;
    while (const auto field = message.next()) {
        piece += field->number == pieces;
        Message inner(field->bytes);
        while (const auto value = inner.next()) {
            if (field->number == pieces && value->number == piece_type && value->value == user_defined)
                fields.user_defined.insert(piece);
            if (field->number == normalizer_spec && value->number == precompiled_charsmap) fields.charsmap = value->bytes;
            if (field->number == trainer_spec && value->number == model_type) fields.is_unigram = value->value == unigram;
            if (field->number == trainer_spec && value->number == unk_id)
                fields.unknown = static_cast<std::int32_t>(value->value);
        }
    }
    return fields;
}

}  // namespace t2i
