#include "batch/shards.h"

#include "batch/request_id.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace {

constexpr int most_shards = 8191;  // IdEntry::journal counts them in 13 bits

}  // namespace

bool Shard::owns(std::string_view picture_id) const {
    return is_whole() || hash64(picture_id) % static_cast<std::uint64_t>(count) == static_cast<std::uint64_t>(index);
}

std::string Shard::suffix() const {
    return is_whole() ? "" : "." + std::to_string(index) + "-of-" + std::to_string(count);
}

Shard parse_shard(const std::string& text) {
    const auto slash = text.find('/');
    const auto index = parse_number<int>(std::string_view(text).substr(0, slash));
    const auto count = slash == std::string::npos ? std::nullopt : parse_number<int>(std::string_view(text).substr(slash + 1));
    if (!index || !count || *count < 1 || *count > most_shards || *index < 0 || *index >= *count)
        throw Error(ErrorCode::invalid_argument,
                    "\"" + text + "\" is not I/N with I from 0 to N - 1 and N up to " + std::to_string(most_shards),
                    Field{"shard"});
    return {*index, *count, {}};
}

Shard shard_from_environment(const std::function<const char*(const char*)>& variable) {
    const auto number = [&](const char* name) -> std::optional<int> {
        const char* text = variable(name);
        if (!text || !*text) return std::nullopt;
        const auto value = parse_number<int>(text);
        if (!value) throw Error(ErrorCode::input, std::string("is not a number: ") + text, name);
        return value;
    };
    Shard shard;
    const auto refine = [&](std::int64_t index, std::int64_t count, const char* source) {
        if (count < 1 || index < 0 || index >= count || count * shard.count > most_shards)
            throw Error(ErrorCode::input, "task " + std::to_string(index) + " of " + std::to_string(count) + " makes no sense",
                        source);
        shard.index = static_cast<int>(shard.index * count + index);
        shard.count = static_cast<int>(shard.count * count);
        shard.source += (shard.source.empty() ? "" : ", ") + std::string(source);
    };
    if (const auto task = number("SLURM_ARRAY_TASK_ID")) {
        const std::int64_t first = number("SLURM_ARRAY_TASK_MIN").value_or(0);
        const std::int64_t step = std::max(number("SLURM_ARRAY_TASK_STEP").value_or(1), 1);
        const auto count = number("SLURM_ARRAY_TASK_COUNT");
        if (!count) throw Error(ErrorCode::input, "is not set, but SLURM_ARRAY_TASK_ID is", "SLURM_ARRAY_TASK_COUNT");
        const auto end = number("SLURM_ARRAY_TASK_MAX");
        const std::int64_t last = end ? *end : first + (*count - 1) * step;
        if ((*task - first) % step != 0 || (last - first) / step + 1 != *count)
            throw Error(ErrorCode::input,
                        "the array from " + std::to_string(first) + " to " + std::to_string(last) + " has gaps (" +
                            std::to_string(*count) + " tasks), and Slurm does not say which of them this is; number the tasks " +
                            "without gaps",
                        "SLURM_ARRAY_TASK_ID");
        refine((*task - first) / step, *count, "SLURM_ARRAY_TASK_ID");
    }
    if (const auto rank = number("OMPI_COMM_WORLD_RANK")) {
        refine(*rank, number("OMPI_COMM_WORLD_SIZE").value_or(0), "OMPI_COMM_WORLD_RANK");
    } else if (const auto task = number("SLURM_PROCID")) {
        // Of the step, where srun started one; a batch script itself is task 0 of an allocation for several.
        const auto of_step = number("SLURM_STEP_NUM_TASKS");
        refine(*task, of_step ? *of_step : number("SLURM_NTASKS").value_or(1), "SLURM_PROCID");
    }
    return shard;
}

}  // namespace t2i::batch
