// The t2i program, run as a user would: watched, signalled, killed, and what it printed.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "support/files.h"

namespace t2i::test {

struct Outcome {
    int code = -1;         // exit code; 128 + n when signal n ended it
    std::string out, err;  // standard output and error
};

struct ProcessOptions {
    int input = -1;                          // file descriptor that standard input reads from; -1: nothing to read
    int output = -1, error = -1;             // that standard output and error go to; -1: into the Outcome
    std::vector<std::string> environment{};  // NAME=value, added to ours
    std::string folder{};                    // working directory; empty: ours
    std::string name{};                      // of another program beside t2i; empty: t2i
    std::function<void()> in_child{};        // called last before the program starts: limits, signals, closed streams
};

// The program, running. Killed when the test leaves it behind.
class Process {
  public:
    // Arguments as given, no shell.
    explicit Process(std::vector<std::string> arguments, const ProcessOptions& options = {});
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void signal(int number) const;
    // Checks a condition every millisecond until it holds or the program ends. False: it ended, or four minutes passed.
    bool wait_until(const std::function<bool()>& condition);
    [[nodiscard]] Outcome wait();
    [[nodiscard]] std::string standard_error() const;
    [[nodiscard]] std::size_t resident_kib() const;  // memory in use now

  private:
    bool has_ended();
    TempFolder scratch_;
    pid_t pid_ = -1;
    int status_ = -1;
    bool ended_ = false;
};

}  // namespace t2i::test
