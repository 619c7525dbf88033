#include "app/bench_loop.h"

#include <array>
#include <chrono>
#include <numeric>
#include <vector>

#include "checkpoint/safetensors.h"
#include "ops/memory.h"
#include "pipeline/denoise.h"
#include "sampling/sampler.h"

namespace t2i::app {

namespace {

constexpr std::int64_t sample_size = 32;

SamplerPlan ddim_plan(int steps) {
    ScheduleConfig config;
    config.class_name = "DDIMScheduler";
    config.timestep_spacing = "leading";
    return sampler_by_name("ddim").make()->plan(config, steps);
}

void save_latents(const ExecContext& ctx, const DenoiseLoop& loop, const std::string& path) {
    const Tensor host = Tensor::host(loop.latents().shape);
    ctx.backend.copy(loop.latents(), host);
    const std::array<NamedTensor, 1> named{{{"latents", host.view}}};
    write_safetensors(path, named);
}

}  // namespace

BenchRow bench_loop(const ExecContext& ctx, const Denoiser& denoiser, const LoopBench& bench) {
    const bool guided = bench.cfg_scale > 1;
    DenoiseLoop loop(ctx, denoiser,
                     {.plan = ddim_plan(bench.steps),
                      .cfg_scale = bench.cfg_scale,
                      .guided = guided,
                      .latents = {bench.pictures, denoiser.channels(), sample_size, sample_size},
                      .text_tokens = bench.shape.classes > 0 ? 1 : bench.text_tokens});
    loop.set_text(random_conditioning(ctx, bench.shape, loop.model_rows(), bench.text_tokens));
    std::vector<std::uint64_t> seeds(static_cast<std::size_t>(bench.pictures));
    std::iota(seeds.begin(), seeds.end(), std::uint64_t{0});

    BenchRow row{"denoise, " + std::to_string(bench.steps) + " steps" + (guided ? " with CFG, " : ", ") +
                     std::to_string(bench.pictures) + (bench.pictures == 1 ? " picture" : " pictures"),
                 {}};
    for (int run = -bench.warm_ups; run < bench.runs; ++run) {
        const double flops = ctx.tracer->flops();
        const auto start = std::chrono::steady_clock::now();
        loop.run({.seeds = seeds, .progress = {}, .meanwhile = {}});
        ctx.backend.wait(ctx.backend.fence());
        if (run >= 0)
            row.times_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        row.flops = ctx.tracer->flops() - flops;
    }
    if (!bench.latents.empty()) save_latents(ctx, loop, bench.latents);
    return row;
}

}  // namespace t2i::app
