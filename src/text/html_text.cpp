#include "text/html_text.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "t2i/error.h"
#include "text/html_entities.h"
#include "text/python_regex.h"
#include "text/unicode.h"

namespace t2i {

namespace {

using View = std::u32string_view;
constexpr std::size_t none = View::npos;

template <std::size_t N>
bool is_one_of(View name, const std::array<View, N>& names) {
    return std::ranges::find(names, name) != names.end();
}

bool is_letter(char32_t c) {
    return (c | 32) >= U'a' && (c | 32) <= U'z' && c < 0x80;
}

std::u32string lowered(View text) {
    return utf32_of(lower(utf8_of(text)));
}

View stripped(View text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

// Beautiful Soup's tree, of which the text alone is kept: the names of the open tags say which text counts.
class Soup {
  public:
    void add_data(View data) {
        data_ += data;
        has_data_ = true;
    }

    void start_tag(View name, bool closes_itself) {
        end_data(Kind::text);
        push(name);
        if (closes_itself) return pop_to(name);
        static constexpr std::array<View, 24> empty_elements{
            U"area",     U"base",    U"br",       U"col",   U"embed", U"hr",      U"img",    U"input",
            U"keygen",   U"link",    U"menuitem", U"meta",  U"param", U"source",  U"track",  U"wbr",
            U"basefont", U"bgsound", U"command",  U"frame", U"image", U"isindex", U"nextid", U"spacer"};
        if (!is_one_of(name, empty_elements)) return;
        pop_to(name);
        ++closed_[std::u32string(name)];
    }

    void end_tag(View name) {
        if (const auto closed = closed_.find(std::u32string(name)); closed != closed_.end() && closed->second > 0) {
            --closed->second;
            return;
        }
        end_data(Kind::text);
        pop_to(name);
    }

    // Comments, declarations and instructions are no text; what CDATA holds is, wherever it stands.
    void add_hidden() { end_data(Kind::text); }
    void add_cdata(View data) {
        end_data(Kind::text);
        add_data(data);
        end_data(Kind::cdata);
    }

    std::u32string finish() {
        end_data(Kind::text);
        return std::move(text_);
    }

  private:
    enum class Kind { text, cdata };

    static bool hides_text(View name) {
        static constexpr std::array<View, 5> containers{U"rt", U"rp", U"style", U"script", U"template"};
        return is_one_of(name, containers);
    }
    static bool keeps_space(View name) { return name == U"pre" || name == U"textarea"; }

    void push(View name) {
        open_.emplace_back(name);
        ++open_count_[open_.back()];
        hiding_ += hides_text(name) ? 1 : 0;
        keeping_ += keeps_space(name) ? 1 : 0;
    }

    void pop_to(View name) {
        const std::u32string key(name);
        if (open_count_[key] == 0) return;
        for (bool found = false; !found;) {
            const std::u32string tag = std::move(open_.back());
            open_.pop_back();
            --open_count_[tag];
            hiding_ -= hides_text(tag) ? 1 : 0;
            keeping_ -= keeps_space(tag) ? 1 : 0;
            found = tag == key;
        }
    }

    void end_data(Kind kind) {
        if (!has_data_) return;
        has_data_ = false;
        std::u32string data = std::exchange(data_, {});
        if (keeping_ == 0 && data.find_first_not_of(U" \n\t\f\r") == none) data = data.find(U'\n') != none ? U"\n" : U" ";
        if (kind == Kind::cdata || hiding_ == 0) text_ += data;
    }

    std::u32string text_, data_;
    bool has_data_ = false;  // data_ may be empty all the same
    std::vector<std::u32string> open_;
    std::map<std::u32string, std::size_t> open_count_;
    std::map<std::u32string, std::size_t> closed_;  // empty elements whose end tags are yet to be passed over
    int hiding_ = 0, keeping_ = 0;
};

// Python's html.parser, function by function, with convert_charrefs off. Its functions return where they have come to, or `none`
// where the text ends too early.
class HtmlParser {
  public:
    HtmlParser(View html, Soup& soup) : raw_(html), soup_(soup) {}

    void parse() {
        go_ahead(false);
        raw_ = raw_.substr(at_);
        at_ = 0;
        go_ahead(true);
    }

  private:
    enum class Next { go_on, stop };

    // feed(), then close(): what the first leaves is looked at again, as the end of the text.
    void go_ahead(bool end) {
        while (at_ < raw_.size()) {
            std::size_t next = interesting();
            if (next == none) {
                if (!raw_element_.empty()) break;
                next = raw_.size();
            }
            if (at_ < next) soup_.add_data(raw_.substr(at_, next - at_));
            at_ = next;
            if (at_ == raw_.size()) break;
            const Next step = raw_[at_] == U'<'                     ? markup(end)
                              : raw_.substr(at_).starts_with(U"&#") ? number_reference()
                                                                    : name_reference(end);
            if (step == Next::stop) break;
        }
        if (end && at_ < raw_.size() && raw_element_.empty()) {
            soup_.add_data(raw_.substr(at_));
            at_ = raw_.size();
        }
    }

    [[nodiscard]] std::size_t interesting() const {
        if (raw_element_.empty()) return raw_.find_first_of(U"&<", at_);
        static const PythonRegex script(R"((?i)</\s*script\s*>)"), style(R"((?i)</\s*style\s*>)");
        const auto found = (raw_element_ == U"script" ? script : style).search(raw_, at_);
        return found ? found->front().begin : none;
    }

    Next markup(bool end) {
        const View rest = raw_.substr(at_);
        std::size_t past = none;
        if (rest.size() > 1 && is_letter(rest[1])) past = start_tag();
        else if (rest.starts_with(U"</")) past = end_tag();
        else if (rest.starts_with(U"<!--")) past = comment();
        else if (rest.starts_with(U"<?")) past = instruction();
        else if (rest.starts_with(U"<!")) past = declaration();
        else if (rest.size() > 1) {
            soup_.add_data(U"<");
            past = at_ + 1;
        } else {
            return Next::stop;
        }
        if (past == none) {
            if (!end) return Next::stop;
            past = raw_.find(U'>', at_ + 1);
            if (past != none) ++past;
            else if (past = raw_.find(U'<', at_ + 1); past == none) past = at_ + 1;
            soup_.add_data(raw_.substr(at_, past - at_));
        }
        at_ = past;
        return Next::go_on;
    }

    Next number_reference() {
        static const PythonRegex reference("&#(?:[0-9]+|[xX][0-9a-fA-F]+)[^0-9a-fA-F]");
        const auto found = reference.match(raw_, at_);
        if (!found) {
            if (raw_.find(U';', at_) != none) {
                soup_.add_data(raw_.substr(at_, 2));
                at_ += 2;
            }
            return Next::stop;
        }
        const std::size_t past = found->front().end;
        View name = raw_.substr(at_ + 2, past - 1 - (at_ + 2));
        const bool hex = (name.front() | 32) == U'x';
        if (hex) name.remove_prefix(1);
        const char32_t number = reference_number(name, hex ? 16 : 10);
        const bool is_none = number == 0 || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF);
        soup_.add_data(std::u32string(1, is_none ? U'\uFFFD' : of_windows_1252(number)));
        at_ = raw_[past - 1] == U';' ? past : past - 1;
        return Next::go_on;
    }

    Next name_reference(bool end) {
        static const PythonRegex reference("&([a-zA-Z][-.a-zA-Z0-9]*)[^a-zA-Z0-9]");
        if (const auto found = reference.match(raw_, at_)) {
            const View name = found->at(1).of(raw_);
            if (const HtmlEntity* entity = find_html_entity(name)) soup_.add_data(entity->characters);
            else soup_.add_data(U"&" + std::u32string(name));  // a semicolon behind it is lost
            const std::size_t past = found->front().end;
            at_ = raw_[past - 1] == U';' ? past : past - 1;
            return Next::go_on;
        }
        if (at_ + 1 == raw_.size()) return Next::stop;
        if (is_letter(raw_[at_ + 1]) || raw_[at_ + 1] == U'#') {
            if (end && at_ + 2 == raw_.size()) ++at_;  // so an ampersand before the last letter is lost
            return Next::stop;
        }
        soup_.add_data(U"&");
        ++at_;
        return Next::go_on;
    }

    std::size_t start_tag() {
        const std::size_t end = end_of_start_tag();
        if (end == none) return none;
        static const PythonRegex tag(R"(([a-zA-Z][^\t\n\r\f />\x{0}]*)(?:\s|/(?!>))*)");
        static const PythonRegex attribute(
            R"(((?<=['"\s/])[^\s/>][^\s/=>]*)(\s*=+\s*('[^']*'|"[^"]*"|(?!['"])[^>\s]*))?(?:\s|/(?!>))*)");
        const auto name = tag.match(raw_, at_ + 1);
        std::size_t at = name->front().end;
        while (at < end) {
            const auto found = attribute.match(raw_, at);
            if (!found) break;
            at = found->front().end;
        }
        const View closing = at < end ? stripped(raw_.substr(at, end - at)) : View();
        if (closing != U">" && closing != U"/>") {
            soup_.add_data(raw_.substr(at_, end - at_));
            return end;
        }
        const std::u32string tag_name = lowered(name->at(1).of(raw_));
        soup_.start_tag(tag_name, closing == U"/>");
        if (closing == U">" && (tag_name == U"script" || tag_name == U"style")) raw_element_ = tag_name;
        return end;
    }

