#include "app/exit_code.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace t2i::app {

namespace {

struct Row {
    std::string_view field, flag;
};
// Of PipelineOptions, GenerateRequest, BatchOptions and the benchmarks.
constexpr std::array rows{
    Row{"model", "--model"},
    Row{"vae", "--vae"},
    Row{"device", "--device"},
    Row{"dtype", "--dtype"},
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
    Row{"format", "--input-format"},
    Row{"output_format", "--format"},
    Row{"metadata", "--no-metadata"},
    Row{"name", "--name"},
    Row{"shard", "--shard"},
    Row{"op", "--op"},
};

}  // namespace

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
    return error.field().empty() ? error.what() : flag_of(error.field()) + ": " + error.message();
}

}  // namespace t2i::app
