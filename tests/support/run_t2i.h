// Runs the t2i binary as a user would and collects what it printed.
#pragma once

#include <string>
#include <vector>

namespace t2i::test {

struct Outcome {
    int code = -1;         // exit code; 128 + n when signal n ended it
    std::string out, err;  // standard output and error
};

// Arguments as given, no shell. `environment`: NAME=value strings added to ours; `folder`: working directory if not empty.
[[nodiscard]] Outcome run_t2i(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {},
                              const std::string& folder = {});

// A folder that is removed, with all in it, at the end of the test.
class TemporaryFolder {
  public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

}  // namespace t2i::test
