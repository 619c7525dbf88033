// Noise levels between two ends; diffusers: _convert_to_karras, _convert_to_lu, _convert_to_exponential, _convert_to_beta.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "sampling/schedule.h"

namespace t2i {

namespace {

// The continued fraction of I_x(a, b), by Lentz's method (Press et al., Numerical Recipes, section 6.4).
double beta_fraction(double x, double a, double b) {
    constexpr double least = 1e-300;
    constexpr int most_terms = 1000;
    const auto away_from_0 = [](double v) { return std::abs(v) < least ? least : v; };
    double c = 1.0, d = 1.0 / away_from_0(1.0 - (a + b) * x / (a + 1.0)), result = d;
    for (int m = 1; m <= most_terms; ++m) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1.0 / away_from_0(1.0 + even * d);
        c = away_from_0(1.0 + even / c);
        result *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1.0 / away_from_0(1.0 + odd * d);
        c = away_from_0(1.0 + odd / c);
        result *= d * c;
        if (std::abs(d * c - 1.0) < 1e-16) break;
    }
    return result;
}

double incomplete_beta(double x, double a, double b) {
    const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
    // The fraction converges fast on one side of the mean.
    return x < (a + 1.0) / (a + b + 2.0) ? front * beta_fraction(x, a, b) / a : 1.0 - front * beta_fraction(1.0 - x, b, a) / b;
}

}  // namespace

double beta_quantile(double p, double a, double b) {
    if (p <= 0.0) return 0.0;
    if (p >= 1.0) return 1.0;
    double low = 0.0, high = 1.0;
    // By halves until no double lies between; the function is monotonic.
    for (int i = 0; i < 2000; ++i) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) break;
        (incomplete_beta(middle, a, b) < p ? low : high) = middle;
    }
    return high;
}

std::vector<double> spaced_sigmas(SigmaSchedule schedule, double sigma_max, double sigma_min, int count) {
    std::vector<double> sigmas = linspace(0.0, 1.0, count);
    switch (schedule) {
        case SigmaSchedule::karras: {
            constexpr double rho = 7.0;
            const double from = std::pow(sigma_max, 1.0 / rho), to = std::pow(sigma_min, 1.0 / rho);
            for (double& s : sigmas) s = std::pow(from + s * (to - from), rho);
            return sigmas;
        }
        case SigmaSchedule::lu: {
            const double from = std::log(static_cast<float>(sigma_max)), to = std::log(static_cast<float>(sigma_min));
            for (double& s : sigmas) s = std::exp(from + s * (to - from));
            return sigmas;
        }
        case SigmaSchedule::exponential:
            sigmas = linspace(std::log(sigma_max), std::log(sigma_min), count);
            for (double& s : sigmas) s = std::exp(s);
            return sigmas;
        case SigmaSchedule::beta: {
            constexpr double shape = 0.6;
            for (double& s : sigmas) s = sigma_min + beta_quantile(1.0 - s, shape, shape) * (sigma_max - sigma_min);
            return sigmas;
        }
        case SigmaSchedule::discrete:
            break;
    }
    T2I_CHECK(false, "the discrete schedule has no σ of its own");
}

std::vector<double> spaced_sigmas(const ScheduleConfig& config, double sigma_max, double sigma_min, int count) {
    if (config.sigma_schedule == SigmaSchedule::lu) return spaced_sigmas(config.sigma_schedule, sigma_max, sigma_min, count);
    return spaced_sigmas(config.sigma_schedule, config.sigma_max.value_or(sigma_max), config.sigma_min.value_or(sigma_min),
                         count);
}

}  // namespace t2i
