// File systems of other kinds, mounted for a test.
#pragma once

#include <string>
#include <vector>

#include "support/files.h"

namespace t2i::test {

// vfat (fusefat), exFAT (exfat-fuse, on a loop device) or encfs, by FUSE.
class OtherFileSystem {
  public:
    // kind: "vfat", "exfat" or "encfs".
    explicit OtherFileSystem(const std::string& kind);
    ~OtherFileSystem();
    OtherFileSystem(const OtherFileSystem&) = delete;
    OtherFileSystem& operator=(const OtherFileSystem&) = delete;

    // Why there is none: no FUSE, no program for it. With T2I_TEST_FILE_SYSTEMS=1 a missing program is a failure of the test.
    [[nodiscard]] const std::string& missing() const { return missing_; }
    [[nodiscard]] std::string path() const { return folder_ / "mounted"; }

  private:
    // Runs a shell command in the folder; false when it fails, which is why nothing is mounted.
    bool run(const std::string& command);

    TempFolder folder_;
    std::string missing_, unmount_;
};

}  // namespace t2i::test
