// Runs of `t2i batch` that a test watches, signals and kills, and what they leave in their folder.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "support/run_t2i.h"

namespace t2i::test {

// The program, running. Killed when the test leaves it behind.
class Process {
  public:
    // Arguments as given. input: what standard input reads from, -1 for nothing; environment: NAME=value added to ours.
    explicit Process(std::vector<std::string> arguments, int input = -1, const std::vector<std::string>& environment = {});
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
    std::filesystem::path scratch_;
    pid_t pid_ = -1;
    int status_ = -1;
    bool ended_ = false;
};

// `t2i batch` with the tiny model and few steps.
[[nodiscard]] std::vector<std::string> batch_arguments(const std::string& file, const std::string& folder,
                                                       const std::vector<std::string>& more = {});
[[nodiscard]] Outcome run_batch(const std::string& file, const std::string& folder, const std::vector<std::string>& more = {},
                                const std::vector<std::string>& environment = {});

// n different prompts of several lengths as JSON lines, with ids p0, p1 …
[[nodiscard]] std::string prompt_lines(int n);

// Path below the folder → bytes, of all PNGs.
[[nodiscard]] std::map<std::string, std::string> pictures_in(const std::filesystem::path& folder);
// Whole lines of a file; 0 when it is not there.
[[nodiscard]] std::size_t lines_in(const std::filesystem::path& path);
// Names that only an unfinished run may leave: temporary files and folders, locks.
[[nodiscard]] std::vector<std::string> leftovers_in(const std::filesystem::path& folder);

}  // namespace t2i::test
