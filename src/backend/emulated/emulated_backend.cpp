#include "backend/emulated/emulated_backend.h"

#include <charconv>
#include <cstring>
#include <vector>

#include "backend/gpu/device_ops.h"
#include "backend/kernel_arguments.h"
#include "backend/ref/arguments.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/emulation/emulator.h"
#include "t2i/error.h"

namespace t2i {

// Of kernels/cuda/cuda_kernels.h.
void cuda::check_launch(cudaError_t status, const char* launcher) {
    if (status != cudaSuccess)
        throw Error(ErrorCode::resource, std::string("emulated GPU: ") + cudaGetErrorString(status) + " (" + launcher + ")");
}

namespace {

using emulation::Order;

using ref::in;
using ref::out;

ref::In bias_of(const float* bias) {
    return bias ? ref::In{bias} : ref::In{};
}
ref::Function product_function(Activation a) {
    T2I_CHECK(a != Activation::silu, "SiLU is not a product's to apply");
    return function(a);
}

// Rounded to the compute dtype, as f32, in memory of the emulated GPU.
struct EmulatedWeight final : PackedWeight {
    Buffer values;
};

emulation::Settings settings_of(std::string_view name) {
    constexpr std::string_view plain = "emulated";
    const auto refuse = [&] {
        return Error(ErrorCode::usage,
                     "no backend '" + std::string(name) + "'; there are emulated, emulated:reverse and emulated:N", "--device");
    };
    if (name == plain) return {};
    if (name.substr(0, plain.size() + 1) != "emulated:") throw refuse();
    const std::string_view order = name.substr(plain.size() + 1);
    // In one of the orders what is uninitialised is no NaN, which some functions drop, but a large number.
    if (order == "reverse") return {.order = Order::reverse, .fill = 0x7E};
    std::uint64_t seed = 0;
    const auto [end, problem] = std::from_chars(order.data(), order.data() + order.size(), seed);
    if (problem != std::errc{} || end != order.data() + order.size()) throw refuse();
    return {.order = Order::shuffled, .seed = seed};
}

class EmulatedBackend final : public cuda::DeviceOps {
  public:
    explicit EmulatedBackend(const emulation::Settings& settings) : settings_(settings) {}

    std::string_view name() const override { return "emulated"; }
    std::string description() const override {
        constexpr const char* orders[] = {"in order", "in reverse order", "shuffled"};
        return std::string("the GPU's kernels, emulated (threads ") + orders[static_cast<int>(settings_.order)] + ")";
    }
    Device device() const override { return Device::cuda; }
    Buffer allocate(std::size_t bytes) override {
        try {
            return {emulation::allocate(bytes, settings_.fill), bytes, Device::cuda,
                    [](void* memory) { emulation::release(memory); }};
        } catch (const std::bad_alloc&) {
            throw Error(ErrorCode::resource, "out of memory: " + std::to_string(bytes) + " bytes wanted for the emulated GPU");
        }
    }
    void copy(const TensorView& from, const TensorView& to) override {
        T2I_CHECK(from.dtype == to.dtype && from.elements() == to.elements(), "copy of unlike tensors");
        std::memcpy(to.data, from.data, from.bytes());
    }
    std::unique_ptr<PackedWeight> pack_linear(const TensorView& weight, DType compute) override { return pack(weight, compute); }
    std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute, const Conv2dUse&) override {
        return pack(weight, compute);
    }

  protected:
    // Called once for each operation, before its kernels run.
    cudaStream_t stream() const override {
        emulation::use(settings_);
        return nullptr;
    }
    void multiply(const cuda::MatmulArgs& a) override {
        ref::linear({.m = a.x.shape.rows(),
                     .n = a.weight->shape[0],
                     .k = a.weight->shape[1],
                     .x = in(a.x),
                     .weight = values(a.weight),
                     .bias = bias_of(a.bias),
                     .function = product_function(a.activation),
                     .gate = {},
                     .gate_rows = 1,
                     .residual = {},
                     .residual_rows = 1,
                     .out = out(a.out)});
    }
    void convolve(const cuda::ConvolutionArgs& a) override {
        ref::Conv2d c = ref::conv2d_sizes(a.x.shape, a.weight->shape, a.stride, a.padding);
        c.x = in(a.x);
        c.weight = values(a.weight);
        c.bias = bias_of(a.bias);
        c.function = product_function(a.activation);
        c.out = out(a.out);
        ref::conv2d(c);
    }
    // New each time, so that nothing is found there that the operation has not put there.
    void* workspace(std::size_t bytes) override {
        workspace_ = {};
        workspace_ = allocate(bytes);
        return workspace_.data();
    }

  private:
    std::unique_ptr<PackedWeight> pack(const TensorView& weight, DType compute) {
        auto packed = std::make_unique<EmulatedWeight>();
        packed->shape = weight.shape;
        packed->compute = compute;
        const auto count = static_cast<std::size_t>(weight.elements());
        packed->values = allocate(count * sizeof(float));
        auto* const to = static_cast<float*>(packed->values.data());
        convert_to_f32(weight.data, weight.dtype, count, to);
        if (compute == DType::bf16)
            for (std::size_t i = 0; i < count; ++i) to[i] = to_f32(to_bf16(to[i]));
        return packed;
    }
    static const float* values(const PackedWeight* weight) {
        const auto* packed = dynamic_cast<const EmulatedWeight*>(weight);
        T2I_CHECK(packed != nullptr, "a weight packed by another backend");
        return static_cast<const float*>(packed->values.data());
    }

    emulation::Settings settings_;
    Buffer workspace_;
};

}  // namespace

std::unique_ptr<Backend> make_emulated_backend(std::string_view name) {
    return std::make_unique<EmulatedBackend>(settings_of(name));
}

std::string emulation_summary() {
    const emulation::Counts c = emulation::counts();
    return std::to_string(c.kernels) + " kernels, " + std::to_string(c.launches) + " launches, " + std::to_string(c.blocks) +
           " blocks";
}

}  // namespace t2i
