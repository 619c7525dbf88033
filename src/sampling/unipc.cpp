// UniPC: a predictor of the DPM-Solver kind, and a corrector that takes the next evaluation along (Zhao et al. 2023, arXiv
// 2302.04867, algorithms 5 to 8); diffusers: UniPCMultistepScheduler.
#include <algorithm>
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "sampling/solver_grid.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// The system R ρ = b by elimination with pivots. rows: [n][n + 1], b as last column.
std::vector<double> solve(std::vector<std::vector<double>> rows) {
    const std::size_t n = rows.size();
    for (std::size_t i = 0; i < n; ++i) {
        const auto largest = std::max_element(rows.begin() + static_cast<std::ptrdiff_t>(i), rows.end(),
                                              [i](const auto& a, const auto& b) { return std::abs(a[i]) < std::abs(b[i]); });
        std::iter_swap(rows.begin() + static_cast<std::ptrdiff_t>(i), largest);
        for (std::size_t j = 0; j < n; ++j) {
            if (j == i) continue;
            const double factor = rows[j][i] / rows[i][i];
            for (std::size_t k = i; k <= n; ++k) rows[j][k] -= factor * rows[i][k];
        }
    }
    std::vector<double> solution;
    for (std::size_t i = 0; i < n; ++i) solution.push_back(rows[i][n] / rows[i][i]);
    return solution;
}

// A move from level `from` to level `to` with the slopes to older levels: the shared part of predictor and corrector.
class Move {
  public:
    // older: the indices of levels before `from`, newest first.
    Move(const ScheduleConfig& config, const SolverGrid& grid, std::size_t to, std::size_t from, std::size_t order)
        : is_data_(config.predict_x0), to_(grid.levels[to]), from_(grid.levels[from]) {
        const float h = to_.lambda - from_.lambda, signed_h = is_data_ ? -h : h;
        for (std::size_t k = 1; k < order; ++k) ratios_.push_back((grid.levels[from - k].lambda - from_.lambda) / h);
        first_ = std::expm1(signed_h);
        scale_ = config.solver_type == "bh1" ? signed_h : first_;
        float phi = first_ / signed_h - 1.0F, factorial = 1.0F;
        for (std::size_t i = 1; i <= order; ++i) {
            right_.push_back(phi * factorial / scale_);
            factorial *= static_cast<float>(i + 1);
            phi = phi / signed_h - 1.0F / factorial;
        }
    }

    [[nodiscard]] double from_x() const { return is_data_ ? to_.sigma / from_.sigma : to_.alpha / from_.alpha; }
    // Of what was kept at `from`, before the slopes.
    [[nodiscard]] double of_base() const { return -(size() * first_); }
    // Of ρ_k (m_k − m_base).
    [[nodiscard]] double of_slope() const { return -(size() * scale_); }
    [[nodiscard]] double ratio(std::size_t k) const { return ratios_[k]; }

    // ρ of the predictor: one an older level.
    [[nodiscard]] std::vector<double> predictor_weights() const {
        if (ratios_.empty()) return {};
        if (ratios_.size() == 1) return {0.5};
        return solve(system(ratios_.size(), ratios_));
    }
    // ρ of the corrector: the last is that of the new evaluation.
    [[nodiscard]] std::vector<double> corrector_weights() const {
        if (ratios_.empty()) return {0.5};
        std::vector<float> ratios = ratios_;
        ratios.push_back(1.0F);
        return solve(system(ratios.size(), ratios));
    }

  private:
    [[nodiscard]] double size() const { return is_data_ ? to_.alpha : to_.sigma; }
    // Row i: r_k to the power of i.
    [[nodiscard]] std::vector<std::vector<double>> system(std::size_t n, const std::vector<float>& ratios) const {
        std::vector<std::vector<double>> rows;
        for (std::size_t i = 0; i < n; ++i) {
            std::vector<double>& row = rows.emplace_back();
            for (std::size_t k = 0; k < n; ++k) row.push_back(std::pow(static_cast<double>(ratios[k]), static_cast<double>(i)));
            row.push_back(right_[i]);
        }
        return rows;
    }

    bool is_data_;
    NoiseLevel to_, from_;
    std::vector<float> ratios_, right_;
    float first_ = 0.0F, scale_ = 0.0F;
};

// x at i, corrected: from the corrected x before by what was kept at i − 1, at older steps, and now.
void add_corrector(SamplerStep& s, const ScheduleConfig& config, const SolverGrid& grid, std::size_t i, std::size_t order) {
    const Move move(config, grid, i, i - 1, order);
    const std::vector<double> weights = move.corrector_weights();
    const double of_new = move.of_slope() * weights.back();
    s.saved_from_saved = move.from_x();
    s.saved_from_x0 = {of_new, move.of_base() - of_new};
    for (std::size_t k = 1; k < order; ++k) {
        const double slope = move.of_slope() * weights[k - 1] / move.ratio(k - 1);
        s.saved_from_x0.push_back(slope);
        s.saved_from_x0[1] -= slope;
    }
}

void add_predictor(SamplerStep& s, const ScheduleConfig& config, const SolverGrid& grid, std::size_t i, std::size_t order) {
    const Move move(config, grid, i + 1, i, order);
    const std::vector<double> weights = move.predictor_weights();
    s.from_saved = move.from_x();
    s.from_x0 = {move.of_base()};
    for (std::size_t k = 1; k < order; ++k) {
        const double slope = move.of_slope() * weights[k - 1] / move.ratio(k - 1);
        s.from_x0.push_back(slope);
        s.from_x0[0] -= slope;
    }
}

class UniPc final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "unipc", {.sigma_schedules = true, .flow_sigmas = true, .flow_prediction = config.predict_x0});
        const SolverGrid grid =
            solver_grid(config, steps, {.has_clipping = false, .ends_in_last = true, .counts_flow_down = true});
        const std::size_t count = grid.timesteps.size(), most = static_cast<std::size_t>(config.solver_order);
        SamplerPlan plan;
        std::size_t order = 0;
        const auto begin = static_cast<std::size_t>(first);
        for (std::size_t i = begin; i < count; ++i) {
            SamplerStep s = grid.step(i);
            s.saves = true;
            const NoiseLevel& level = grid.levels[i];
            if (config.predict_x0) keep_data(s, config, level.alpha, level.sigma);
            else keep_noise(s, config, level.alpha, level.sigma);
            const auto& without = config.disable_corrector;
            const bool is_off = i > begin && std::ranges::find(without, static_cast<int>(i) - 1) != without.end();
            if (i == begin || is_off || grid.is_repeated(i - 1)) s.saved_from_x = 1.0;
            else add_corrector(s, config, grid, i, order);
            order = std::min({most, config.lower_order_final ? count - i : most, i - begin + 1});
            // A slope over no distance is undefined.
            for (std::size_t k = 1; k < order; ++k)
                if (grid.is_repeated(i - k)) order = k;
            if (grid.is_repeated(i)) s.from_saved = 1.0;
            else add_predictor(s, config, grid, i, order);
            plan.steps.push_back(std::move(s));
        }
        return plan;
    }
};

}  // namespace

std::unique_ptr<Sampler> make_unipc() {
    return std::make_unique<UniPc>();
}

}  // namespace t2i
