#include "backend/registry.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/ref/ref_backend.h"
#include "t2i/error.h"

namespace t2i {
namespace {

struct Row {
    std::string_view name;
    std::unique_ptr<Backend> (*make)(const BackendOptions& options);
};

constexpr Row rows[] = {
    {"cpu", [](const BackendOptions& options) { return make_cpu_backend(options.threads); }},
    {"ref", [](const BackendOptions&) { return make_ref_backend(); }},
};

}  // namespace

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
    std::string known;
    for (const Row& row : rows) {
        if (row.name == name) return row.make(options);
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw Error(ErrorCode::usage, "no backend '" + std::string(name) + "' in this binary; it has " + known);
}

std::vector<std::string> backend_names() {
    std::vector<std::string> names;
    for (const Row& row : rows) names.emplace_back(row.name);
    return names;
}

DType default_compute_dtype(const Backend& backend) {
    // The reference backend takes bf16 for tests, but nothing about it is faster in bf16.
    return backend.name() != "ref" && backend.supports(Op::linear, DType::bf16) ? DType::bf16 : DType::f32;
}

}  // namespace t2i
