#include "app/config_file.h"

#include <algorithm>
#include <istream>

// toml++ 3.3 promises itself what a wrong file can break ("a = 1979-05-27Tx") and lets the compiler count on it where assertions
// are off. They stay on in it, and are a problem of the file.
namespace t2i::app {
struct TomlPromiseBroken {};
constexpr void check_toml_promise(bool kept) {
    if (!kept) throw TomlPromiseBroken();
}
}  // namespace t2i::app
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(condition) ::t2i::app::check_toml_promise(static_cast<bool>(condition))
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include "core/nearest.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

constexpr std::size_t limit_bytes = std::size_t{1} << 20;  // no list of flags comes near

// What a key may be called: "cfg-scale" of --cfg-scale, "o" of -o, "FILE".
std::vector<std::string> keys_of(const CLI::Option& option) {
    std::vector<std::string> keys = option.get_lnames();
    const auto& letters = option.get_snames();
    keys.insert(keys.end(), letters.begin(), letters.end());
    if (option.get_positional()) keys.push_back(option.get_name(true));
    return keys;
}

const CLI::Option* option_of(const CLI::App& app, const std::string& key) {
    for (const CLI::Option* option : app.get_options())
        if (option->get_configurable() && std::ranges::count(keys_of(*option), key) > 0) return option;
    return nullptr;
}

// Text as ASCII and back: bytes above it become a mark that the text does not hold, and two hexadecimal digits. What toml++ 3.3
// asks of other characters outside of plain strings (is_non_ascii_horizontal_whitespace) is undefined behaviour for most of them;
// they may stand in strings and comments alone, where the mark does as well.
class AsciiText {
  public:
    explicit AsciiText(std::string_view text) {
        if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
        for (int i = 0; text.find(mark_) != std::string_view::npos; ++i) mark_ = "`" + std::to_string(i) + "`";
        for (const char c : text) {
            const auto byte = static_cast<unsigned char>(c);
            ascii_ += byte < 128 ? std::string(1, c) : mark_ + hex_text(byte, 2);
        }
    }
    [[nodiscard]] const std::string& text() const { return ascii_; }
    [[nodiscard]] std::string original(std::string_view part) const {
        std::string out;
        for (std::size_t at = 0; at < part.size();) {
            const auto end = std::min(part.find(mark_, at), part.size());
            out += part.substr(at, end - at);
            at = std::min(end + mark_.size() + 2, part.size());
            if (end == part.size()) break;
            out += static_cast<char>(parse_number<unsigned>(part.substr(end + mark_.size(), 2), 16).value_or('?'));
        }
        return out;
    }

  private:
    std::string mark_ = "``", ascii_;
};

class Reader {
  public:
    Reader(const std::string& text, std::string where, const CLI::App& app) : text_(text), where_(std::move(where)), app_(app) {}

    std::vector<CLI::ConfigItem> read() {
        std::vector<CLI::ConfigItem> items;
        const toml::table table = parse();
        for (const auto& [toml_key, node] : table) {
            std::string key = text_.original(toml_key.str());
            // TOML's own names have either; our flags have dashes.
            std::ranges::replace(key, '_', '-');
            const std::string place = where_ + ", line " + std::to_string(toml_key.source().begin.line);
            const CLI::Option* option = option_of(app_, key);
            if (!option) refuse(text_.original(toml_key.str()), place);
            const bool is_new =
                std::ranges::none_of(items, [&](const auto& item) { return option_of(app_, item.name) == option; });
            if (!is_new) throw Error(ErrorCode::invalid_argument, "--" + key + " is set twice", place);
            auto values = values_of(node, *option, place + ": " + key);
            if (!values.empty()) items.push_back({{}, key, std::move(values)});
        }
        return items;
    }

  private:
    [[nodiscard]] toml::table parse() const {
        try {
            return toml::parse(text_.text());
        } catch (const toml::parse_error& error) {
            std::string problem = text_.original(error.description());
            std::ranges::replace_if(problem, [](unsigned char c) { return c < 32; }, ' ');
            throw Error(ErrorCode::input, "is not valid TOML: " + problem,
                        where_ + ", line " + std::to_string(error.source().begin.line));
        } catch (const TomlPromiseBroken&) {
            throw Error(ErrorCode::input, "is not valid TOML: a value is cut short", where_);
        }
    }

