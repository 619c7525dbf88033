#include "app/picture_paths.h"

#include <algorithm>
#include <filesystem>

#include "pipeline/picture_format.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

std::vector<std::string> picture_paths(const std::string& file_or_folder) {
    std::error_code ec;
    if (!fs::is_directory(file_or_folder, ec)) return {file_or_folder};
    std::vector<std::string> found;
    fs::recursive_directory_iterator at(file_or_folder, ec);
    for (; !ec && at != fs::recursive_directory_iterator(); at.increment(ec)) {
        const bool is_hidden = at->path().filename().string().starts_with('.');
        if (is_hidden && at->is_directory()) at.disable_recursion_pending();
        else if (!is_hidden && !at->is_directory() && format_of_extension(at->path().extension().string()))
            found.push_back(at->path().string());
    }
    if (ec) throw Error(ErrorCode::input, "cannot be read: " + ec.message(), file_or_folder);
    if (found.empty()) throw Error(ErrorCode::input, "holds no picture", file_or_folder);
    std::ranges::sort(found);
    return found;
}

}  // namespace t2i::app
