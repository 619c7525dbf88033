#include "batch/flag_line.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace {

constexpr std::string_view blanks = " \t\r\n";

bool is_blank(char c) {
    return blanks.find(c) != std::string_view::npos;
}

struct Word {
    std::string text;
    bool is_flag;  // two dashes and a name, not quoted
};

bool begins_flag(std::string_view word) {
    return word.size() > 2 && word.starts_with("--") && ((word[2] | 32) >= 'a' && (word[2] | 32) <= 'z');
}

// Words as Python's shlex.split (POSIX mode) finds them, which AUTOMATIC1111 reads flag lines with; but a quotation mark opens
// something only where a word or a value begins, or right behind what was quoted, so that people may write of a cat's toy and of
// a 12" pizza.
class WordSplitter {
  public:
    explicit WordSplitter(std::string_view line) : line_(line) {}

    std::vector<Word> split() {
        std::vector<Word> words;
        while (true) {
            while (at_ < line_.size() && is_blank(line_[at_])) ++at_;
            if (at_ == line_.size()) return words;
            words.push_back(read_word());
        }
    }

  private:
    Word read_word() {
        Word word{{}, begins_flag(line_.substr(at_))};
        bool may_open = true;
        while (at_ < line_.size() && !is_blank(line_[at_])) {
            const char c = line_[at_];
            if (may_open && c == '"') {
                read_double(word.text);
            } else if (const auto end = may_open && c == '\'' ? end_of_single() : std::string_view::npos;
                       end != std::string_view::npos) {
                word.text += line_.substr(at_ + 1, end - at_ - 1);
                at_ = end + 1;
            } else {
                if (c == '\\' && ++at_ == line_.size()) throw Error(ErrorCode::input, "ends in a backslash");
                word.text += line_[at_++];
                may_open = word.is_flag && c == '=' && word.text.find('=') + 1 == word.text.size();
            }
        }
        return word;
    }

    void read_double(std::string& text) {
        for (++at_; at_ < line_.size(); ++at_) {
            const char c = line_[at_];
            if (c == '"') {
                ++at_;
                return;
            }
            if (c == '\\') {
                if (++at_ == line_.size()) break;
                if (line_[at_] != '"' && line_[at_] != '\\') text += c;
            }
            text += line_[at_];
        }
        throw Error(ErrorCode::input, "a quotation mark (\") is not closed");
    }

    // The other half of an apostrophe that opens something: behind it a word ends, or something quoted goes on. npos: it is part
    // of a word, as in 'tis.
    [[nodiscard]] std::size_t end_of_single() const {
        for (auto end = line_.find('\'', at_ + 1); end != std::string_view::npos; end = line_.find('\'', end + 1))
            if (end + 1 == line_.size() || is_blank(line_[end + 1]) || line_[end + 1] == '\'' || line_[end + 1] == '"')
                return end;
        return std::string_view::npos;
    }

    std::string_view line_;
    std::size_t at_ = 0;
};

bool has_flags(std::string_view line) {
    for (std::size_t at = 0; (at = line.find("--", at)) != std::string_view::npos; ++at)
        if ((at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') && begins_flag(line.substr(at))) return true;
    return false;
}

// Word processors make a long dash of two hyphens: "prompt" of "–prompt …" or "—prompt=…"; empty: no flag of ours.
std::string flag_behind_dash(std::string_view line) {
    if (!line.starts_with("–") && !line.starts_with("—")) return {};
    line.remove_prefix(std::string_view("–").size());
    const std::string name(line.substr(0, line.find_first_of(" \t=")));
    return field_name(name).empty() ? std::string() : name;
}

bool takes_words(std::string_view field) {
    return field == "prompt" || field == "negative_prompt" || field == "sampler_name";
}

}  // namespace

RequestLine parse_text_line(std::string_view text, PassedOver* passed_over) {
    RequestBuilder request(passed_over);
    if (!has_flags(text)) {
        if (const std::string flag = flag_behind_dash(text); !flag.empty())
            throw Error(ErrorCode::input, "begins with a long dash where --" + flag + " has two hyphens");
        request.set("prompt", text, ValueKind::text);
        return request.finish();
    }
    const auto words = WordSplitter(text).split();
    for (std::size_t i = 0; i < words.size();) {
        if (!words[i].is_flag) throw Error(ErrorCode::input, "a word without a flag before it: " + in_quotes(words[i].text));
        const std::string flag = words[i++].text.substr(2);
        const auto equals = flag.find('=');
        const std::string name = flag.substr(0, equals), field = field_name(name);
        std::string value;
        if (equals != std::string::npos) {
            value = flag.substr(equals + 1);
        } else if (i < words.size() && !words[i].is_flag) {
            value = words[i++].text;
        } else if (field.empty() || is_flag(field)) {
            value = "true";  // a switch
        } else {
            throw Error(ErrorCode::input, "--" + name + " has no value");
        }
        // AUTOMATIC1111 lets these stand without quotation marks.
        while ((takes_words(field) || field.empty()) && i < words.size() && !words[i].is_flag) value += " " + words[i++].text;
        if (!field.empty()) request.set(field, value, ValueKind::untyped);
        else if (!request.pass_over(name, value)) refuse_unknown(name);
    }
    return request.finish();
}

}  // namespace t2i::batch
