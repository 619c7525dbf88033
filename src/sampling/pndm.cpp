// Pseudo numerical methods (Liu et al. 2022, arXiv 2202.09778): four linear multistep steps back (PLMS), begun by Runge-Kutta
// steps of four evaluations (PRK) or, where those are skipped, by an improved Euler step; diffusers: PNDMScheduler.
#include <algorithm>
#include <array>
#include <cmath>

#include "sampling/samplers.h"
#include "sampling/schedule.h"
#include "t2i/error.h"

namespace t2i {

namespace {

class Plan {
  public:
    Plan(const ScheduleConfig& config, int steps)
        : config_(config),
          stride_(config.train_steps / steps),
          alphas_(alphas_cumprod(config)),
          final_alpha_(config.set_alpha_to_one ? 1.0F : alphas_.front()) {}

    // One evaluation at `timestep`, and a move from `from` to `to`. weights: of the model's outputs, newest first.
    void add(int timestep, int from, int to, bool begins, bool from_saved, const std::vector<double>& weights) {
        SamplerStep s{.timestep = static_cast<double>(timestep),
                      .begins_at = noise_mix(alphas_[index_of(config_, timestep)]),
                      .x0_from_model = 1.0};
        const float alpha = alphas_[index_of(config_, from)], alpha_to = to >= 0 ? alphas_[index_of(config_, to)] : final_alpha_;
        const float beta = 1.0F - alpha, beta_to = 1.0F - alpha_to;
        // Eq. 11: x' = √(ᾱ'/ᾱ) x − (ᾱ' − ᾱ) ε / (ᾱ √β' + √(ᾱ β ᾱ'))
        double of_x = std::sqrt(alpha_to / alpha);
        double of_noise = -(alpha_to - alpha) / (alpha * std::sqrt(beta_to) + std::sqrt(alpha * beta * alpha_to));
        if (config_.prediction == Prediction::v_prediction) {
            of_x += of_noise * std::sqrt(beta);
            of_noise *= std::sqrt(alpha);
        }
        s.saves = begins;
        s.saved_from_x = begins ? 1.0 : 0.0;
        (from_saved ? s.from_saved : s.from_x) = of_x;
        for (const double weight : weights) s.from_x0.push_back(of_noise * weight);
        plan.steps.push_back(std::move(s));
    }

    [[nodiscard]] int stride() const { return stride_; }
    SamplerPlan plan{};

  private:
    const ScheduleConfig& config_;
    int stride_;
    std::vector<float> alphas_;
    float final_alpha_;
};

// grid: ascending. Three steps of Runge-Kutta: at t, twice half a step on, and a step on.
void add_runge_kutta(Plan& plan, const std::vector<int>& grid) {
    const int half = plan.stride() / 2;
    std::vector<int> timesteps;  // as diffusers lays them out: t, t − half twice, the next t twice, …
    for (const int t : std::vector<int>(grid.end() - 4, grid.end())) {
        timesteps.push_back(t);
        timesteps.push_back(t + half);
    }
    timesteps.pop_back();
    std::vector<int> twice;
    for (const int t : timesteps) twice.insert(twice.end(), 2, t);
    twice = {twice.begin() + 1, twice.end() - 1};
    std::ranges::reverse(twice);
    static const std::array<std::vector<double>, 4> weights{{{1.0}, {1.0}, {1.0}, {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6}}};
    for (std::size_t i = 0; i < twice.size(); ++i)
        plan.add(twice[i], twice[i / 4 * 4], twice[i] - (i % 2 == 0 ? half : 0), i % 4 == 0, true, weights[i % 4]);
}

// Adams-Bashforth. ago: how many evaluations back each earlier output lies.
std::vector<double> multistep_weights(const std::vector<std::size_t>& ago) {
    static const std::array<std::vector<double>, 4> weights{
        {{1.0}, {3.0 / 2, -1.0 / 2}, {23.0 / 12, -16.0 / 12, 5.0 / 12}, {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}}};
    const std::vector<double>& of_output = weights[ago.size()];
    std::vector<double> list(ago.empty() ? 1 : ago.back() + 1);
    list[0] = of_output[0];
    for (std::size_t k = 0; k < ago.size(); ++k) list[ago[k]] = of_output[k + 1];
    return list;
}

class Pndm final : public Sampler {
  public:
    [[nodiscard]] SamplerPlan plan(const ScheduleConfig& config, int steps, int first) const override {
        check_abilities(config, "pndm", {});
        if (config.prediction == Prediction::sample)
            throw Error(ErrorCode::invalid_argument, "the sampler pndm does not support models that predict x0",
                        Field{"sampler"});
        std::vector<int> grid;  // ascending
        for (const double t : timestep_grid(config, steps, /*round_linspace=*/true)) grid.push_back(static_cast<int>(t));
        std::ranges::reverse(grid);
        Plan plan(config, steps);
        if (config.skip_prk_steps) {
            add_improved_euler(plan, grid, static_cast<std::size_t>(first));
        } else {
            if (first > 0)
                throw Error(
                    ErrorCode::invalid_argument,
                    "pndm begins with Runge-Kutta steps at the schedule's start, and so cannot begin with a picture; plms can",
                    Field{"sampler"});
            if (grid.size() < 4)
                throw Error(ErrorCode::invalid_argument, "pndm needs at least 4 steps; plms takes any", Field{"steps"});
            add_runge_kutta(plan, grid);
            // The outputs at the beginning of each Runge-Kutta step count, 4 evaluations apart; the last is 4 before the first.
            std::vector<std::size_t> ago{4, 8, 12};
            for (std::size_t i = grid.size() - 3; i-- > 0;) {
                plan.add(grid[i], grid[i], grid[i] - plan.stride(), false, false, multistep_weights(ago));
                ago = {1, ago[0] + 1, ago[1] + 1};
            }
        }
        return std::move(plan.plan);
    }

  private:
    // diffusers lays out the second timestep twice, and leaves out of this list what comes before `first`: a run that begins
    // there makes its improved step to the second of its timesteps, and the third goes on from that level as if it were its own.
    static void add_improved_euler(Plan& plan, const std::vector<int>& grid, std::size_t first) {
        std::vector<int> timesteps(grid.rbegin(), grid.rend());
        if (timesteps.size() > 1) timesteps.insert(timesteps.begin() + 1, timesteps[1]);
        timesteps.erase(timesteps.begin(), timesteps.begin() + static_cast<std::ptrdiff_t>(std::min(first, timesteps.size())));
        if (timesteps.empty()) return;
        plan.add(timesteps[0], timesteps[0], timesteps[0] - plan.stride(), true, false, {1.0});
        if (timesteps.size() < 2) return;
        // The mean of the slopes at both ends, from where the step began.
        plan.add(timesteps[1], timesteps[1] + plan.stride(), timesteps[1], false, true, {0.5, 0.5});
        std::vector<std::size_t> ago{2};  // the improved step's own output is not kept
        for (std::size_t i = 2; i < timesteps.size(); ++i) {
            plan.add(timesteps[i], timesteps[i], timesteps[i] - plan.stride(), false, false, multistep_weights(ago));
            for (std::size_t& a : ago) ++a;
            ago.insert(ago.begin(), 1);
            if (ago.size() > 3) ago.pop_back();
        }
    }
};

}  // namespace

std::unique_ptr<Sampler> make_pndm() {
    return std::make_unique<Pndm>();
}

}  // namespace t2i
