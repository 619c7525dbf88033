// What the commands share: parsing with one-line errors, and the flags that choose a model and a device.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "t2i/pipeline.h"

namespace t2i::app {

// Parses, or throws Error{invalid_argument} with one line (for an unknown flag: with the nearest one). Returns false when --help
// was asked for and printed.
[[nodiscard]] bool parse(CLI::App& app, const std::vector<std::string>& arguments);

// -m/--model, --vae, --taesd, --device, --dtype, --engine-batch, -t/--threads; warnings of the library go to print_warning().
void add_model_flags(CLI::App& app, PipelineOptions& options);

// PipelineOptions::log of the commands: "t2i: warning: …" on standard error.
void print_warning(LogLevel level, const std::string& line);

}  // namespace t2i::app
