#include "core/stand_in.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "core/files.h"
#include "core/nearest.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

// How tools for downloads name what they have not finished.
constexpr std::array<std::string_view, 5> unfinished{".incomplete", ".part", ".crdownload", ".download", ".aria2"};

bool is_space(char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0;
}

// Without the byte order mark and the white space that a page may begin with.
std::string_view begun(std::string_view text) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    return text;
}

bool begins_with(std::string_view text, std::string_view lower_case) {
    return text.size() >= lower_case.size() && std::ranges::equal(text.substr(0, lower_case.size()), lower_case, {}, [](char c) {
               return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
           });
}

// The first line, as a message can hold it.
std::string first_line(std::string_view text) {
    constexpr std::size_t longest = 120;  // bytes
    text = text.substr(0, text.find_first_of("\r\n"));
    return in_quotes(text.substr(0, longest));
}

// What hubs answer, with a status that a careless download does not look at, in place of a file.
bool is_hub_answer(std::string_view text) {
    static constexpr std::array<std::string_view, 7> answers{
        "entry not found", "repository not found", "invalid username or password", "invalid credentials", "access to model ",
        "access denied",   "unauthorized"};
    constexpr std::size_t longest = 1024;
    return text.size() <= longest && std::ranges::any_of(answers, [&](std::string_view a) { return begins_with(text, a); });
}

// {"error": …} and nothing before it.
bool is_json_error(std::string_view text) {
    if (text.empty() || text.front() != '{') return false;
    text.remove_prefix(1);
    return begun(text).starts_with("\"error\"");
}

}  // namespace

std::string stand_in_problem(std::string_view content) {
    if (content.empty()) return std::string("is empty: its download failed") + fetch_again;
    if (content.starts_with("version https://git-lfs"))
        return "is a Git LFS pointer, not the file itself; fetch that with: git lfs pull";
    const std::string_view text = begun(content.substr(0, 4096));
    for (const std::string_view page : {"<!doctype", "<html", "<?xml", "<head", "<!--"})
        if (begins_with(text, page))
            return "is a web page, not the file itself: the download went wrong (a page that asks for a login, or a file's page "
                   "instead of the file)" +
                   std::string(fetch_again);
    if (is_hub_answer(text) || is_json_error(text))
        return "is a server's answer, not the file itself: " + first_line(text) + fetch_again;
    return {};
}

std::string absence_problem(const std::string& path) {
    std::error_code ec;
    if (fs::exists(path, ec)) return {};
    const auto is_there = [](const std::string& file) {
        std::error_code ignored;
        return fs::exists(file, ignored);
    };
    std::string wanted = path;
    std::string problem;
    if (fs::is_symlink(path, ec)) {
        const fs::path target = fs::read_symlink(path, ec);
        wanted = (target.is_absolute() ? target : fs::path(path).parent_path() / target).string();
        problem = "this link points to nothing (" + target.string() + ")";
    }
    for (const std::string_view ending : unfinished)
        if (is_there(wanted + std::string(ending)))
            return (problem.empty() ? "" : problem + ": ") + "its download has not finished (" +
                   fs::path(wanted).filename().string() + std::string(ending) +
                   " is there); let it finish, or fetch the file again";
    if (problem.empty()) return {};
    return problem + "; copy what it points to as well (cp -L follows links), or fetch it again";
}

bool is_unfinished_download(std::string_view name) {
    return std::ranges::any_of(unfinished, [&](std::string_view ending) { return name.ends_with(ending); });
}

std::string read_downloaded_file(const std::string& path, std::size_t limit_bytes) {
    std::string text = read_text_file(path, limit_bytes);
    if (const std::string problem = stand_in_problem(text); !problem.empty()) throw Error(ErrorCode::input, problem, path);
    return text;
}

}  // namespace t2i
