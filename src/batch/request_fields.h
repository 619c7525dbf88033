// The names that a prompt file may use, and their values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "batch/request_line.h"
#include "t2i/error.h"

namespace t2i::batch {

constexpr std::size_t prompt_limit_bytes = std::size_t{64} << 10;
constexpr std::size_t id_limit_bytes = 200;  // a file name has at most 255, and a suffix follows

// How a value was written. Plain formats know no types: `untyped`.
enum class ValueKind { untyped, text, number };

// The canonical name of a field: "-" and "_" and other programs' names for the same thing are one.
// Throws Error{input} naming the nearest known name.
[[nodiscard]] std::string field_name(std::string_view name);

// What is wrong with a line, by the names that prompt files use: what the library calls "count" is "batch_size" here.
[[nodiscard]] std::string problem_of(const Error& error);

// Sets one field by its canonical name. Throws Error{input} saying what is wrong with the value.
void set_field(RequestLine& line, const std::string& field, std::string_view value, ValueKind kind);

// Throws Error{input} when `id` could not be a file's name or would lead out of its folder.
void check_id(std::string_view id);

}  // namespace t2i::batch
