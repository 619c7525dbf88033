// β, ᾱ and σ of a noise schedule, as diffusers' schedulers make them in float32.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "core/check.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

// torch.linspace in float32, which fills from both ends; its vector code rounds once per element (fused
// multiply-add).
std::vector<float> torch_linspace(float first, float last, int count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    const float step = count > 1 ? (last - first) / static_cast<float>(count - 1) : 0.0F;
    for (int i = 0; i < count; ++i) {
        values[static_cast<std::size_t>(i)] = i < count / 2 || count == 1
                                                  ? std::fma(step, static_cast<float>(i), first)
                                                  : std::fma(-step, static_cast<float>(count - i - 1), last);
    }
    return values;
}

// 1 − ᾱ(t + 1/n)/ᾱ(t), at most 0.999 (diffusers: betas_for_alpha_bar).
std::vector<float> betas_for(const std::function<double(double)>& alpha_bar, int count) {
    std::vector<float> betas;
    for (int i = 0; i < count; ++i) {
        const double from = alpha_bar(static_cast<double>(i) / count), to = alpha_bar(static_cast<double>(i + 1) / count);
        betas.push_back(static_cast<float>(std::min(1.0 - to / from, 0.999)));
    }
    return betas;
}

// Nichol and Dhariwal 2021, eq. 17.
double cosine_alpha_bar(double t) {
    const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
}

double laplace_alpha_bar(double t) {
    const double lambda = -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1.0 - 2.0 * std::abs(0.5 - t) + 1e-6);
    const double snr = std::exp(lambda);
    return std::sqrt(snr / (1.0 + snr));
}

std::vector<float> schedule_betas(const ScheduleConfig& config) {
    const int count = config.train_steps;
    const auto start = static_cast<float>(config.beta_start), end = static_cast<float>(config.beta_end);
    if (!config.trained_betas.empty()) return config.trained_betas;
    if (config.beta_schedule == "linear") return torch_linspace(start, end, count);
    if (config.beta_schedule == "squaredcos_cap_v2") return betas_for(cosine_alpha_bar, count);
    if (config.beta_schedule == "laplace") return betas_for(laplace_alpha_bar, count);
    if (config.beta_schedule == "exp") return betas_for([](double t) { return std::exp(t * -12.0); }, count);
    if (config.beta_schedule == "sigmoid") {
        std::vector<float> betas = torch_linspace(-6.0F, 6.0F, count);
        const auto range = static_cast<float>(config.beta_end - config.beta_start);
        for (float& b : betas) b = 1.0F / (1.0F + std::exp(-b)) * range + start;
        return betas;
    }
    T2I_CHECK(config.beta_schedule == "scaled_linear", "beta schedule " + config.beta_schedule);
    std::vector<float> betas =
        torch_linspace(static_cast<float>(std::sqrt(config.beta_start)), static_cast<float>(std::sqrt(config.beta_end)), count);
    for (float& b : betas) b = b * b;
    return betas;
}

std::vector<float> cumulative(std::span<const float> betas) {
    std::vector<float> alphas;
    double product = 1.0;  // torch.cumprod on the CPU accumulates float32 in double
    for (const float beta : betas) {
        product *= static_cast<double>(1.0F - beta);
        alphas.push_back(static_cast<float>(product));
    }
    return alphas;
}

// √ᾱ shifted and scaled so that the last one is 0 and the first stays (Lin et al. 2024, algorithm 1).
std::vector<float> zero_terminal_snr(std::span<const float> betas) {
    std::vector<float> alphas = cumulative(betas);
    for (float& a : alphas) a = std::sqrt(a);
    const float first = alphas.front(), last = alphas.back(), scale = first / (first - last);
    for (float& a : alphas) {
        a = (a - last) * scale;
        a = a * a;
    }
    std::vector<float> rescaled{1.0F - alphas.front()};
    for (std::size_t i = 1; i < alphas.size(); ++i) rescaled.push_back(1.0F - alphas[i] / alphas[i - 1]);
    return rescaled;
}

}  // namespace

std::vector<float> alphas_cumprod(const ScheduleConfig& config) {
    const std::vector<float> betas = schedule_betas(config);
    return cumulative(config.zero_snr && betas.size() > 1 ? zero_terminal_snr(betas) : betas);
}

std::vector<float> sigmas_of(std::span<const float> alphas_cumprod) {
    std::vector<float> sigmas;
    for (const float a : alphas_cumprod) sigmas.push_back(std::sqrt((1.0F - a) / a));
    return sigmas;
}

std::vector<float> training_sigmas(const ScheduleConfig& config) {
    std::vector<float> alphas = alphas_cumprod(config);
    if (config.zero_snr) alphas.back() = 0x1p-24F;
    return sigmas_of(alphas);
}

}  // namespace t2i
