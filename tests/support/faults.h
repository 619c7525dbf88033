// Calls of the program that fail as on a strange file system or a poor machine (tests/faults/faults.cpp).
#pragma once

#include <string>
#include <vector>

#include "support/files.h"

namespace t2i::test {

// The environment of a program whose calls fail by these rules ("flock=ENOLCK;rename=EXDEV/cat.png"), for one run.
class Faults {
  public:
    explicit Faults(const std::string& rules);
    [[nodiscard]] const std::vector<std::string>& environment() const { return environment_; }
    // Calls that were failed so far: a test that injects nothing proves nothing.
    [[nodiscard]] std::size_t count() const;

  private:
    TempFolder folder_;
    std::vector<std::string> environment_;
};

}  // namespace t2i::test
