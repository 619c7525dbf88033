// Parts of a batch for several processes: by hash of the id, so that every process finds its own without asking.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace t2i::batch {

struct Shard {
    int index = 0, count = 1;
    std::string source;  // the variables that said so; empty after parse_shard()

    [[nodiscard]] bool is_whole() const { return count == 1; }
    [[nodiscard]] bool owns(std::string_view picture_id) const;
    [[nodiscard]] bool owns_line(std::int64_t line) const { return line % count == index; }
    // "" for the whole, else ".0-of-4": what stands in the names of its files.
    [[nodiscard]] std::string suffix() const;
};

// "0/4" … "3/4". Throws Error{invalid_argument} about the field shard.
[[nodiscard]] Shard parse_shard(const std::string& text);

// From the variables of a Slurm array, of Slurm's tasks and of Open MPI's ranks, combined where there is an array of tasks.
// Open MPI's win over Slurm's tasks: mpirun starts its daemons as Slurm tasks. The whole where there are none.
// variable: as std::getenv. Throws Error{input} naming the variable when they contradict each other, and for an array with gaps:
// Slurm tells the lowest, the highest and the number of its tasks, but not which there are.
[[nodiscard]] Shard shard_from_environment(const std::function<const char*(const char*)>& variable);

}  // namespace t2i::batch
