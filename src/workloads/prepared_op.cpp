#include "workloads/prepared_op.h"

#include <algorithm>
#include <cmath>

#include "core/blocks.h"
#include "ops/ops.h"

namespace t2i {
namespace {
constexpr std::int64_t guard_bytes = 256;
constexpr std::uint8_t guard_byte = 0xA5, unwritten_byte = 0xFF;  // 0xFFFF… is a NaN in f32 and bf16
}  // namespace

PreparedOp::PreparedOp(Backend& backend, DType dtype, Fill fill)
    : backend_(backend),
      dtype_(dtype),
      fill_(fill),
      scratch_([&backend](std::size_t bytes) { return backend.allocate(bytes); }) {}

// xorshift64*: the same numbers everywhere, and quick (Vigna 2016, "An experimental exploration of
// Marsaglia's xorshift generators, scrambled").
float PreparedOp::next_value() {
    random_ ^= random_ >> 12;
    random_ ^= random_ << 25;
    random_ ^= random_ >> 27;
    const auto bits = static_cast<std::uint32_t>((random_ * 0x2545F4914F6CDD1DU) >> 40);  // 24 of them
    if (fill_ == Fill::integers) return static_cast<float>(bits % 5U) - 2.0F;
    const float real = (static_cast<float>(bits) + 0.5F) * 0x1p-23F - 1.0F;
    return fill_ == Fill::magnitudes ? std::fabs(real) : real;
}

std::vector<float> PreparedOp::numbers(std::int64_t count, float amplitude) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& v : values) v = next_value() * amplitude;
    return values;
}

std::vector<std::int32_t> PreparedOp::indices(std::int64_t count, std::int32_t below) {
    std::vector<std::int32_t> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<std::int32_t>((i * 7919 + 3) % static_cast<std::size_t>(below));
    return values;
}

TensorView PreparedOp::upload(const TensorView& host, const TensorView& to) {
    backend_.copy(host, to);
    return to;
}

TensorView PreparedOp::input_of(const Tensor& host) {
    traffic_bytes_ += static_cast<std::int64_t>(host.view.bytes());
    buffers_.push_back(backend_.allocate(host.view.bytes()));
    return upload(host, {buffers_.back().data(), host.view.dtype, buffers_.back().device(), host.shape()});
}

TensorView PreparedOp::input(const Shape& shape, DType dtype, float amplitude) {
    const std::vector<float> values = numbers(shape.elements(), amplitude);
    const Tensor host = Tensor::host(shape, dtype);
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (dtype == DType::bf16) host.as<bf16>()[i] = to_bf16(values[i]);
        else host.as<float>()[i] = values[i];
    }
    return input_of(host);
}

TensorView PreparedOp::f16_input(const Shape& shape) {
    const Tensor host = Tensor::host(shape, DType::f16);
    std::uint32_t i = 0;
    // Every sign, exponent (subnormal to 2^15) and many fractions in turn.
    for (f16& v : host.as<f16>()) v.bits = static_cast<std::uint16_t>((i++ * 0x0A35U) & 0xFBFFU);
    return input_of(host);
}

Tensor PreparedOp::blocks(const Shape& shape, DType dtype) {
    Tensor host = Tensor::host(shape, dtype);
    const std::vector<float> values = numbers(shape.elements());
    pack_blocks(values.data(), values.size(), dtype, host.view.data);
    return host;
}

TensorView PreparedOp::block_input(const Shape& shape, DType dtype) {
    return input_of(blocks(shape, dtype));
}

TensorView PreparedOp::integers(const std::vector<std::int32_t>& values) {
    const Tensor host = Tensor::host({static_cast<std::int64_t>(values.size())}, DType::i32);
    std::ranges::copy(values, host.as<std::int32_t>().begin());
    return input_of(host);
}

const PackedWeight* PreparedOp::linear_weight(std::int64_t n, std::int64_t k) {
    traffic_bytes_ += n * k * static_cast<std::int64_t>(size_of(dtype_));
    weights_.push_back(ops::pack_linear(backend_, Tensor::from(numbers(n * k), {n, k}), dtype_));
    return weights_.back().get();
}

const PackedWeight* PreparedOp::block_weight(std::int64_t n, std::int64_t k, DType dtype) {
    const Tensor host = blocks({n, k}, dtype);
    traffic_bytes_ += static_cast<std::int64_t>(host.view.bytes());
    weights_.push_back(ops::pack_linear(backend_, host, dtype_));
    return weights_.back().get();
}

const PackedWeight* PreparedOp::conv2d_weight(const Shape& shape, const Conv2dUse& use) {
    traffic_bytes_ += shape.elements() * static_cast<std::int64_t>(size_of(dtype_));
    weights_.push_back(ops::pack_conv2d(backend_, Tensor::from(numbers(shape.elements()), shape), dtype_, use));
    return weights_.back().get();
}

TensorView PreparedOp::guarded(const Shape& shape, DType dtype) {
    const auto bytes = shape.elements() * static_cast<std::int64_t>(size_of(dtype));
    traffic_bytes_ += bytes;
    const Tensor host = Tensor::host({bytes + 2 * guard_bytes}, DType::u8);
    for (std::uint8_t& byte : host.as<std::uint8_t>()) byte = guard_byte;
    for (std::uint8_t& byte : host.view.slice(guard_bytes, bytes).as<std::uint8_t>()) byte = unwritten_byte;
    buffers_.push_back(backend_.allocate(host.view.bytes()));
    guarded_ = upload(host, {buffers_.back().data(), DType::u8, buffers_.back().device(), host.shape()});
    out_ = {static_cast<std::byte*>(guarded_.data) + guard_bytes, dtype, guarded_.device, shape};
    return out_;
}

TensorView PreparedOp::output(const Shape& shape, DType dtype) {
    return guarded(shape, dtype);
}

TensorView PreparedOp::in_place(const Shape& shape, DType dtype) {
    const TensorView values = input(shape, dtype);
    return upload(values, guarded(shape, dtype));
}

void PreparedOp::run() {
    call_({backend_, scratch_, nullptr});
}

std::vector<std::byte> PreparedOp::out_bytes() const {
    const Tensor host = Tensor::host(out_.shape, out_.dtype);
    backend_.copy(out_, host);
    const auto* bytes = static_cast<const std::byte*>(host.view.data);
    return {bytes, bytes + host.view.bytes()};
}

std::vector<float> PreparedOp::out_values() const {
    std::vector<float> values(static_cast<std::size_t>(out_.elements()));
    const auto bytes = out_bytes();
    if (out_.dtype == DType::u8)
        std::ranges::transform(bytes, values.begin(), [](std::byte b) { return static_cast<float>(std::to_integer<int>(b)); });
    else convert_to_f32(bytes.data(), out_.dtype, values.size(), values.data());
    return values;
}

bool PreparedOp::guards_intact() const {
    const Tensor host = Tensor::host(guarded_.shape, DType::u8);
    backend_.copy(guarded_, host);
    const auto bytes = host.as<std::uint8_t>();
    const auto intact = [](std::span<std::uint8_t> guard) {
        for (const std::uint8_t byte : guard)
            if (byte != guard_byte) return false;
        return true;
    };
    return intact(bytes.first(guard_bytes)) && intact(bytes.last(guard_bytes));
}

}  // namespace t2i
