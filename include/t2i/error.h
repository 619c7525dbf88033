// The one exception type of the library.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "t2i/export.h"

namespace t2i {

// What kind of failure it is, and so who can do something about it.
enum class ErrorCode {
    invalid_argument = 1,  // a field of the options or of the request: an unknown name, a value out of range
    input = 2,             // a file or a text that cannot be read or written, or is not what it should be
    resource = 3,          // a device that is missing or failed, out of memory
    cancelled = 4,         // the caller stopped the work
    internal = 5,          // a broken promise inside the library; please report it
};

// A field by its name in PipelineOptions, GenerateRequest or another struct of options: "steps", "device".
struct Field {
    std::string name;
};

// what() is one line for a person: "<field or file>: <message>", or the message alone where it is about neither.
class T2I_API Error : public std::runtime_error {
  public:
    // where: the file it is about, with a place in it if there is one; may be empty.
    Error(ErrorCode code, const std::string& message, const std::string& where = {}) : Error(code, message, where, {}) {}
    Error(ErrorCode code, const std::string& message, const Field& field) : Error(code, message, field.name, field.name) {}

    [[nodiscard]] ErrorCode code() const noexcept { return code_; }
    [[nodiscard]] const std::string& message() const noexcept { return message_; }
    // The field or the file it is about; may be empty.
    [[nodiscard]] const std::string& where() const noexcept { return where_; }
    // The same where it is about a field, else empty.
    [[nodiscard]] const std::string& field() const noexcept { return field_; }

  private:
    Error(ErrorCode code, std::string message, std::string where, std::string field)
        : std::runtime_error(where.empty() ? message : where + ": " + message),
          code_(code),
          message_(std::move(message)),
          where_(std::move(where)),
          field_(std::move(field)) {}

    ErrorCode code_;
    std::string message_, where_, field_;
};

}  // namespace t2i
