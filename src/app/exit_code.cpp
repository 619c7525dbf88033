#include "app/exit_code.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/nearest.h"

namespace t2i::app {

namespace {

constexpr std::size_t longest_path_bytes = 200;  // of a path in a message

struct Row {
    std::string_view field, flag;
};
// Of PipelineOptions, GenerateRequest, BatchOptions and the benchmarks.
constexpr std::array rows{
    Row{"model", "--model"},
    Row{"vae", "--vae"},
    Row{"variant", "--variant"},
    Row{"base", "--base"},
    Row{"transformer", "--transformer"},
    Row{"text_encoder", "--text-encoder"},
    Row{"tokenizer", "--tokenizer"},
    Row{"formulas", "--as"},
    Row{"device", "--device"},
    Row{"dtype", "--dtype"},
    Row{"type", "--type"},
    Row{"threads", "--threads"},
    Row{"fast_math", "--fast-math"},
    Row{"engine_batch", "--engine-batch"},
    Row{"text_cache_folder", "--text-cache"},
    Row{"prompt", "--prompt"},
    Row{"negative_prompt", "--negative-prompt"},
    Row{"steps", "--steps"},
    Row{"cfg_scale", "--cfg-scale"},
    Row{"seed", "--seed"},
    Row{"width", "--width"},
    Row{"height", "--height"},
    Row{"count", "--batch-count"},
    Row{"sampler", "--sampling-method"},
    Row{"scheduler", "--scheduler"},
    Row{"clean_caption", "--clean-caption"},
    Row{"resolution_binning", "--resolution-binning"},
    Row{"init_image", "--init-image"},
    Row{"mask", "--mask"},
    Row{"strength", "--strength"},
    Row{"resize_mode", "--resize-mode"},
    Row{"keep_unmasked", "--keep-unmasked"},
    Row{"format", "--input-format"},
    Row{"quality", "--quality"},
    Row{"encoding", "--encoding"},
    Row{"prompt_column", "--prompt-column"},
    Row{"output_format", "--format"},
    Row{"image_format", "--image-format"},
    Row{"metadata", "--no-metadata"},
    Row{"name", "--name"},
    Row{"shard", "--shard"},
    Row{"op", "--op"},
};

constexpr std::array meanings{
    ExitCodeRow{ExitCode::done, "done"},
    ExitCodeRow{ExitCode::internal, "a fault of the program itself: please report it"},
    ExitCodeRow{ExitCode::usage, "a flag's name, syntax or range"},
    ExitCodeRow{ExitCode::input, "something that cannot be read or written, or is not what it should be"},
    ExitCodeRow{ExitCode::resource, "a device that is missing, no memory, no threads"},
    ExitCodeRow{ExitCode::partial, "some lines of a prompt file have no picture; failed.jsonl says why"},
    ExitCodeRow{ExitCode::interrupted, "interrupted"},
};

}  // namespace

std::span<const ExitCodeRow> exit_codes() {
    return meanings;
}

ExitCode exit_code(ErrorCode code) {
    switch (code) {
        case ErrorCode::invalid_argument:
            return ExitCode::usage;
        case ErrorCode::input:
            return ExitCode::input;
        case ErrorCode::resource:
            return ExitCode::resource;
        case ErrorCode::cancelled:
            return ExitCode::interrupted;
        case ErrorCode::internal:
            break;
    }
    return ExitCode::internal;
}

std::string flag_of(const std::string& field) {
    const auto row = std::ranges::find(rows, field, &Row::field);
    return row == rows.end() ? field : std::string(row->flag);
}

std::string in_flags(const Error& error) {
    if (!error.field().empty()) return flag_of(error.field()) + ": " + error.message();
    return error.where().empty() ? error.message() : shortened(error.where(), longest_path_bytes) + ": " + error.message();
}

}  // namespace t2i::app
