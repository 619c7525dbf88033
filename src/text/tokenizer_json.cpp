#include "text/tokenizer_json.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/number_text.h"
#include "core/stand_in.h"
#include "t2i/error.h"
#include "text/base64.h"
#include "text/tokenizer_document.h"
#include "text/tokenizer_settings.h"
#include "text/unicode.h"

namespace t2i {

namespace {

using Json = nlohmann::ordered_json;

// One step or part of the file, with errors that name it.
class Part {
  public:
    Part(const Json& json, std::string name, const std::string& where) : json_(json), name_(std::move(name)), where_(where) {
        if (!json.is_object()) fail("must be an object");
    }
    [[nodiscard]] const Json* find(const char* key) const {
        // The last of equal keys.
        const Json* found = nullptr;
        for (const auto& [name, value] : json_.items())
            if (name == key) found = &value;
        return found && !found->is_null() ? found : nullptr;
    }
    [[nodiscard]] const Json& at(const char* key) const {
        const Json* value = find(key);
        if (!value) fail(std::string("lacks \"") + key + "\"");
        return *value;
    }
    template <typename T>
    [[nodiscard]] T get(const char* key) const {
        try {
            return at(key).get<T>();
        } catch (const nlohmann::json::exception&) {
            fail(std::string("has a \"") + key + "\" of the wrong type");
        }
    }
    template <typename T>
    [[nodiscard]] T get(const char* key, T fallback) const {
        return find(key) ? get<T>(key) : fallback;
    }
    [[nodiscard]] const Json& list(const char* key) const {
        const Json& value = at(key);
        if (!value.is_array()) fail(std::string("has a \"") + key + "\" that is no list");
        return value;
    }
    [[nodiscard]] std::int32_t id(const Json& value) const {
        if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<std::int32_t>::max()) fail("holds a bad id");
        return value.get<std::int32_t>();
    }
    [[noreturn]] void fail(const std::string& problem) const {
        throw Error(ErrorCode::input, '"' + name_ + "\" " + problem, where_);
    }
    [[noreturn]] void refuse(const std::string& type, const char* known) const {
        fail("is of the kind \"" + type + "\", which t2i does not know (it knows " + known + ")");
    }
    [[nodiscard]] const std::string& where() const { return where_; }

