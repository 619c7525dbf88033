#include "support/tables.h"

#include <array>
#include <cstdio>

namespace t2i::test {

namespace {

// A number as C's printf and R's format() have it.
std::string printed(const char* format, double value) {
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

std::string doubled(const std::string& text) {
    std::string out;
    for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out;
}

std::string quoted(const std::string& text) {
    return "\"" + doubled(text) + "\"";
}

// Where it must be.
std::string minimal(const std::string& text, char delimiter) {
    return text.find_first_of(std::string("\"\r\n") + delimiter) == std::string::npos ? text : quoted(text);
}

std::string with_comma(std::string number) {
    if (const auto point = number.find('.'); point != std::string::npos) number[point] = ',';
    return number;
}

// Header, then rows; what Excel writes between the mark and the end.
std::string excel_rows(const std::vector<TableRow>& rows, char delimiter) {
    const std::string d(1, delimiter);
    std::string text = "Prompt" + d + "Negative Prompt" + d + "Seed" + d + "CFG scale" + d + "Category" + d + d + "\r\n";
    for (const TableRow& row : rows) {
        const std::string cfg = row.cfg_scale ? printed("%.15g", *row.cfg_scale) : "";
        text += minimal(row.prompt, delimiter) + d + minimal(row.negative, delimiter) + d +
                (row.seed ? std::to_string(*row.seed) : "") + d + (delimiter == ';' ? with_comma(cfg) : cfg) + d +
                minimal(row.category, delimiter) + d + d + "\r\n";
    }
    return text;
}

std::string r_rows(const std::vector<TableRow>& rows, char delimiter) {
    const std::string d(1, delimiter);
    std::string text =
        "\"\"" + d + "\"prompt\"" + d + "\"negative_prompt\"" + d + "\"seed\"" + d + "\"cfg_scale\"" + d + "\"category\"\n";
    int number = 0;
    const auto real = [&](std::optional<double> value) {
        const std::string number_text = value ? printed("%.15g", *value) : "NA";
        return delimiter == ';' ? with_comma(number_text) : number_text;
    };
    for (const TableRow& row : rows) {
        std::string seed = "NA";
        if (row.seed) seed = *row.seed == 100'000 ? "1e+05" : std::to_string(*row.seed);
        text += quoted(std::to_string(++number)) + d + quoted(row.prompt) + d +
                (row.negative.empty() ? "NA" : quoted(row.negative)) + d + seed + d + real(row.cfg_scale) + d +
                quoted(row.category) + "\n";
    }
    return text;
}

}  // namespace

std::vector<TableRow> table_rows(int n) {
    const std::array<std::string, 8> prompts{"a cat",        "a red apple, twemoji style",
                                             "a 12\" pizza", "the cat's \"toy\", again",
                                             "红苹果，白底", "two\nlines",
                                             "a dog; a fox", "it's a pear"};
    std::vector<TableRow> rows;
    for (int i = 0; i < n; ++i) {
        TableRow row;
        row.prompt = prompts[static_cast<std::size_t>(i) % prompts.size()] + " number " + std::to_string(i);
        if (i % 3 == 1) row.negative = "blurry, dark";
        if (i % 5 != 2) row.seed = i == 0 ? 100'000U : static_cast<std::uint64_t>(i) * 7;
        if (i % 4 == 3) row.cfg_scale = 3.5;
        row.category = i % 2 == 0 ? "animals" : "plants, \"fruit\"";
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string excel_csv(const std::vector<TableRow>& rows) {
    return "\xEF\xBB\xBF" + excel_rows(rows, ',');
}

std::string excel_semicolon_csv(const std::vector<TableRow>& rows) {
    return "\xEF\xBB\xBFsep=;\r\n" + excel_rows(rows, ';');
}

std::string excel_unicode_text(const std::vector<TableRow>& rows) {
    const std::string text = excel_rows(rows, '\t');
    std::string units = "\xFF\xFE";
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const std::size_t bytes = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : 3;  // nothing here lies beyond the first plane
        unsigned code = bytes == 1 ? byte : bytes == 2 ? byte & 0x1FU : byte & 0x0FU;
        for (std::size_t k = 1; k < bytes; ++k) code = code << 6U | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
        units += static_cast<char>(code & 0xFFU);
        units += static_cast<char>(code >> 8U);
        i += bytes;
    }
    return units;
}

std::string pandas_csv(const std::vector<TableRow>& rows) {
    std::string text = ",prompt,negative_prompt,seed,cfg_scale,category\n";
    int number = 0;
    for (const TableRow& row : rows)
        text += std::to_string(number++) + "," + minimal(row.prompt, ',') + "," + minimal(row.negative, ',') + "," +
                (row.seed ? std::to_string(*row.seed) + ".0" : "") + "," +
                (row.cfg_scale ? printed("%.15g", *row.cfg_scale) : "") + "," + minimal(row.category, ',') + "\n";
    return text;
}

std::string r_csv(const std::vector<TableRow>& rows) {
    return r_rows(rows, ',');
}

std::string r_csv2(const std::vector<TableRow>& rows) {
    return r_rows(rows, ';');
}

std::string flag_lines(const std::vector<TableRow>& rows) {
    std::string text;
    for (const TableRow& row : rows) {
        std::string prompt;
        for (const char c : row.prompt) {
            if (c == '"') prompt += '\\';
            prompt += c == '\n' ? ' ' : c;
        }
        text += "--prompt \"" + prompt + "\"";
        if (!row.negative.empty()) text += " --negative_prompt \"" + row.negative + "\"";
        if (row.seed) text += " --seed " + std::to_string(*row.seed);
        if (row.cfg_scale) text += " --cfg_scale " + printed("%.15g", *row.cfg_scale);
        text += " --do_not_save_grid true --sampler_name \"DPM++ 2M Karras\"\n";
    }
    return text;
}

}  // namespace t2i::test
