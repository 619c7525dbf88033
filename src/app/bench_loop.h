// Times the whole denoising loop of a model whose weights need not mean anything.
#pragma once

#include <cstdint>
#include <string>

#include "app/bench_table.h"
#include "app/random_model.h"

namespace t2i::app {

struct LoopBench {
    RandomShape shape;
    int pictures = 1, steps = 20, text_tokens = 120;
    double cfg_scale = 4.5;  // PixArt's default
    int runs = 10, warm_ups = 3;
    std::string latents;  // a safetensors file for the last run's latents; empty: none
};

// DDIM with leading spacing and linear betas at 32x32 latents; picture i starts from the noise of seed i and is told to
// draw what random_conditioning() says: scripts/bench/vs_torch.py does the same. Its time is that of a whole loop for all
// pictures. ctx.tracer must be there: it counts the FLOP.
[[nodiscard]] BenchRow bench_loop(const ExecContext& ctx, std::unique_ptr<Denoiser> denoiser, const LoopBench& bench);

}  // namespace t2i::app