  private:
    const Json& json_;
    std::string name_;
    const std::string& where_;
};

Charsmap parse_charsmap(const Part& step) {
    const auto blob = decode_base64(step.get<std::string>("precompiled_charsmap"));
    if (!blob) step.fail("holds a \"precompiled_charsmap\" that is not base64");
    return {*blob, step.where()};
}

// A regular expression of the one form that T5's files have: a character that is repeated, as " {2,}".
Replace parse_regex(const Part& step, const std::string& pattern) {
    const std::size_t length = pattern.empty() ? 0 : next_character(pattern, 0);
    const std::string character = pattern.substr(0, length);
    std::string_view rest = std::string_view(pattern).substr(length);
    constexpr std::string_view special = "\\.+*?()|[]{}^$";
    if (!character.empty() && special.find(character) == std::string_view::npos) {
        if (rest.empty()) return {.pattern = character, .content = {}, .least = 0};
        if (rest == "+") return {.pattern = character, .content = {}, .least = 1};
        if (rest.starts_with('{') && rest.ends_with(",}")) {
            rest.remove_prefix(1);
            rest.remove_suffix(2);
            if (const auto least = parse_number<std::int32_t>(rest); least && *least > 0)
                return {.pattern = character, .content = {}, .least = static_cast<std::size_t>(*least)};
        }
    }
    step.fail("holds the regular expression \"" + pattern + "\", which t2i does not know (it knows forms such as \" {2,}\")");
}

Replace parse_replace(const Part& step) {
    const Part pattern(step.at("pattern"), "pattern", step.where());
    Replace replace;
    if (pattern.find("String")) replace.pattern = pattern.get<std::string>("String");
    else replace = parse_regex(step, pattern.get<std::string>("Regex"));
    if (replace.pattern.empty()) step.fail("replaces an empty text");
    replace.content = step.get<std::string>("content");
    return replace;
}

void add_normalizers(const Json& json, const std::string& where, std::vector<Normalizer>& to) {
    const Part step(json, "normalizer", where);
    const auto type = step.get<std::string>("type");
    if (type == "Sequence") {
        for (const Json& inner : step.list("normalizers")) add_normalizers(inner, where, to);
    } else if (type == "Precompiled") {
        to.emplace_back(std::make_shared<const Charsmap>(parse_charsmap(step)));
    } else if (type == "Strip") {
        to.emplace_back(Strip{step.get<bool>("strip_left"), step.get<bool>("strip_right")});
    } else if (type == "Replace") {
        to.emplace_back(parse_replace(step));
    } else if (type == "Prepend") {
        to.emplace_back(Prepend{step.get<std::string>("prepend")});
    } else {
        step.refuse(type, "Sequence, Precompiled, Strip, Replace, Prepend");
    }
}

Metaspace parse_metaspace(const Part& step) {
    Metaspace metaspace;
    metaspace.replacement = step.get<std::string>("replacement");
    if (metaspace.replacement.empty() || next_character(metaspace.replacement, 0) != metaspace.replacement.size())
        step.fail("has a \"replacement\" that is no single character");
    metaspace.split = step.get<bool>("split", true);
    const bool adds = step.get<bool>("add_prefix_space", true);  // files before 0.20 have no scheme
    const auto scheme = step.get<std::string>("prepend_scheme", adds ? "always" : "never");
    if (scheme == "always") metaspace.scheme = Metaspace::Scheme::always;
    else if (scheme == "first") metaspace.scheme = Metaspace::Scheme::first;
    else if (scheme == "never") metaspace.scheme = Metaspace::Scheme::never;
    else step.fail("has the \"prepend_scheme\" \"" + scheme + "\" (there are always, first, never)");
    if (!adds && metaspace.scheme != Metaspace::Scheme::never)
        step.fail("has an \"add_prefix_space\" that contradicts its \"prepend_scheme\"");
    return metaspace;
}

void add_pre_tokenizers(const Json& json, const std::string& where, std::vector<PreTokenizer>& to) {
    const Part step(json, "pre_tokenizer", where);
    const auto type = step.get<std::string>("type");
    if (type == "Sequence") {
        for (const Json& inner : step.list("pretokenizers")) add_pre_tokenizers(inner, where, to);
    } else if (type == "WhitespaceSplit") {
        to.emplace_back(WhitespaceSplit{});
    } else if (type == "Metaspace") {
        to.emplace_back(parse_metaspace(step));
    } else {
        step.refuse(type, "Sequence, WhitespaceSplit, Metaspace");
    }
}

void read_template(const Json& json, FastParts& parts) {
    const Part step(json, "post_processor", parts.where);
    const auto type = step.get<std::string>("type");
    if (type != "TemplateProcessing") step.refuse(type, "TemplateProcessing");
    const Part special(step.at("special_tokens"), "special_tokens", parts.where);
    constexpr std::size_t most = 64;
    int texts = 0;
    for (const Json& item : step.list("single")) {
        const Part piece(item, "single", parts.where);
        if (piece.find("Sequence")) {
            if (Part(piece.at("Sequence"), "Sequence", parts.where).get<std::string>("id") != "A")
                step.fail("asks for a second text");
            ++texts;
            continue;
        }
        const auto name = Part(piece.at("SpecialToken"), "SpecialToken", parts.where).get<std::string>("id");
        const Part token(special.at(name.c_str()), name, parts.where);
        for (const Json& id : token.list("ids")) {
            (texts == 0 ? parts.before : parts.after).push_back(token.id(id));
            if (parts.before.size() + parts.after.size() > most) step.fail("puts too many ids around a text");
        }
    }
    if (texts != 1) step.fail("holds the text " + std::to_string(texts) + " times");
}

void read_model(const Json& json, std::optional<Unigram::Vocabulary> vocabulary, FastParts& parts) {
    const Part model(json, "model", parts.where);
    const auto type = model.get<std::string>("type", "Unigram");
    if (type != "Unigram") model.refuse(type, "Unigram");
    if (!vocabulary) model.fail("has no \"vocab\" that is a list");
    if (vocabulary->empty()) model.fail("has an empty \"vocab\"");
    if (vocabulary->size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) / 2)
        model.fail("has too large a \"vocab\"");
    parts.vocabulary = std::move(*vocabulary);
    if (model.find("unk_id")) parts.unknown = model.id(model.at("unk_id"));
    parts.byte_fallback = model.get<bool>("byte_fallback", false);
}

std::vector<AddedToken> added_tokens_of(const Part& file) {
    std::vector<AddedToken> tokens;
    if (!file.find("added_tokens")) return tokens;
    for (const Json& item : file.list("added_tokens")) {
        AddedToken token = parse_added_token(item, false, file.where());
        token.id = file.id(Part(item, "added_tokens", file.where()).at("id"));
        tokens.push_back(std::move(token));
    }
    return tokens;
}

std::string read_limited(const std::string& path) {
    constexpr std::size_t limit_bytes = std::size_t{256} << 20;  // 15 times a vocabulary of 250,000 pieces
    return read_downloaded_file(path, limit_bytes);
}

}  // namespace

FastParts parse_tokenizer_json(const std::string& text, const std::string& where) {
    TokenizerDocument document = parse_tokenizer_document(text, where);
    const Part file(document.rest, "tokenizer", where);
    FastParts parts;
    parts.where = where;
    read_model(file.at("model"), std::move(document.vocabulary), parts);
    if (const Json* step = file.find("normalizer")) add_normalizers(*step, where, parts.normalizers);
    if (const Json* step = file.find("pre_tokenizer")) add_pre_tokenizers(*step, where, parts.pre_tokenizers);
    if (const Json* step = file.find("post_processor")) read_template(*step, parts);
    parts.added = added_tokens_of(file);
    return parts;
}

FastParts read_tokenizer_json(const std::string& path) {
    return parse_tokenizer_json(read_limited(path), path);
}

std::vector<AddedToken> read_added_tokens(const std::string& path) {
    const TokenizerDocument document = parse_tokenizer_document(read_limited(path), path);
    return added_tokens_of(Part(document.rest, "tokenizer", path));
}

}  // namespace t2i
