// The stream of torch.Generator("cpu"), so that a seed means the same noise here and in diffusers.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace t2i {

// MT19937 seeded as torch does: by the low 32 bits of the seed.
class TorchGenerator {
  public:
    explicit TorchGenerator(std::uint64_t seed);
    [[nodiscard]] std::uint32_t next();
    // What torch.randn(out.size(), generator=g, dtype=float32) writes into a contiguous tensor, to a few ULP
    // (specs: 16-blocks Box-Muller from 24-bit uniforms; under 16 elements, cached double Box-Muller).
    void normal(std::span<float> out);

  private:
    void refill();
    [[nodiscard]] double next_normal();
    std::array<std::uint32_t, 624> state_{};
    std::size_t index_ = 624;
    bool has_cached_normal_ = false;
    double cached_normal_ = 0.0;
};

}  // namespace t2i
