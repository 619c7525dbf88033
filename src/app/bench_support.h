// What the benchmarks of t2i bench share.
#pragma once

#include <chrono>
#include <string>

namespace t2i::app {

// Milliseconds since `start`.
[[nodiscard]] inline double elapsed_ms(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// A new folder below the system's temporary one, removed with all that is in it.
class TemporaryFolder {
  public:
    TemporaryFolder();  // throws Error{input}
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace t2i::app
