#include "core/folders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/files.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

// "cats" of "cats//"; "/" stays.
std::string without_slashes(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path;
}

void check_writable(const std::string& folder) {
    if (::access(folder.c_str(), W_OK | X_OK) != 0) throw io_error("output folder cannot be written", folder);
}

}  // namespace

void check_folder(const std::string& path) {
    const std::string folder = without_slashes(path);
    std::error_code ec;
    const fs::file_status status = fs::status(folder, ec);
    if (fs::is_directory(status)) return check_writable(folder);
    if (fs::exists(status)) throw Error(ErrorCode::input, "is a file, not a folder", folder);
    if (fs::is_symlink(fs::symlink_status(folder, ec)))
        throw Error(ErrorCode::input, "is a link to " + in_quotes(fs::read_symlink(folder, ec).string()) + ", which is not there",
                    folder);
    if (ec == std::errc::filename_too_long)
        throw Error(ErrorCode::input, "output folder cannot be made: " + ec.message(), folder);
    const fs::path above = fs::path(folder).parent_path();
    const std::string parent = above.empty() ? "." : above.string();
    if (!fs::is_directory(parent, ec)) throw Error(ErrorCode::input, "output folder does not exist", parent);
    check_writable(parent);
}

void make_folder(const std::string& path) {
    const std::string folder = without_slashes(path);
    if (::mkdir(folder.c_str(), 0777) == 0) return;
    const int error = errno;
    check_folder(folder);  // says it better, and may find that somebody else made it
    if (std::error_code ec; fs::is_directory(folder, ec)) return;
    throw Error(ErrorCode::input, std::string("output folder cannot be made: ") + std::strerror(error), folder);
}

}  // namespace t2i
