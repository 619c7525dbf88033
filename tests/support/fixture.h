// Model folders for tests: weights come from the formula that scripts/golden/common.py documents, so that a
// small manifest stands for a checkpoint and the whole loading path is tested.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/reader.h"
#include "core/arena.h"
#include "ops/backend.h"
#include "ops/exec_context.h"
#include "support/files.h"

namespace t2i::test {

// tests/golden/<name>.json and <name>.safetensors.
[[nodiscard]] nlohmann::json read_manifest(const std::string& name);
[[nodiscard]] std::unique_ptr<CheckpointReader> read_results(const std::string& name);

// The tensor that {"shape", "seed", "scale", "shift"} describes.
[[nodiscard]] Tensor generate(const nlohmann::json& description);

struct FolderOptions {
    DType dtype = DType::f32;                                 // f32, bf16 or f16
    int shards = 1;                                           // above 1: numbered files and an index
    std::function<std::string(const std::string&)> rename{};  // of the tensors
    std::vector<std::string> leave_out{};                     // names of tensors
    nlohmann::json config_patch = nlohmann::json::object();   // merged into config.json; null removes a key
};

// config.json and the weights of one component. component: {"config", "stem", "tensors": [{"name", …}]}
void write_component(const nlohmann::json& component, const std::filesystem::path& folder, const FolderOptions& options = {});

// A pipeline folder: {"model_index", "components": {folder: component}, "files": {path: {"text"}, or the name
// of a file in tests/golden}}.
void write_pipeline(const nlohmann::json& pipeline, const std::filesystem::path& folder, const FolderOptions& options = {});

// A backend with its scratch memory.
struct Machine {
    explicit Machine(std::string_view backend_name);
    std::unique_ptr<Backend> backend;
    Arena scratch;
    [[nodiscard]] ExecContext ctx() { return {*backend, scratch}; }
};

// "ref", and "cpu" where this processor has instructions for the dtype; says so where it is left out.
[[nodiscard]] std::vector<std::string> backends_with(DType dtype);

// ‖a − b‖ / ‖b‖ over f32 tensors of as many elements.
[[nodiscard]] double relative_error(const TensorView& a, const TensorView& b);

// Appends a line to the file that T2I_PARITY_REPORT names, if any (scripts/bench/parity.sh makes a table of it),
// then requires error ≤ limit.
void check_parity(const std::string& component, const std::string& name, double error, double limit);

// data/<path> in $T2I_SHARED_DIR, else in ../shared beside the repository. Where it is absent, says so and
// returns nothing, or fails with T2I_REQUIRE_SHARED=1.
[[nodiscard]] std::optional<std::filesystem::path> shared_data(const std::string& path);

}  // namespace t2i::test
