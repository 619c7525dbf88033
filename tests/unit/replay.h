// Executes a SamplerPlan on a vector, with any model and noise: what the pipeline's loop does, without a
// backend.
#pragma once

#include <deque>
#include <vector>

#include "sampling/sampler.h"

namespace t2i::test {

// `model(x scaled, timestep)` and `noise(draw)` return vectors of x's size. Returns x after every step.
template <typename Real, typename Model, typename Noise>
std::vector<std::vector<Real>> replay(const SamplerPlan& plan, std::vector<Real> x, Model&& model, Noise&& noise) {
    std::vector<std::vector<Real>> trajectory;
    std::deque<std::vector<Real>> history;  // x0, newest first
    int draws = 0;
    for (const SamplerStep& s : plan.steps) {
        std::vector<Real> seen = x;
        for (Real& v : seen) v *= static_cast<Real>(s.model_scale);
        const std::vector<Real> predicted = model(seen, s.timestep);
        std::vector<Real> x0(x.size());
        for (std::size_t j = 0; j < x.size(); ++j) {
            x0[j] = static_cast<Real>(s.x0_from_x) * x[j] + static_cast<Real>(s.x0_from_model) * predicted[j];
        }
        history.push_front(std::move(x0));
        const std::vector<Real> fresh = s.draws_noise ? noise(draws++) : std::vector<Real>(x.size());
        for (std::size_t j = 0; j < x.size(); ++j) {
            x[j] = static_cast<Real>(s.from_x) * x[j] + static_cast<Real>(s.from_noise) * fresh[j];
            for (std::size_t k = 0; k < s.from_x0.size(); ++k) x[j] += static_cast<Real>(s.from_x0[k]) * history[k][j];
        }
        trajectory.push_back(x);
    }
    return trajectory;
}

}  // namespace t2i::test
