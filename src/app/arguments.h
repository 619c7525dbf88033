// What the commands share: parsing with one-line errors, and the flags that choose a model and a device.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/command.h"
#include "core/number_text.h"
#include "t2i/pipeline.h"

namespace t2i::app {

// Parses, or throws Error{invalid_argument} with one line (for an unknown flag: with the one that was meant). Returns false when
// there is nothing more to do: --help was asked for and printed, or the command was only to be described.
[[nodiscard]] bool parse(CLI::App& app, const CommandLine& line);

// Flags with numbers. All are decimal, as core/number_text reads them, and none is clamped: parse() throws what is wrong with one
// by its name and range. The help shows `shown` as the default, or the value as it is.
CLI::Option* add_whole(CLI::App& app, const std::string& names, int& value, int least, int most, const std::string& help);
CLI::Option* add_whole(CLI::App& app, const std::string& names, int& value, int least, int most, const std::string& help,
                       const std::string& shown);
CLI::Option* add_whole(CLI::App& app, const std::string& names, std::optional<int>& value, int least, int most,
                       const std::string& help);
CLI::Option* add_real(CLI::App& app, const std::string& names, std::optional<double>& value, const std::string& help);
CLI::Option* add_seed(CLI::App& app, const std::string& names, Seed& seed, const std::string& help);

// -m/--model, --base, --variant, --transformer, --text-encoder, --tokenizer, --as, --vae, --taesd, --device, --dtype,
// --engine-batch, -t/--threads; warnings of the library go to print_warning().
void add_model_flags(CLI::App& app, PipelineOptions& options);

// --clean-caption and --resolution-binning: what diffusers' PixArt pipelines do unless they are told not to.
void add_caption_flags(CLI::App& app, GenerateRequest& request);

// --init-image, --mask, --strength, --resize-mode, --keep-unmasked: pictures from pictures.
void add_init_image_flags(CLI::App& app, GenerateRequest& request);

// "{ddim,dpm++2m,…}" for the help; with_list: and "list", which prints them.
[[nodiscard]] std::string sampler_choices(bool with_list);
// "{discrete,karras,…}" for the help.
[[nodiscard]] std::string schedule_choices();

// PipelineOptions::log of the commands: "t2i: warning: …" on standard error.
void print_warning(LogLevel level, const std::string& line);

}  // namespace t2i::app
