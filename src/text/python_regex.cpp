#include "text/python_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 32
#include <pcre2.h>

#include "core/check.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i {

namespace {

// Members of Python's classes. PCRE2's own \w and \b took in marks and connectors with version 10.43, its \s leaves out U+001C to
// U+001F and takes in U+180E.
constexpr std::string_view word = "\\p{L}\\p{N}_", digit = "\\p{Nd}";
constexpr std::string_view space =
    "\\x{9}-\\x{d}\\x{1c}-\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

// Steps of backtracking from one place of a text: more than any text that is not made to take long.
constexpr std::uint32_t most_steps = 50'000'000;

// Of the stack for what a small one does not hold: as many bytes as captions of some hundred thousand characters may need.
constexpr std::size_t least_stack_bytes = std::size_t{1} << 20, most_stack_bytes = std::size_t{64} << 20;

std::string_view members(char letter) {
    return letter == 'w' || letter == 'W' ? word : letter == 'd' || letter == 'D' ? digit : space;
}

std::string in_brackets(bool negated, std::string_view list) {
    return (negated ? "[^" : "[") + std::string(list) + "]";
}

std::string translated(std::string_view pattern) {
    std::string text;
    bool within = false;  // brackets
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (c != '\\') {
            text += c;
            if (c == '[' && !within) {
                within = true;
            } else if (c == ']') {
                within = false;
            }
            continue;
        }
        T2I_CHECK(i + 1 < pattern.size(), "a pattern that ends in a backslash");
        const char letter = pattern[++i];
        constexpr std::string_view classes = "wdsWDS";
        if (letter == 'b' && !within) {
            const std::string in = in_brackets(false, word);
            text += "(?:(?<=" + in + ")(?!" + in + ")|(?<!" + in + ")(?=" + in + "))";
        } else if (classes.find(letter) != std::string_view::npos) {
            const bool negated = letter < 'a';
            T2I_CHECK(!within || !negated, "a negated class within brackets");
            text += within ? std::string(members(letter)) : in_brackets(negated, members(letter));
        } else {
            text += c;
            text += letter;
        }
    }
    return text;
}

struct FreeData {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeStack {
    void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};
struct FreeContext {
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

PCRE2_SPTR units_of(std::u32string_view text) {
    return reinterpret_cast<PCRE2_SPTR>(text.data());
}

}  // namespace

PythonRegex::PythonRegex(std::string_view pattern) {
    const std::u32string text = utf32_of(translated(pattern));
    int error = 0;
    PCRE2_SIZE at = 0;
    // Without PCRE2_UTF: every code point is a character then, a surrogate too, and PCRE2_UCP knows their properties all the
    // same.
    pcre2_code* code = pcre2_compile(units_of(text), text.size(), PCRE2_UCP, &error, &at, nullptr);
    T2I_CHECK(code, "pattern " + std::string(pattern) + ": error " + std::to_string(error) + " at " + std::to_string(at));
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it cannot, the pattern is interpreted
    code_ = std::shared_ptr<const void>(code, [](void* c) { pcre2_code_free(static_cast<pcre2_code*>(c)); });
}

std::optional<PythonRegex::Match> PythonRegex::run(std::u32string_view text, std::size_t from, bool anchored) const {
    const auto* code = static_cast<const pcre2_code*>(code_.get());
    const std::unique_ptr<pcre2_match_data, FreeData> data(pcre2_match_data_create_from_pattern(code, nullptr));
    const std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
    if (!data || !context) throw std::bad_alloc();
    pcre2_set_match_limit(context.get(), most_steps);
    const auto match_with = [&](std::uint32_t options) {
        options |= anchored ? PCRE2_ANCHORED : 0U;
        return pcre2_match(code, units_of(text), text.size(), from, options, data.get(), context.get());
    };
    int found = match_with(0);
    // Compiled patterns keep their way back on a small stack of the thread's own.
    std::unique_ptr<pcre2_jit_stack, FreeStack> stack;
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
        stack.reset(pcre2_jit_stack_create(least_stack_bytes, most_stack_bytes, nullptr));
        if (!stack) throw std::bad_alloc();
        pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
        found = match_with(0);
    }
    if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (found == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
    if (found < 0) throw Error(ErrorCode::input, "is too long and too intricate to be cleaned");
    const PCRE2_SIZE* spans = pcre2_get_ovector_pointer(data.get());
    Match match(static_cast<std::size_t>(found));
    for (std::size_t i = 0; i < match.size(); ++i)
        if (spans[2 * i] != PCRE2_UNSET) match[i] = {spans[2 * i], spans[2 * i + 1]};
    return match;
}

std::optional<PythonRegex::Match> PythonRegex::search(std::u32string_view text, std::size_t from) const {
    return run(text, from, false);
}

std::optional<PythonRegex::Match> PythonRegex::match(std::u32string_view text, std::size_t from) const {
    return run(text, from, true);
}

std::u32string PythonRegex::replace(std::u32string_view text, std::u32string_view with, bool keeps_group) const {
    std::u32string out;
    std::size_t copied = 0, at = 0;
    while (at <= text.size()) {
        const auto found = run(text, at, false);
        if (!found) break;
        const Span whole = found->front();
        T2I_CHECK(whole.end > whole.begin, "a pattern that matches nothing");
        out += text.substr(copied, whole.begin - copied);
        if (keeps_group) out += found->at(1).of(text);
        out += with;
        copied = at = whole.end;
    }
    return out += text.substr(copied);
}

std::u32string PythonRegex::sub(std::u32string_view text, std::u32string_view with) const {
    return replace(text, with, false);
}

std::u32string PythonRegex::sub_group(std::u32string_view text, std::u32string_view behind) const {
    return replace(text, behind, true);
}

}  // namespace t2i
