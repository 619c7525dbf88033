// Reads and writes tensor elements of any storage type as numbers, so that each reference op is written once.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace t2i::ref {

enum class Element : std::uint8_t { f32, f16, bf16 };

// Elements to read.
struct In {
    const void* data = nullptr;
    Element type = Element::f32;

    explicit operator bool() const { return data != nullptr; }
    double operator[](std::int64_t i) const {
        if (type == Element::f32) return static_cast<const float*>(data)[i];
        const std::uint32_t bits = static_cast<const std::uint16_t*>(data)[i];
        return type == Element::bf16 ? std::bit_cast<float>(bits << 16) : from_f16(bits);
    }

  private:
    static double from_f16(std::uint32_t bits) {
        const double sign = (bits & 0x8000U) ? -1.0 : 1.0, fraction = bits & 1023U;
        const int exponent = static_cast<int>((bits >> 10) & 31U);
        if (exponent == 0) return sign * fraction * 0x1p-24;
        // Exponent 31 (infinity, NaN) goes through binary32, whose layout puts the same fields higher up.
        if (exponent == 31) return std::bit_cast<float>(((bits & 0x8000U) << 16) | 0x7F800000U | ((bits & 1023U) << 13));
        return sign * (1024.0 + fraction) * std::bit_cast<double>(static_cast<std::uint64_t>(1023 + exponent - 25) << 52);
    }
};

// Elements to write: f32, or bf16 rounded to nearest even.
struct Out {
    void* data = nullptr;
    Element type = Element::f32;

    void set(std::int64_t i, double value) const {
        const auto f = static_cast<float>(value);
        if (type == Element::f32) {
            static_cast<float*>(data)[i] = f;
            return;
        }
        const auto bits = std::bit_cast<std::uint32_t>(f);
        const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
        static_cast<std::uint16_t*>(data)[i] =
            static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40U : (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
    }
};

}  // namespace t2i::ref
