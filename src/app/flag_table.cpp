#include "app/flag_table.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <string_view>

#include "app/command.h"

namespace t2i::app {

namespace {

// The names that flags give to values that are paths.
constexpr std::array<std::string_view, 4> path_names{"FILE", "FOLDER", "PATH", "PICTURE"};

// CLI11 writes "TEXT:{png,webdataset}" for what must be one of these, "INT:INT in [1 - 9]" for a range.
void read_type(const std::string& type, FlagRow& row) {
    const auto colon = type.find(':');
    row.value = type.substr(0, colon);
    const auto open = type.find('{'), close = type.rfind('}');
    if (open != std::string::npos && close != std::string::npos && open < close) {
        for (std::size_t at = open + 1; at <= close;) {
            const std::size_t comma = std::min(type.find(',', at), close);
            row.choices.push_back(type.substr(at, comma - at));
            at = comma + 1;
        }
        if (row.value.find('{') != std::string::npos) row.value = "NAME";
    }
    row.is_path = std::ranges::find(path_names, row.value) != path_names.end();
}

FlagRow read_option(const CLI::Option& option) {
    FlagRow row;
    for (const auto& name : option.get_snames()) row.names.push_back("-" + name);
    for (const auto& name : option.get_lnames()) row.names.push_back("--" + name);
    if (option.get_items_expected_max() > 0) read_type(option.get_type_name(), row);
    if (option.get_positional()) {
        row.names = {option.get_name(true)};
        row.is_path = row.is_path || std::ranges::find(path_names, row.names.front()) != path_names.end();
    }
    row.description = option.get_description();
    row.default_value = option.get_default_str();
    row.repeats = option.get_expected_max() > 1;
    row.is_required = option.get_required();
    return row;
}

}  // namespace

std::vector<CommandRow> describe_commands() {
    std::vector<CommandRow> all;
    for (const Command& command : commands()) {
        CommandRow row{.name = std::string(command.name),
                       .summary = std::string(command.summary),
                       .description = {},
                       .footer = {},
                       .flags = {},
                       .positionals = {}};
        const auto look = [&](const CLI::App& app) {
            row.description = app.get_description();
            row.footer = app.get_footer();
            for (const CLI::Option* option : app.get_options()) {
                if (option->get_group().empty()) continue;  // hidden
                (option->nonpositional() ? row.flags : row.positionals).push_back(read_option(*option));
            }
        };
        command.run({.arguments = {}, .describe = look});
        all.push_back(std::move(row));
    }
    return all;
}

}  // namespace t2i::app
