// The one exception type of the library. Commands map its code to the process exit code.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace t2i {

// Values are the exit codes that the command line promises.
enum class ErrorCode {
    usage = 2,     // a flag's name, syntax or range
    input = 3,     // anything that cannot be read or written, or is not what it should be
    resource = 4,  // device missing, out of memory
    partial = 5,   // some lines of a batch failed
    interrupted = 130,
};

// `message` is one line for a person; `where` names the file, flag or tensor it is about (may be empty).
class Error : public std::runtime_error {
  public:
    Error(ErrorCode code, const std::string& message, std::string where = {})
        : std::runtime_error(where.empty() ? message : where + ": " + message), code_(code), where_(std::move(where)) {}
    [[nodiscard]] ErrorCode code() const noexcept { return code_; }
    [[nodiscard]] const std::string& where() const noexcept { return where_; }

  private:
    ErrorCode code_;
    std::string where_;
};

}  // namespace t2i
