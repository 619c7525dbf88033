// --config: a TOML file whose keys are a command's flags.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace t2i::app {

// Adds --config to a command's flags: `steps = 20` in the file is `--steps 20`; the command line wins. parse() then throws Error:
// input (the file cannot be read, or is no TOML), invalid_argument (a key that is no flag of `app`, with the nearest; a value of
// another kind than the flag takes).
void add_config_flag(CLI::App& app);
// What it names; empty without it.
[[nodiscard]] std::string config_path(const CLI::App& app);

// What the text of such a file sets, for the options of `app`. `where` names the file. Throws as above.
[[nodiscard]] std::vector<CLI::ConfigItem> read_config(const std::string& text, const std::string& where, const CLI::App& app);

}  // namespace t2i::app
