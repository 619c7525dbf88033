#include "app/bench_loop.h"

#include <array>
#include <chrono>
#include <numeric>
#include <vector>

#include "checkpoint/safetensors.h"
#include "core/number_text.h"
#include "generators/diffusion.h"
#include "ops/memory.h"

namespace t2i::app {

namespace {

constexpr std::int64_t sample_size = 32;

std::shared_ptr<const GenerationPlan> ddim_plan(int steps, double cfg_scale) {
    const auto rules = make_diffusion_rules(
        R"({"_class_name": "DDIMScheduler", "timestep_spacing": "leading", "clip_sample": false})", "DDIM", {});
    GenerateRequest request;
    request.steps = steps;
    request.cfg_scale = cfg_scale;
    return rules->plan(request);
}

void save_latents(const ExecContext& ctx, const TensorView& latents, const std::string& path) {
    const Tensor host = Tensor::host(latents.shape);
    ctx.backend.copy(latents, host);
    const std::array<NamedTensor, 1> named{{{"latents", host.view}}};
    write_safetensors(path, named);
}

}  // namespace

BenchRow bench_loop(const ExecContext& ctx, std::unique_ptr<Denoiser> denoiser, const LoopBench& bench) {
    const RunSettings settings{.plan = ddim_plan(bench.steps, bench.cfg_scale),
                               .pictures = bench.pictures,
                               .height = sample_size,
                               .width = sample_size,
                               .text_rows = bench.shape.classes > 0 ? 0 : std::int64_t{bench.text_tokens}};
    const bool guided = settings.plan->guided;
    const auto generator = make_diffusion(std::move(denoiser));
    const auto loop = generator->begin(ctx, settings);
    loop->condition(random_conditioning(ctx, bench.shape, settings.model_rows(), bench.text_tokens));
    std::vector<std::uint64_t> seeds(static_cast<std::size_t>(bench.pictures));
    std::iota(seeds.begin(), seeds.end(), std::uint64_t{0});

    BenchRow row{
        "denoise, " + counted(bench.steps, "step") + (guided ? " with CFG, " : ", ") + counted(bench.pictures, "picture"), {}};
    for (int run = -bench.warm_ups; run < bench.runs; ++run) {
        const double flops = ctx.tracer->flops();
        const auto start = std::chrono::steady_clock::now();
        loop->run({.seeds = seeds, .progress = {}, .meanwhile = {}});
        ctx.backend.wait(ctx.backend.fence());
        if (run >= 0)
            row.times_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        row.flops = ctx.tracer->flops() - flops;
    }
    if (!bench.latents.empty()) save_latents(ctx, loop->result(), bench.latents);
    return row;
}

}  // namespace t2i::app
