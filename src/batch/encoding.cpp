#include "batch/encoding.h"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace {

struct Mark {
    std::string_view bytes;
    const char* encoding;
};
using namespace std::string_view_literals;
// The longer ones first: UTF-32's begins with UTF-16's.
constexpr std::array marks{Mark{"\xFF\xFE\0\0"sv, "UTF-32LE"}, Mark{"\0\0\xFE\xFF"sv, "UTF-32BE"},
                           Mark{"\xEF\xBB\xBF"sv, "UTF-8"}, Mark{"\xFF\xFE"sv, "UTF-16LE"}, Mark{"\xFE\xFF"sv, "UTF-16BE"}};

const auto no_converter = reinterpret_cast<iconv_t>(-1);

// iconv reads what follows "//" in a name as how to be lax.
iconv_t open_converter(const std::string& encoding) {
    const bool is_name = !encoding.empty() && encoding.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
    const iconv_t converter = is_name ? ::iconv_open("UTF-8", encoding.c_str()) : no_converter;
    if (converter == no_converter)
        throw Error(ErrorCode::invalid_argument,
                    "the C library here reads no encoding " + in_quotes(encoding) + " (iconv -l lists them)", Field{"encoding"});
    return converter;
}

// Bytes to pass over where a character is invalid.
std::size_t unit_of(std::string encoding) {
    std::ranges::transform(encoding, encoding.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c & ~32) : c; });
    if (encoding.starts_with("UTF-16") || encoding.starts_with("UTF16") || encoding.starts_with("UCS-2")) return 2;
    return encoding.starts_with("UTF-32") || encoding.starts_with("UTF32") || encoding.starts_with("UCS-4") ? 4 : 1;
}

class DecodedSource : public ByteSource {
  public:
    DecodedSource(std::unique_ptr<ByteSource> source, const std::string& encoding)
        : source_(std::move(source)), converter_(open_converter(encoding)), unit_(unit_of(encoding)) {}
    ~DecodedSource() override { ::iconv_close(converter_); }
    DecodedSource(const DecodedSource&) = delete;
    DecodedSource& operator=(const DecodedSource&) = delete;

    std::size_t read(std::span<char> to) override {
        while (at_ == ready_.size()) {
            if (done_) return 0;
            convert();
        }
        const std::size_t n = std::min(to.size(), ready_.size() - at_);
        std::copy_n(ready_.begin() + static_cast<std::ptrdiff_t>(at_), n, to.begin());
        at_ += n;
        return n;
    }
    [[nodiscard]] bool is_live() const override { return source_->is_live(); }

  private:
    static constexpr char invalid = '\xFF';

    // Fills ready_ with the next block's text; what its last bytes begin stays in rest_.
    void convert() {
        std::array<char, std::size_t{16} << 10> block{};
        const std::size_t read = source_->read(block);
        rest_.append(block.data(), read);
        ready_.clear();
        at_ = 0;
        char* from = rest_.data();
        std::size_t left = rest_.size();
        while (left > 0) {
            const int problem = convert_some(&from, &left);
            if (problem == EINVAL && read > 0) break;  // the rest of a character comes with the next block
            if (problem != EILSEQ && problem != EINVAL) continue;
            ready_ += invalid;
            const std::size_t passed = std::min(left, unit_);
            from += passed;
            left -= passed;
        }
        rest_.erase(0, rest_.size() - left);
        if (read > 0) return;
        done_ = true;
        convert_some(nullptr, nullptr);  // what a state holds back
    }
    // Appends to ready_; iconv's errno, or 0.
    int convert_some(char** from, std::size_t* left) {
        std::array<char, 4096> buffer{};
        char* to = buffer.data();
        std::size_t room = buffer.size();
        const std::size_t result = ::iconv(converter_, from, left, &to, &room);
        const int problem = result == static_cast<std::size_t>(-1) ? errno : 0;
        ready_.append(buffer.data(), buffer.size() - room);
        return problem;
    }

    std::unique_ptr<ByteSource> source_;
    iconv_t converter_;
    std::size_t unit_;
    std::string rest_, ready_;
    std::size_t at_ = 0;  // first byte of ready_ that is not given out
    bool done_ = false;
};

}  // namespace

EncodingMark find_encoding_mark(StartedSource& source) {
    const auto is_begun = [&] {
        const std::string_view start = source.start();
        return std::ranges::any_of(
            marks, [&](const Mark& mark) { return mark.bytes.size() > start.size() && mark.bytes.starts_with(start); });
    };
    while (is_begun() && source.more()) {
    }
    for (const Mark& mark : marks)
        if (source.start().starts_with(mark.bytes)) return {mark.encoding, mark.bytes.size()};
    return {};
}

void check_encoding(const std::string& encoding) {
    ::iconv_close(open_converter(encoding));
}

std::unique_ptr<ByteSource> decode(std::unique_ptr<ByteSource> source, const std::string& encoding) {
    return std::make_unique<DecodedSource>(std::move(source), encoding);
}

}  // namespace t2i::batch
