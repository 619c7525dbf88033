#include "batch/line_reader.h"

#include <algorithm>

namespace t2i::batch {

namespace {
constexpr std::size_t block_bytes = std::size_t{64} << 10;
}

bool LineReader::fill() {
    if (at_ < block_.size()) return true;
    if (ended_) return false;
    block_.resize(block_bytes);
    block_.resize(source_->read(block_));
    at_ = 0;
    ended_ = block_.empty();
    return !ended_;
}

// Appends the block up to `end`, as far as the line has room for it.
void LineReader::take(std::string& line, std::size_t end) {
    const std::size_t room = line_limit_bytes - line.size();
    line.append(block_, at_, std::min(end - at_, room));
    if (end - at_ > room) too_long_ = true;
    bytes_read_ += end - at_;
    at_ = end;
}

bool LineReader::next(std::string& line) {
    line.clear();
    too_long_ = false;
    if (!fill()) return false;
    ++number_;
    while (fill()) {
        const auto end = block_.find_first_of(ends_, at_);
        if (end == std::string::npos) {
            take(line, block_.size());
            continue;
        }
        const bool is_return = block_[end] == '\r';
        take(line, end + 1);
        if (is_return && fill() && block_[at_] == '\n') take(line, at_ + 1);
        break;
    }
    return true;
}

std::string too_long_problem() {
    return "line is over " + std::to_string(line_limit_bytes >> 20) + " MiB";
}

}  // namespace t2i::batch
