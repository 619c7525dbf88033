#include "batch/prompt_format.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "batch/csv_rows.h"
#include "batch/request_fields.h"
#include "core/nearest.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace {

using namespace std::string_view_literals;

// What is looked at of a file that is all there.
constexpr std::size_t look_bytes = std::size_t{64} << 10;

struct FormatName {
    const char* name;
    PromptFormat format;
};
constexpr std::array format_names{FormatName{"txt", PromptFormat::text}, FormatName{"jsonl", PromptFormat::json_lines},
                                  FormatName{"json", PromptFormat::json}, FormatName{"csv", PromptFormat::csv},
                                  FormatName{"tsv", PromptFormat::tsv}};

// What the beginning of a file looks like.
enum class Looks : std::uint8_t { text, json_lines, json, csv, tsv, yaml, markup };

struct LooksRow {
    Looks looks;
    const char* name;
};
constexpr std::array looks_names{LooksRow{Looks::json_lines, "JSON lines (jsonl)"},
                                 LooksRow{Looks::json, "JSON (json)"},
                                 LooksRow{Looks::csv, "a table (csv)"},
                                 LooksRow{Looks::tsv, "a table (tsv)"},
                                 LooksRow{Looks::yaml, "YAML, which is not read"},
                                 LooksRow{Looks::markup, "XML or HTML, which is not read"}};

struct Magic {
    std::string_view bytes;
    const char* what;
};
constexpr std::array magics{Magic{"PK\x03\x04"sv, "is a zip archive or an Excel workbook; save the sheet as CSV (UTF-8)"},
                            Magic{"\xD0\xCF\x11\xE0"sv, "is an old Excel workbook; save the sheet as CSV (UTF-8)"},
                            Magic{"PAR1"sv, "is Parquet; write it as CSV or JSON lines"},
                            Magic{"\x89PNG"sv, "is a picture, not a prompt file"},
                            Magic{"\xFF\xD8\xFF"sv, "is a picture, not a prompt file"},
                            Magic{"%PDF-"sv, "is a PDF, not a prompt file"},
                            Magic{"{\\rtf"sv, "is RTF; save it as plain text"},
                            Magic{"SQLite format 3"sv, "is a database, not a prompt file"},
                            Magic{"\x28\xB5\x2F\xFD"sv, "is packed with zstd; unpack it, or pack it with gzip"},
                            Magic{"\xFD"
                                  "7zXZ"sv,
                                  "is packed with xz; unpack it, or pack it with gzip"},
                            Magic{"BZh"sv, "is packed with bzip2; unpack it, or pack it with gzip"},
                            Magic{"\x7F"
                                  "ELF"sv,
                                  "is a program, not a prompt file"}};

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 32);
    return out;
}

// "csv" of "a.b/Prompts.CSV.gz"; empty: none.
std::string extension_of(std::string_view name) {
    if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
    std::string base = lower(name);
    if (base.ends_with(".gz")) base.resize(base.size() - 3);
    const auto dot = base.rfind('.');
    return dot == std::string::npos || dot == 0 ? std::string() : base.substr(dot + 1);
}