    [[nodiscard]] std::size_t end_of_start_tag() const {
        static const PythonRegex whole(R"(<[a-zA-Z][^\t\n\r\f />\x{0}]*(?:[\s/]*(?:(?<=['"\s/])[^\s/>][^\s/=>]*)"
                                       R"((?:\s*=+\s*(?:'[^']*'|"[^"]*"|(?!['"])[^>\s]*)\s*)?(?:\s|/(?!>))*)*)?\s*)");
        const std::size_t end = whole.match(raw_, at_)->front().end;
        if (end == raw_.size()) return none;
        const char32_t next = raw_[end];
        if (next == U'>') return end + 1;
        if (next == U'/') return end + 1 < raw_.size() && raw_[end + 1] == U'>' ? end + 2 : none;
        return is_letter(next) || next == U'=' ? none : end;
    }

    std::size_t end_tag() {
        const std::size_t closing = raw_.find(U'>', at_ + 1);
        if (closing == none) return none;
        static const PythonRegex plain(R"(</\s*([a-zA-Z][-.a-zA-Z0-9:_]*)\s*>)");
        static const PythonRegex tag(R"(([a-zA-Z][^\t\n\r\f />\x{0}]*)(?:\s|/(?!>))*)");
        if (const auto found = plain.match(raw_, at_)) {
            const std::u32string name = lowered(found->at(1).of(raw_));
            if (!raw_element_.empty() && name != raw_element_) {
                soup_.add_data(raw_.substr(at_, closing + 1 - at_));
                return closing + 1;
            }
            soup_.end_tag(name);
            raw_element_.clear();
            return closing + 1;
        }
        if (!raw_element_.empty()) {
            soup_.add_data(raw_.substr(at_, closing + 1 - at_));
            return closing + 1;
        }
        const auto found = tag.match(raw_, at_ + 2);
        if (!found) return raw_[at_ + 2] == U'>' ? at_ + 3 : bogus_comment();
        soup_.end_tag(lowered(found->at(1).of(raw_)));
        return raw_.find(U'>', found->front().end) + 1;  // `closing`, or one behind it
    }

    std::size_t hidden_until(const std::optional<PythonRegex::Match>& closing) {
        if (!closing) return none;
        soup_.add_hidden();
        return closing->front().end;
    }

    std::size_t comment() {
        static const PythonRegex closing(R"(--\s*>)");
        return hidden_until(closing.search(raw_, at_ + 4));
    }

    std::size_t bogus_comment() {
        const std::size_t closing = raw_.find(U'>', at_ + 2);
        if (closing == none) return none;
        soup_.add_hidden();
        return closing + 1;
    }

    std::size_t instruction() { return bogus_comment(); }

    std::size_t declaration() {
        if (raw_.substr(at_).starts_with(U"<![")) return marked_section();
        if (lowered(raw_.substr(at_, 9)) != U"<!doctype") return bogus_comment();
        const std::size_t closing = raw_.find(U'>', at_ + 9);
        if (closing == none) return none;
        soup_.add_hidden();
        return closing + 1;
    }

    std::size_t marked_section() {
        const std::size_t begin = at_ + 3;
        if (begin == raw_.size()) return none;
        static const PythonRegex section(R"(([a-zA-Z][-_.a-zA-Z0-9]*)\s*)"), standard(R"(\]\s*\]\s*>)"), office(R"(\]\s*>)");
        const auto found = section.match(raw_, begin);
        if (found && found->front().end == raw_.size()) return none;
        static constexpr std::array<View, 5> kinds{U"temp", U"cdata", U"ignore", U"include", U"rcdata"};
        static constexpr std::array<View, 3> office_kinds{U"if", U"else", U"endif"};
        const std::u32string kind = found ? lowered(found->at(1).of(raw_)) : std::u32string();
        const bool is_standard = is_one_of(kind, kinds);
        if (!is_standard && !is_one_of(kind, office_kinds))
            throw Error(
                ErrorCode::input,
                "holds \"<![\" with neither CDATA nor another kind of section behind it, which cannot be cleaned as HTML");
        const auto closing = (is_standard ? standard : office).search(raw_, begin);
        if (!closing) return none;
        const View data = raw_.substr(begin, closing->front().begin - begin);
        if (kind == U"cdata" && data.substr(5).starts_with(U"[")) soup_.add_cdata(data.substr(6));
        else soup_.add_hidden();
        return closing->front().end;
    }

    View raw_;
    std::size_t at_ = 0;
    std::u32string raw_element_;  // script or style, within which nothing but its end tag counts
    Soup& soup_;
};

}  // namespace

std::u32string html_text(View html) {
    Soup soup;
    HtmlParser(html, soup).parse();
    return soup.finish();
}

}  // namespace t2i
