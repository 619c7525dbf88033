#include "batch/line_reader.h"

#include <algorithm>

namespace t2i::batch {

namespace {
constexpr std::size_t block_bytes = std::size_t{64} << 10;
}

bool LineReader::next(std::string& line) {
    line.clear();
    too_long_ = false;
    bool any = false;
    while (true) {
        if (at_ == block_.size()) {
            if (ended_) break;
            block_.resize(block_bytes);
            const std::size_t n = source_->read(block_);
            block_.resize(n);
            at_ = 0;
            if (n == 0) {
                ended_ = true;
                break;
            }
        }
        any = true;
        const auto newline = block_.find('\n', at_);
        const std::size_t end = newline == std::string::npos ? block_.size() : newline + 1;
        const std::size_t room = line_limit_bytes - line.size();
        line.append(block_, at_, std::min(end - at_, room));
        if (end - at_ > room) too_long_ = true;
        bytes_read_ += end - at_;
        at_ = end;
        if (newline != std::string::npos) break;
    }
    if (any) ++number_;
    return any;
}

}  // namespace t2i::batch
