// The names that a prompt file may use, and their values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "batch/request_line.h"
#include "t2i/error.h"

namespace t2i::batch {

constexpr std::size_t prompt_limit_bytes = std::size_t{64} << 10;
constexpr std::size_t id_limit_bytes = 200;  // a file name has at most 255, and a suffix follows

// How a value was written. Plain formats know no types: `untyped`.
enum class ValueKind { untyped, text, number };

// The canonical name of a field: capitals and small letters, "-", "_" and blanks, and other programs' names for the same thing
// are one. Empty: no field is called so.
[[nodiscard]] std::string field_name(std::string_view name);

// Throws Error{input} naming the field that an unknown name was probably meant to be: a letter or, of a long name, two are
// others, or neighbours changed places. Other names are somebody's own columns.
void refuse_misspelt(std::string_view name);
// Throws Error{input} for an unknown name, with the nearest known one.
[[noreturn]] void refuse_unknown(std::string_view name);

// Whether the field's values are numbers.
[[nodiscard]] bool is_number(const std::string& field);
// Whether they are true and false.
[[nodiscard]] bool is_flag(const std::string& field);

// What is wrong with a line, by the names that prompt files use: what the library calls "count" is "batch_size" here.
[[nodiscard]] std::string problem_of(const Error& error);

// Options of AUTOMATIC1111's flag lines that say nothing here, passed over and counted: name → lines.
using PassedOver = std::map<std::string, std::int64_t, std::less<>>;

// Puts a line's request together, one value at a time. All throw Error{input} saying what is wrong.
class RequestBuilder {
  public:
    // passed_over: counts what pass_over() takes; outlives it; may be null.
    explicit RequestBuilder(PassedOver* passed_over = nullptr) : passed_over_(passed_over) {}
    // field: a canonical name. Throws when it is given twice, or for its value.
    void set(const std::string& field, std::string_view value, ValueKind kind);
    // A value under a name that is no field's, as JSON: for RequestLine::extra.
    void keep(std::string_view name, std::string_view json);
    // True for an option of AUTOMATIC1111's that changes no picture (do_not_save_grid), or not with this value (tiling false).
    // Throws for one that changes pictures in a way that there is not here.
    bool pass_over(std::string_view name, std::string_view value);
    // Throws when there is no prompt, or where fields contradict each other.
    [[nodiscard]] RequestLine finish();

  private:
    void set_value(const std::string& field, std::string_view value);

    RequestLine line_;
    std::set<std::string> seen_;
    std::int64_t batch_size_ = 1, n_iter_ = 1;
    PassedOver* passed_over_;
};

// Throws Error{input} when `id` could not be a file's name or would lead out of its folder.
void check_id(std::string_view id);

}  // namespace t2i::batch
