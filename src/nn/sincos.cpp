#include "nn/sincos.h"

#include <cmath>
#include <vector>

namespace t2i {
namespace {

// [sin(p·ω_k), cos(p·ω_k)], ω_k = 10000^(−k / count); p is float32 and the rest float64, as in diffusers.
void encode(float position, std::span<const double> omega, float* to) {
    for (std::size_t k = 0; k < omega.size(); ++k) {
        const double angle = static_cast<double>(position) * omega[k];
        to[k] = static_cast<float>(std::sin(angle));
        to[omega.size() + k] = static_cast<float>(std::cos(angle));
    }
}

}  // namespace

Tensor sincos_positions(const SincosGrid& grid, std::int64_t width) {
    T2I_CHECK(width % 4 == 0 && grid.rows > 0 && grid.columns > 0, "positions of width " + std::to_string(width));
    std::vector<double> omega(static_cast<std::size_t>(width / 4));
    for (std::size_t k = 0; k < omega.size(); ++k)
        omega[k] = 1.0 / std::pow(10000.0, static_cast<double>(k) / static_cast<double>(omega.size()));

    const auto position = [&](std::int64_t index, std::int64_t extent) {
        const auto stretch = static_cast<float>(static_cast<double>(extent) / static_cast<double>(grid.base));
        return static_cast<float>(index) / stretch / static_cast<float>(grid.interpolation_scale);
    };
    Tensor table = Tensor::host({grid.rows * grid.columns, width});
    float* to = table.as<float>().data();
    for (std::int64_t row = 0; row < grid.rows; ++row)
        for (std::int64_t column = 0; column < grid.columns; ++column, to += width) {
            encode(position(column, grid.columns), omega, to);
            encode(position(row, grid.rows), omega, to + width / 2);
        }
    return table;
}

}  // namespace t2i
