// The DiT transformer against diffusers' DiTTransformer2DModel (scripts/golden/dit.py).
#include <algorithm>
#include <cstring>

#include "models/registry.h"
#include "ops/memory.h"
#include "support/catch.h"
#include "support/fixture.h"

namespace t2i::test {
namespace {

nlohmann::json find_case(const std::string& name) {
    const auto manifest = read_manifest("dit");
    for (const auto& c : manifest.at("cases"))
        if (c.at("name") == name) return c;
    throw std::runtime_error("no case " + name);
}

// The first channels of each picture: the reference also returns a learned variance.
Tensor first_channels(const TensorView& all, const Shape& shape) {
    Tensor kept = Tensor::host(shape);
    for (std::int64_t b = 0; b < shape[0]; ++b)
        std::memcpy(kept.view.slice(b, 1).data, all.slice(b, 1).data, kept.view.slice(b, 1).bytes());
    return kept;
}

// The worst relative error over all timesteps.
double measure(const nlohmann::json& c, const std::string& backend, DType compute, const FolderOptions& options = {}) {
    const auto results = read_results("dit");
    const TempFolder folder;
    write_component(c, folder.path(), options);
    Machine machine(backend);
    const auto model = load_denoiser(*machine.backend, folder.path().string(), compute);
    CHECK(model->classes() == 10);
    const Tensor latents = generate(c.at("latents"));
    const Tensor x = upload(*machine.backend, latents), out = allocate(*machine.backend, latents.shape());
    const auto timesteps = c.at("timesteps").get<std::vector<float>>();
    const auto labels = c.at("labels").get<std::vector<std::int32_t>>();
    const auto run = model->begin(machine.ctx(), {.timesteps = timesteps, .latents = latents.shape()});
    // Other labels before: a run takes new ones in place of them.
    run->condition(machine.ctx(), LabelConditioning{std::vector<std::int32_t>(labels.size(), 2)});
    run->condition(machine.ctx(), LabelConditioning{labels});
    double worst = 0;
    const Tensor host = Tensor::host(latents.shape());
    for (std::size_t step = 0; step < timesteps.size(); ++step) {
        run->predict(machine.ctx(), static_cast<std::int64_t>(step), x, out);
        machine.backend->copy(out, host);
        const auto name = c.at("name").get<std::string>() + "." + std::to_string(step);
        worst = std::max(worst, relative_error(host, first_channels(results->tensor(name), latents.shape())));
    }
    return worst;
}

}  // namespace

TEST_CASE("DiT agrees with diffusers in many shapes") {
    const auto manifest = read_manifest("dit");
    for (const auto& c : manifest.at("cases"))
        for (const char* backend : {"ref", "cpu", "emulated"})
            check_parity("DiT transformer", c.at("name").get<std::string>() + " f32 " + backend, measure(c, backend, DType::f32),
                         1e-4);
}

TEST_CASE("DiT in bf16 stays near the f32 reference") {
    const auto backends = backends_with(DType::bf16);
    const auto manifest = read_manifest("dit");
    for (const auto& c : manifest.at("cases"))
        for (const auto& backend : backends)
            check_parity("DiT transformer", c.at("name").get<std::string>() + " bf16 " + backend,
                         measure(c, backend, DType::bf16), 2e-2);
}

TEST_CASE("DiT under the class name that it had before diffusers 0.27") {
    const auto c = find_case("copied_embedders");
    CHECK(measure(c, "cpu", DType::f32, {.config_patch = {{"_class_name", "Transformer2DModel"}}}) <= 1e-4);
}

TEST_CASE("DiT reads sharded checkpoints") {
    CHECK(measure(find_case("own_embedders"), "cpu", DType::f32, {.shards = 3}) <= 1e-4);
}

}  // namespace t2i::test
