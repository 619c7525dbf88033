// A tensor of a checkpoint in another type, and what that costs.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/reader.h"
#include "checkpoint/writer.h"

namespace t2i {

enum class Container : std::uint8_t { safetensors, gguf };

// In what type a tensor is to be stored where `wanted` is asked for; nothing: in its own, or, of types that GGUF lacks, in the
// narrowest that holds every value. What is no weight (i32, u8) stays what it is. Block types are for matrices: rows that are no
// whole blocks get q8_0, or else f16, as does the projection of captions; vectors, and tables that a model adds to something,
// f32. Vectors in GGUF are f32 whatever is asked for, as ggml's programs expect them. Throws Error{input} naming tensor and file:
// a type that nothing here can read.
[[nodiscard]] DType converted_type(const CheckpointReader::Entry& entry, std::optional<DType> wanted, Container container);

struct Conversion {
    std::string source;    // the tensor's name in the reader
    PlannedTensor target;  // and in the file, with the type that it gets
};

struct ConversionError {
    double relative = 0;  // root of the sum of squares of all differences, divided by that of all values; 0: nothing has changed
    double largest = 0;   // difference of a single value
};

// All values of a tensor in their new type to the sink, piece by piece: a few megabytes are in memory at a time, whatever its
// size. threads: that pack at once, at least 1; the bytes are the same for any number. Throws Error{input} naming the tensor: a
// NaN or Inf, or a value too large for the type.
[[nodiscard]] ConversionError convert_tensor(const CheckpointReader& reader, const Conversion& conversion, int threads,
                                             const ByteSink& sink);

}  // namespace t2i
