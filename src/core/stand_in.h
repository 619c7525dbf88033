// What stands where a downloaded file should be: links without their targets, half downloads, pointers and error pages that were
// saved under a file's name. Each problem says what to do.
#pragma once

#include <string>
#include <string_view>

namespace t2i {

// Ends a problem of a file that a broken download leaves.
constexpr const char* fetch_again = "; fetch the file again";

// What is wrong with a whole file of these bytes, which should be a model's; empty: nothing of this kind. An empty file, a Git
// LFS pointer, a web page, a server's error message.
[[nodiscard]] std::string stand_in_problem(std::string_view content);

// Why there is no file or folder at a path where one should be: a link that points to nothing, a download that has not finished.
// Empty: nothing of this kind (it may even be there). Asks the file system, so it is for messages.
[[nodiscard]] std::string absence_problem(const std::string& path);

// Whether a file of that name is one that a download tool has not finished.
[[nodiscard]] bool is_unfinished_download(std::string_view name);

// A text file of a model, such as a config or a tokenizer. Throws Error{input} naming it: cannot be read, larger than
// `limit_bytes`, or one of the above.
[[nodiscard]] std::string read_downloaded_file(const std::string& path, std::size_t limit_bytes);

}  // namespace t2i
