#include "core/rng.h"

#include <cmath>
#include <numbers>

namespace t2i {

namespace {

constexpr std::size_t block = 16;  // torch transforms uniforms to normals in blocks of this size

// Box-Muller over one block: uniforms u in [0, 1) become normals. torch: cpu/DistributionTemplates.h,
// normal_fill_16.
void uniforms_to_normals(float* u) {
    for (std::size_t j = 0; j < block / 2; ++j) {
        const float radius = std::sqrt(-2.0F * std::log(1.0F - u[j]));
        const float theta = 2.0F * std::numbers::pi_v<float> * u[j + block / 2];
        u[j] = radius * std::cos(theta);
        u[j + block / 2] = radius * std::sin(theta);
    }
}

}  // namespace

// MT19937, Matsumoto and Nishimura 1998: init_genrand.
TorchGenerator::TorchGenerator(std::uint64_t seed) {
    state_[0] = static_cast<std::uint32_t>(seed);
    for (std::uint32_t i = 1; i < state_.size(); ++i) {
        state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
    }
}

void TorchGenerator::refill() {
    constexpr std::size_t n = 624, m = 397;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t y = (state_[i] & 0x80000000U) | (state_[(i + 1) % n] & 0x7FFFFFFFU);
        state_[i] = state_[(i + m) % n] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908B0DFU : 0U);
    }
    index_ = 0;
}

std::uint32_t TorchGenerator::next() {
    if (index_ == state_.size()) refill();
    std::uint32_t y = state_[index_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680U;
    y ^= (y << 15) & 0xEFC60000U;
    return y ^ (y >> 18);
}

void TorchGenerator::normal(std::span<float> out) {
    if (out.size() < block) {
        for (float& value : out) value = static_cast<float>(next_normal());
        return;
    }
    const auto fill = [this](std::span<float> part) {
        constexpr std::uint32_t mask = (1U << 24) - 1;  // a float holds 24 significant bits
        for (float& u : part) u = static_cast<float>(next() & mask) * 0x1p-24F;
    };
    fill(out);
    for (std::size_t i = 0; i + block <= out.size(); i += block) uniforms_to_normals(&out[i]);
    if (out.size() % block != 0) {
        // torch redraws the last whole block, over values that are normal already.
        const auto tail = out.last(block);
        fill(tail);
        uniforms_to_normals(tail.data());
    }
}

// torch: core/DistributionsHelper.h, normal_distribution<double>, which caches the second of each pair.
double TorchGenerator::next_normal() {
    if (has_cached_normal_) {
        has_cached_normal_ = false;
        return cached_normal_;
    }
    const auto uniform = [this] {
        const std::uint64_t high = next(), low = next();
        return static_cast<double>(((high << 32) | low) & ((std::uint64_t{1} << 53) - 1)) * 0x1p-53;
    };
    const double u1 = uniform(), u2 = uniform();
    const double radius = std::sqrt(-2.0 * std::log1p(-u2)), theta = 2.0 * std::numbers::pi * u1;
    cached_normal_ = radius * std::sin(theta);
    has_cached_normal_ = true;
    return radius * std::cos(theta);
}

}  // namespace t2i