// The next line that is neither blank nor a comment, stripped; what follows it stays in `text`. Empty: there is none.
std::string_view take_line(std::string_view& text) {
    while (!text.empty()) {
        const auto end = std::min(text.find_first_of("\r\n"), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        constexpr auto blanks = " \t\f\v"sv;
        line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
        line = line.substr(0, line.find_last_not_of(blanks) + 1);
        if (!line.empty() && line.front() != '#') return line;
    }
    return {};
}

// Brings what is to be looked at: of a live source its first whole line.
void bring_start(StartedSource& source) {
    const auto is_enough = [&] {
        if (!source.is_live()) return source.start().size() >= look_bytes;
        std::string_view rest = source.start();
        const std::string_view line = take_line(rest);
        const auto behind =
            line.empty() ? source.start().size() : static_cast<std::size_t>(line.data() + line.size() - source.start().data());
        return source.start().find_first_of("\r\n", behind) != std::string_view::npos || source.start().size() >= look_bytes;
    };
    while (!is_enough() && source.more()) {
    }
}

std::string_view skip_blanks(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    return text;
}

// {"key":
bool begins_object(std::string_view text) {
    if (!text.starts_with('{')) return false;
    text = skip_blanks(text.substr(1));
    if (text.starts_with('}')) return true;
    if (!text.starts_with('"')) return false;
    std::size_t end = 1;
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    return end < text.size() && skip_blanks(text.substr(end + 1)).starts_with(':');
}

// Prompts may begin with a bracket or a brace, too ("[cat|dog] in a hat"): only what cannot be meant otherwise is JSON.
bool begins_json(std::string_view first, std::string_view all, bool whole) {
    if (first == "[" || first == "{" || begins_object(all)) return true;
    if (!all.starts_with('[')) return false;
    const std::string_view inside = skip_blanks(all.substr(1));
    if (begins_object(inside)) return true;
    return whole && nlohmann::json::accept(all) && (inside.starts_with('"') || inside.starts_with(']'));
}

// A header: one of its columns is the prompt, and the others are named as columns are.
bool is_header(std::string_view line, char delimiter, const std::string& prompt_column) {
    bool has_prompt = false;
    std::size_t cells = 0;
    for (std::size_t at = 0; at <= line.size(); ++cells) {
        const auto end = std::min(line.find(delimiter, at), line.size());
        const std::string_view written = line.substr(at, end - at), cell = plain_cell(written);
        at = end + 1;
        const std::string field = field_name(cell);
        has_prompt = has_prompt || (prompt_column.empty() ? field == "prompt" : cell == prompt_column);
        if (!field.empty()) continue;
        // In a prompt, a blank follows a comma.
        constexpr std::size_t longest_name = 40;
        if (cell.size() > longest_name || written.starts_with(' ')) return false;
        const auto is_odd = [](char c) {
            return static_cast<unsigned char>(c) < 32 || "\"'<>[]{}!?"sv.find(c) != std::string_view::npos;
        };
        if (std::ranges::any_of(cell, is_odd)) return false;
    }
    return has_prompt && cells > 1;
}

Looks look_at_table(std::string_view first, bool has_more, const std::string& prompt_column) {
    if (separator_line(first)) return Looks::csv;
    for (const char delimiter : {'\t', ',', ';', '|'})
        if (is_header(first, delimiter, prompt_column)) return delimiter == '\t' ? Looks::tsv : Looks::csv;
    const bool is_column = prompt_column.empty() ? field_name(plain_cell(first)) == "prompt" : plain_cell(first) == prompt_column;
    return is_column && has_more ? Looks::csv : Looks::text;
}

// "prompts:" and what belongs under it, "- prompt: a cat", "---".
bool is_yaml(std::string_view first, std::string_view second) {
    if (first == "---") return true;
    const bool in_list = first.starts_with("- ");
    if (in_list) first = strip_left(first.substr(2));
    const auto colon = first.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view key = plain_cell(first.substr(0, colon));
    if (colon + 1 < first.size()) return (key == "prompt" || key == "prompts") && first[colon + 1] == ' ';
    const auto is_odd = [](char c) { return c == ' ' || c == '"' || c == ','; };
    return lower(key) == "prompts" || (!in_list && std::ranges::none_of(key, is_odd) && second.starts_with("- "));
}

Looks look_at(const StartedSource& source, const std::string& prompt_column) {
    std::string_view rest = source.start();
    const std::string_view first = take_line(rest);
    if (first.empty()) return Looks::text;
    const std::string_view all =
        skip_blanks(source.start().substr(static_cast<std::size_t>(first.data() - source.start().data())));
    const std::string_view second = take_line(rest);
    if (begins_json(first, all, source.ended())) {
        // A line that is broken is still a line, not the beginning of an object over several.
        const bool is_line = first.size() > 1 && (first.ends_with('}') || second.starts_with('{'));
        return first.front() == '{' && is_line ? Looks::json_lines : Looks::json;
    }
    const std::string start = lower(first.substr(0, 16));
    if (start.starts_with("<?xml") || start.starts_with("<!doctype") || start.starts_with("<html")) return Looks::markup;
    if (is_yaml(first, second)) return Looks::yaml;
    return look_at_table(first, !second.empty() || source.is_live(), prompt_column);
}

[[noreturn]] void refuse(const std::string& name, Looks looks, const std::string& extension) {
    const auto row = std::ranges::find(looks_names, looks, &LooksRow::looks);
    const std::string what = row == looks_names.end() ? "text (txt)" : row->name;
    throw Error(ErrorCode::input,
                in_quotes(name) + " looks like " + what + (extension.empty() ? "" : ", and its name ends in ." + extension) +
                    ": say whether it is txt, jsonl, json, csv or tsv",
                Field{"format"});
}

}  // namespace

PromptFormat format_named(const std::string& name) {
    const std::string wanted = lower(name);
    std::string list;
    for (const auto& row : format_names) {
        if (row.name == wanted) return row.format;
        list += (list.empty() ? "" : ", ") + std::string(row.name);
    }
    throw Error(ErrorCode::invalid_argument, "unknown format " + in_quotes(name) + " (" + list + ")", Field{"format"});
}

PromptFormat choose_format(StartedSource& source, const std::string& name, const std::string& prompt_column) {
    bring_start(source);
    const Looks looks = look_at(source, prompt_column);
    const std::string extension = extension_of(name);
    const bool is_json = looks == Looks::json || looks == Looks::json_lines;
    const bool is_table = looks == Looks::csv || looks == Looks::tsv;
    if (looks == Looks::yaml || looks == Looks::markup || extension == "yaml" || extension == "yml")
        refuse(name, is_json || is_table ? looks : looks == Looks::markup ? looks : Looks::yaml, extension);
    if (extension == "jsonl" || extension == "ndjson") {
        if (is_table) refuse(name, looks, extension);
        return looks == Looks::json ? PromptFormat::json : PromptFormat::json_lines;
    }
    if (extension == "json") {
        if (is_table) refuse(name, looks, extension);
        return looks == Looks::json_lines ? PromptFormat::json_lines : PromptFormat::json;
    }
    if (extension == "csv" || extension == "tsv" || extension == "tab") {
        if (is_json) refuse(name, looks, extension);
        return extension == "csv" ? PromptFormat::csv : PromptFormat::tsv;
    }
    if (extension == "txt" && (is_json || is_table)) refuse(name, looks, extension);
    switch (looks) {
        case Looks::json_lines:
            return PromptFormat::json_lines;
        case Looks::json:
            return PromptFormat::json;
        case Looks::csv:
            return PromptFormat::csv;
        case Looks::tsv:
            return PromptFormat::tsv;
        default:
            return PromptFormat::text;
    }
}

void refuse_binary(StartedSource& source, const std::string& name) {
    const auto is_begun = [&] {
        const std::string_view start = source.start();
        return std::ranges::any_of(
            magics, [&](const Magic& magic) { return magic.bytes.size() > start.size() && magic.bytes.starts_with(start); });
    };
    while (is_begun() && source.more()) {
    }
    for (const Magic& magic : magics)
        if (source.start().starts_with(magic.bytes)) throw Error(ErrorCode::input, magic.what, name);
}

std::string_view without_line_end(std::string_view line) {
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

}  // namespace t2i::batch
