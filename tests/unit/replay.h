// Executes a SamplerPlan on a vector, with any model and noise: what the pipeline's loop does, without a
// backend.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

#include "sampling/sampler.h"

namespace t2i::test {

// The limit of a data prediction, with the quantile of a few elements by sorting all of them.
template <typename Real>
void apply_limit(const PredictionLimit& limit, std::vector<Real>& x0) {
    if (limit.range == 0.0) return;
    Real bound = static_cast<Real>(limit.range);
    if (limit.quantile > 0.0) {
        std::vector<Real> sizes;
        for (const Real v : x0) sizes.push_back(std::abs(v));
        std::sort(sizes.begin(), sizes.end());
        const double place = limit.quantile * static_cast<double>(sizes.size() - 1);
        const auto below = static_cast<std::size_t>(place), above = std::min(below + 1, sizes.size() - 1);
        const Real quantile =
            sizes[below] + static_cast<Real>(place - static_cast<double>(below)) * (sizes[above] - sizes[below]);
        bound = std::min(std::max(quantile, Real{1}), bound);
    }
    for (Real& v : x0) {
        v = std::clamp(v, -bound, bound);
        if (limit.quantile > 0.0) v /= bound;
    }
}

// `model(x scaled, timestep)` and `noise(draw)` return vectors of x's size. Returns x after every step. sizes: where not null,
// also the largest Σ |term| of each step, sums within sums included: what its rounding is relative to.
template <typename Real, typename Model, typename Noise>
std::vector<std::vector<Real>> replay(const SamplerPlan& plan, std::vector<Real> x, Model&& model, Noise&& noise,
                                      std::vector<double>* sizes = nullptr) {
    // A vector and the size of what it is the sum of.
    struct Sum {
        std::vector<Real> values;
        double size = 0.0;
    };
    const auto largest = [](const std::vector<Real>& v) {
        double most = 0.0;
        for (const Real e : v) most = std::max(most, std::abs(static_cast<double>(e)));
        return most;
    };
    const auto real = [](double v) { return static_cast<Real>(v); };
    const auto add = [&](Sum& sum, double coefficient, const Sum& term) {
        if (coefficient == 0.0) return;
        for (std::size_t j = 0; j < sum.values.size(); ++j) sum.values[j] += real(coefficient) * term.values[j];
        sum.size += std::abs(coefficient) * term.size;
    };
    const auto plain = [&](std::vector<Real> v) {
        const double size = largest(v);
        return Sum{std::move(v), size};
    };
    std::deque<Sum> history;  // what was kept, newest first
    const auto add_history = [&](Sum& sum, const std::vector<double>& coefficients) {
        for (std::size_t k = 0; k < coefficients.size(); ++k)
            if (coefficients[k] != 0.0) add(sum, coefficients[k], history.at(k));
    };
    const std::size_t n = x.size();
    const Sum zero{std::vector<Real>(n), 0.0};
    std::vector<std::vector<Real>> trajectory;
    Sum state = plain(std::move(x)), saved = zero, old_noise = zero, fresh = zero;
    int draws = 0;
    for (const SamplerStep& s : plan.steps) {
        std::vector<Real> seen = state.values;
        for (Real& v : seen) v *= real(s.model_scale);
        const Sum predicted = plain(model(seen, s.timestep));
        Sum kept = zero;
        add(kept, s.x0_from_x, state);
        add(kept, s.x0_from_model, predicted);
        if (s.limit.range > 0.0) {
            apply_limit(s.limit, kept.values);
            Sum limited = zero;
            add(limited, s.kept_from_x0, kept);
            add(limited, s.kept_from_x, state);
            kept = std::move(limited);
        }
        history.push_front(std::move(kept));
        old_noise = fresh;
        if (s.draws_noise) fresh = plain(noise(draws++));
        if (s.saves) {
            Sum next = zero;
            add(next, s.saved_from_x, state);
            add(next, s.saved_from_saved, saved);
            add_history(next, s.saved_from_x0);
            add(next, s.saved_from_noise, old_noise);
            saved = std::move(next);
        }
        Sum next = zero;
        add(next, s.from_x, state);
        add(next, s.from_model, predicted);
        add(next, s.from_saved, saved);
        add_history(next, s.from_x0);
        if (s.draws_noise) add(next, s.from_noise, fresh);
        if (sizes != nullptr) sizes->push_back(next.size);
        state = plain(std::move(next.values));
        trajectory.push_back(state.values);
    }
    return trajectory;
}

}  // namespace t2i::test
