#include "app/status_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/number_text.h"

namespace t2i::app {

int terminal_columns() {
    constexpr int usual = 80;
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char* columns = std::getenv("COLUMNS");
    const int value = columns ? parse_number<int>(columns).value_or(0) : 0;
    return value > 0 ? value : usual;
}

std::string fitted(std::string_view text, int columns) {
    const auto room = static_cast<std::size_t>(std::max(columns, 0));
    if (text.size() <= room) return std::string(text);
    const auto end_of_part = [&](std::string_view gap) {
        const auto at = text.rfind(gap, room);
        return at == std::string_view::npos ? 0 : at;
    };
    const std::size_t part = std::max(end_of_part(", "), end_of_part("  "));
    return std::string(text.substr(0, part > 0 ? part : room));
}

StatusLine::StatusLine() {
    const char* terminal = std::getenv("TERM");
    draws_ = ::isatty(STDERR_FILENO) == 1 && terminal && *terminal && std::string_view(terminal) != "dumb";
}

// The last column stays free: many terminals break the line once it is filled.
void StatusLine::draw(std::string_view text) {
    if (draws_) put(fitted(text, terminal_columns() - 1));
}

void StatusLine::clear() {
    if (drawn_ > 0) put({});
}

void StatusLine::put(const std::string& text) {
    const auto room = static_cast<std::size_t>(std::max(terminal_columns() - 1, 0));
    const std::size_t before = std::min(drawn_, room);  // a terminal that became narrower has broken the rest
    std::string line = "\r" + text;
    if (text.size() < before) line += std::string(before - text.size(), ' ') + "\r" + text;
    std::fputs(line.c_str(), stderr);
    std::fflush(stderr);
    drawn_ = text.size();
}

}  // namespace t2i::app
