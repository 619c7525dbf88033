#include "support/fixture.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "backend/registry.h"
#include "checkpoint/safetensors.h"
#include "support/catch.h"
#include "support/place.h"

namespace t2i::test {
namespace fs = std::filesystem;
namespace {

fs::path golden_folder() {
    return source_folder() / "tests" / "golden";
}

void write_text(const fs::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

// Top 24 bits of splitmix64, as a number in [-1, 1).
float uniform(std::uint64_t seed, std::uint64_t index) {
    std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    return static_cast<float>(z >> 40) / 0x1p23F - 1.0F;
}

// Rounds to nearest even, with subnormals; values here are far from overflow.
f16 to_f16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
    const float magnitude = std::fabs(x);
    if (magnitude < 0x1p-14F)
        return {static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24F)))};
    const std::uint32_t rounded = (bits & 0x7FFFFFFFU) + 0xFFFU + ((bits >> 13) & 1U);
    return {static_cast<std::uint16_t>(sign | ((rounded - (112U << 23)) >> 13))};
}

Tensor converted(const Tensor& from, DType dtype) {
    Tensor to = Tensor::host(from.shape(), dtype);
    const auto values = from.as<float>();
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (dtype == DType::f32) to.as<float>()[i] = values[i];
        else if (dtype == DType::bf16) to.as<bf16>()[i] = to_bf16(values[i]);
        else to.as<f16>()[i] = to_f16(values[i]);
    }
    return to;
}

struct Weights {
    std::vector<Tensor> tensors;
    std::vector<std::string> names;
};

Weights make_weights(const nlohmann::json& component, const FolderOptions& options) {
    Weights w;
    for (const auto& description : component.at("tensors")) {
        const auto name = description.at("name").get<std::string>();
        if (std::find(options.leave_out.begin(), options.leave_out.end(), name) != options.leave_out.end()) continue;
        w.names.push_back(options.rename ? options.rename(name) : name);
        w.tensors.push_back(converted(generate(description), options.dtype));
    }
    return w;
}

// <stem>-0000i-of-0000n.safetensors and <stem>.safetensors.index.json; tensors are dealt out in turn.
void write_shards(const Weights& w, const std::string& stem, const fs::path& folder, int shards) {
    nlohmann::json map = nlohmann::json::object();
    std::size_t total = 0;
    for (int s = 0; s < shards; ++s) {
        const auto number = [](int n) { return std::string(n < 10 ? "0000" : "000") + std::to_string(n); };
        const std::string file = stem + "-" + number(s + 1) + "-of-" + number(shards) + ".safetensors";
        std::vector<NamedTensor> part;
        for (std::size_t i = static_cast<std::size_t>(s); i < w.names.size(); i += static_cast<std::size_t>(shards)) {
            part.push_back({w.names[i], w.tensors[i]});
            map[w.names[i]] = file;
            total += w.tensors[i].view.bytes();
        }
        write_safetensors((folder / file).string(), part);
    }
    const nlohmann::json index{{"metadata", {{"total_size", total}}}, {"weight_map", map}};
    write_text(folder / (stem + ".safetensors.index.json"), index.dump(1));
}

}  // namespace

nlohmann::json read_manifest(const std::string& name) {
    const fs::path path = golden_folder() / (name + ".json");
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    return nlohmann::json::parse(file);
}

std::unique_ptr<CheckpointReader> read_results(const std::string& name) {
    return open_checkpoint((golden_folder() / (name + ".safetensors")).string());
}

Tensor generate(const nlohmann::json& description) {
    const auto dims = description.at("shape").get<std::vector<std::int64_t>>();
    const auto seed = description.at("seed").get<std::uint64_t>();
    const auto scale = description.at("scale").get<float>(), shift = description.at("shift").get<float>();
    Tensor t = Tensor::host(Shape(dims));
    std::uint64_t i = 0;
    for (auto& value : t.as<float>()) value = uniform(seed, i++) * scale + shift;
    return t;
}

void write_component(const nlohmann::json& component, const fs::path& folder, const FolderOptions& options) {
    fs::create_directories(folder);
    nlohmann::json config = component.at("config");
    config.merge_patch(options.config_patch);
    write_text(folder / "config.json", config.dump(1));
    const auto stem = component.at("stem").get<std::string>();
    const Weights w = make_weights(component, options);
    if (options.shards > 1) return write_shards(w, stem, folder, options.shards);
    std::vector<NamedTensor> all;
    for (std::size_t i = 0; i < w.names.size(); ++i) all.push_back({w.names[i], w.tensors[i]});
    write_safetensors((folder / (stem + ".safetensors")).string(), all);
}

void write_pipeline(const nlohmann::json& pipeline, const fs::path& folder, const FolderOptions& options) {
    fs::create_directories(folder);
    write_text(folder / "model_index.json", pipeline.at("model_index").dump(1));
    for (const auto& [name, component] : pipeline.at("components").items()) write_component(component, folder / name, options);
    for (const auto& [name, content] : pipeline.at("files").items()) {
        const fs::path path = folder / name;
        fs::create_directories(path.parent_path());
        if (content.is_string()) fs::copy_file(golden_folder() / content.get<std::string>(), path);
        else write_text(path, content.at("text").get<std::string>());
    }
}

Machine::Machine(std::string_view backend_name)
    : backend(make_backend(backend_name, {.threads = 2})),
      scratch([this](std::size_t bytes) { return backend->allocate(bytes); }) {}

std::vector<std::string> backends_with(DType dtype) {
    std::vector<std::string> names;
    for (const char* name : {"ref", "cpu"}) {
        const auto backend = make_backend(name, {.threads = 2});
        if (backend->supports(Op::linear, dtype) && backend->supports(Op::conv2d, dtype)) names.emplace_back(name);
        else WARN("skipped: " << backend->description() << " does not compute in " << name_of(dtype));
    }
    return names;
}

double relative_error(const TensorView& a, const TensorView& b) {
    const auto x = a.as<float>(), y = b.as<float>();
    if (x.size() != y.size()) throw std::runtime_error("comparing " + a.shape.text() + " with " + b.shape.text());
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double d = static_cast<double>(x[i]) - static_cast<double>(y[i]);
        difference += d * d;
        norm += static_cast<double>(y[i]) * static_cast<double>(y[i]);
    }
    return std::sqrt(difference / norm);
}

void check_parity(const std::string& component, const std::string& name, double error, double limit) {
    if (const char* path = std::getenv("T2I_PARITY_REPORT")) {
        std::ofstream report(path, std::ios::app);
        report << component << '\t' << name << '\t' << error << '\t' << limit << '\n';
    }
    INFO(component << ", " << name << ": relative error " << error << ", limit " << limit);
    CHECK(error <= limit);
}

std::optional<fs::path> shared_data(const std::string& path) {
    const char* shared = std::getenv("T2I_SHARED_DIR");
    const fs::path found = (shared && *shared ? fs::path(shared) : source_folder() / ".." / "shared") / "data" / path;
    if (fs::exists(found)) return found;
    const char* required = std::getenv("T2I_REQUIRE_SHARED");
    if (required && std::string(required) == "1") FAIL("there is no " << found.string());
    WARN("skipped: there is no " << found.string());
    return std::nullopt;
}

}  // namespace t2i::test
