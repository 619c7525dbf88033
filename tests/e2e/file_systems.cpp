#include "e2e/file_systems.h"

#include <cstdlib>

namespace t2i::test {

namespace fs = std::filesystem;

namespace {

// Unmounts; what is still in use, as soon as it is not.
std::string lazily(const std::string& command) {
    return command + " mounted || " + command + (command.starts_with("fuser") ? "z" : " -l") + " mounted";
}

}  // namespace

OtherFileSystem::OtherFileSystem(const std::string& kind) {
    fs::create_directory(path());
    if (!fs::exists("/dev/fuse")) {
        missing_ = "this machine has no /dev/fuse";
        return;
    }
    const bool is_fat = kind == "vfat", is_encfs = kind == "encfs";
    const char* program = is_fat ? "fusefat" : is_encfs ? "encfs" : "mount.exfat-fuse";
    if (!run(std::string("command -v ") + program)) {
        const char* required = std::getenv("T2I_TEST_FILE_SYSTEMS");
        REQUIRE_FALSE((required && std::string(required) == "1"));
        missing_ = std::string(program) + " is not installed";
        return;
    }
    if (is_encfs) {
        fs::create_directory(folder_ / "store");
        if (run("echo secret | encfs --standard --stdinpass \"$PWD/store\" \"$PWD/mounted\"")) unmount_ = lazily("fusermount -u");
    } else if (is_fat) {
        // Large clusters: the driver writes past the end of a file that fills its last one.
        if (run("truncate -s 160M image && mkfs.vfat -F 16 -s 64 image && fusefat -o rw+ image mounted"))
            unmount_ = lazily("fusermount -u");
    } else if (run("truncate -s 16M image && mkfs.exfat image && losetup -f --show image > device")) {
        unmount_ = "losetup -d $(cat device)";
        if (run("mount.exfat-fuse $(cat device) mounted")) unmount_ = lazily("umount") + "; " + unmount_;
    }
}

OtherFileSystem::~OtherFileSystem() {
    if (!unmount_.empty()) static_cast<void>(run(unmount_));
}

bool OtherFileSystem::run(const std::string& command) {
    const std::string log = folder_ / "log";
    const bool done = std::system(("export PATH=\"$PATH:/sbin:/usr/sbin\"; cd '" + folder_.path().string() + "' && { " + command +
                                   "; } >>log 2>&1")
                                      .c_str()) == 0;
    if (!done) missing_ = "\"" + command + "\" failed: " + file_text(log);
    return done;
}

}  // namespace t2i::test