    [[noreturn]] void refuse(const std::string& key, const std::string& place) const {
        std::vector<std::string> known;
        for (const CLI::Option* option : app_.get_options())
            if (option->get_configurable())
                for (const auto& name : keys_of(*option)) known.push_back(name);
        const auto near = nearest_name(key, known);
        throw Error(ErrorCode::invalid_argument,
                    "unknown key " + in_quotes(key) + (near.empty() ? "" : "; did you mean " + near + "?"), place);
    }

    // As the command line would have them; empty: the flag stays off.
    [[nodiscard]] std::vector<std::string> values_of(const toml::node& node, const CLI::Option& option,
                                                     const std::string& where) const {
        if (option.get_items_expected_max() == 0) {
            if (!node.is_boolean()) throw Error(ErrorCode::invalid_argument, "is true or false", where);
            return node.as_boolean()->get() ? std::vector<std::string>{"true"} : std::vector<std::string>{};
        }
        if (const toml::array* list = node.as_array()) {
            if (option.get_items_expected_max() == 1)
                throw Error(ErrorCode::invalid_argument, "takes one value, not a list", where);
            std::vector<std::string> values;
            for (const toml::node& item : *list) values.push_back(value_of(item, option, where));
            return values;
        }
        return {value_of(node, option, where)};
    }

    // A command line cannot hold one either.
    [[nodiscard]] static std::string without_nul(std::string text, const std::string& where) {
        if (text.find('\0') == std::string::npos) return text;
        throw Error(ErrorCode::invalid_argument, "holds a NUL", where);
    }
    [[nodiscard]] std::string value_of(const toml::node& node, const CLI::Option& option, const std::string& where) const {
        const std::string type = option.get_type_name();
        const bool is_text = type != "INT" && type != "FLOAT";
        if (const auto* whole = node.as_integer()) return std::to_string(whole->get());
        if (const auto* real = node.as_floating_point(); real && type == "FLOAT") return number_text(real->get());
        // TOML's integers end at 2^63; a larger seed is a text.
        if (const auto* text = node.as_string(); text && (is_text || !whole_number(text->get()).empty()))
            return without_nul(text_.original(text->get()), where);
        throw Error(ErrorCode::invalid_argument,
                    is_text         ? "is a text"
                    : type == "INT" ? "is a whole number"
                                    : "is a number",
                    where);
    }

    AsciiText text_;
    std::string where_;
    const CLI::App& app_;
};

// Found by CLI11 through the option --config of the same app.
class TomlConfig : public CLI::Config {
  public:
    explicit TomlConfig(const CLI::App& app) : app_(app) {}

    std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
    std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
        const auto& paths = app_.get_config_ptr()->results();
        const std::string where = paths.empty() ? "--config" : paths.back();
        std::string text(limit_bytes + 1, '\0');
        input.read(text.data(), static_cast<std::streamsize>(text.size()));
        text.resize(static_cast<std::size_t>(input.gcount()));
        if (input.bad()) throw Error(ErrorCode::input, "cannot be read", where);
        if (text.size() > limit_bytes) throw Error(ErrorCode::input, "is over 1 MiB, which no list of flags is", where);
        return read_config(text, where, app_);
    }

  private:
    const CLI::App& app_;
};

}  // namespace

std::string config_path(const CLI::App& app) {
    const CLI::Option* option = app.get_config_ptr();
    return option && option->count() > 0 ? option->results().back() : std::string();
}

void add_config_flag(CLI::App& app) {
    app.set_config("--config", "", "a TOML file with these flags; the command line wins")->type_name("FILE");
    app.config_formatter(std::make_shared<TomlConfig>(app));
}

std::vector<CLI::ConfigItem> read_config(const std::string& text, const std::string& where, const CLI::App& app) {
    return Reader(text, where, app).read();
}

}  // namespace t2i::app
