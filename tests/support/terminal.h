// A terminal of the tests' own, as a person's program shows one.
#pragma once

#include <string>

namespace t2i::test {

class Terminal {
  public:
    explicit Terminal(int columns);
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    // What a program's streams may be; closed with the terminal.
    [[nodiscard]] int fd() const { return program_; }
    // What was written to it so far, less what was read before. The program that writes has ended: nobody else does.
    [[nodiscard]] std::string take_text();

  private:
    int program_ = -1, person_ = -1;
};

}  // namespace t2i::test
