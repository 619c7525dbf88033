// What the commands share: parsing with one-line errors, and the flags that choose a model and a device.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "app/command.h"
#include "t2i/pipeline.h"

namespace t2i::app {

// Parses, or throws Error{invalid_argument} with one line (for an unknown flag: with the one that was meant). Returns false when
// there is nothing more to do: --help was asked for and printed, or the command was only to be described.
[[nodiscard]] bool parse(CLI::App& app, const CommandLine& line);

// -m/--model, --vae, --taesd, --device, --dtype, --engine-batch, -t/--threads; warnings of the library go to print_warning().
void add_model_flags(CLI::App& app, PipelineOptions& options);

// "{ddim,dpm++2m,…}" for the help; with_list: and "list", which prints them.
[[nodiscard]] std::string sampler_choices(bool with_list);

// PipelineOptions::log of the commands: "t2i: warning: …" on standard error.
void print_warning(LogLevel level, const std::string& line);

}  // namespace t2i::app
