// One call of an operation with made-up tensors, ready to run on a backend: what tests compare and benchmarks
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ops/exec_context.h"

namespace t2i {

enum class Fill : std::uint8_t {
    integers,    // -2 … 2: sums of products are exact in every dtype and any order
    reals,       // uniform in (-1, 1), rounded to the dtype
    magnitudes,  // the absolute values of `reals`: a sum of products then bounds that sum's rounding
};

// Makes the tensors of a call, the same for every backend with the same fill. Owns them and packed weights.
class PreparedOp {
  public:
    PreparedOp(Backend& backend, DType dtype, Fill fill);
    PreparedOp(const PreparedOp&) = delete;
    PreparedOp& operator=(const PreparedOp&) = delete;

    [[nodiscard]] DType dtype() const { return dtype_; }  // of the activations
    [[nodiscard]] Fill fill() const { return fill_; }

    // Inputs in the backend's memory; `amplitude` multiplies the fill.
    TensorView input(const Shape& shape, DType dtype, float amplitude = 1.0F);
    TensorView f16_input(const Shape& shape);
    TensorView block_input(const Shape& shape, DType dtype);
    TensorView integers(const std::vector<std::int32_t>& values);  // i32, as they are
    std::vector<float> numbers(std::int64_t count, float amplitude = 1.0F);
    std::vector<std::int32_t> indices(std::int64_t count, std::int32_t below);
    const PackedWeight* linear_weight(std::int64_t n, std::int64_t k);
    const PackedWeight* block_weight(std::int64_t n, std::int64_t k, DType dtype);
    const PackedWeight* conv2d_weight(const Shape& shape, const Conv2dUse& use = {});

    // The output lies between guards and starts as NaN, or holds a fill where the op works in place.
    TensorView output(const Shape& shape, DType dtype);
    TensorView in_place(const Shape& shape, DType dtype);

    // Corrects traffic_bytes() where the call does not read each input or write each output once.
    void add_traffic(std::int64_t bytes) { traffic_bytes_ += bytes; }
    // What one call must move between memory and processor: its inputs and outputs, each once, in their dtypes.
    [[nodiscard]] std::int64_t traffic_bytes() const { return traffic_bytes_; }

    void set_call(std::function<void(const ExecContext&)> call) { call_ = std::move(call); }
    void run();  // through ops::, checks included

    [[nodiscard]] const TensorView& out() const { return out_; }
    [[nodiscard]] std::vector<float> out_values() const;     // as f32, in host memory
    [[nodiscard]] std::vector<std::byte> out_bytes() const;  // in host memory
    [[nodiscard]] bool guards_intact() const;

  private:
    TensorView upload(const TensorView& host, const TensorView& to);
    TensorView input_of(const Tensor& host);
    float next_value();
    [[nodiscard]] Tensor blocks(const Shape& shape, DType dtype);
    TensorView guarded(const Shape& shape, DType dtype);

    Backend& backend_;
    DType dtype_;
    Fill fill_;
    std::int64_t traffic_bytes_ = 0;
    std::uint64_t random_ = 0x9E3779B97F4A7C15U;
    std::vector<Buffer> buffers_;
    std::vector<std::unique_ptr<PackedWeight>> weights_;
    TensorView out_, guarded_;  // guarded_: u8, guards and output
    Arena scratch_;
    std::function<void(const ExecContext&)> call_;
};

}  // namespace t2i
