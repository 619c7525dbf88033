#include "ops/backend.h"

#include <cstring>

namespace t2i {

std::string_view name_of(Op op) {
    switch (op) {
        case Op::linear:
            return "linear";
        case Op::attention:
            return "attention";
        case Op::norm_modulate:
            return "norm_modulate";
        case Op::rms_norm:
            return "rms_norm";
        case Op::group_norm:
            return "group_norm";
        case Op::conv2d:
            return "conv2d";
        case Op::upsample2x:
            return "upsample2x";
        case Op::unary:
            return "unary";
        case Op::gated_gelu:
            return "gated_gelu";
        case Op::lincomb:
            return "lincomb";
        case Op::gather:
            return "gather";
        case Op::patchify:
            return "patchify";
        case Op::unpatchify:
            return "unpatchify";
        case Op::timestep_embed:
            return "timestep_embed";
        case Op::cast:
            return "cast";
        case Op::to_channels_last:
            return "to_channels_last";
        case Op::to_channels_first:
            return "to_channels_first";
        case Op::residual_norm:
            return "residual_norm";
        case Op::sampler_update:
            return "sampler_update";
        case Op::limit:
            return "limit";
        case Op::to_rgb8:
            return "to_rgb8";
    }
    return "?";
}

namespace {

class RepeatedCall final : public Recording {
  public:
    explicit RepeatedCall(std::function<void()> work) : work_(std::move(work)) {}
    void replay() override { work_(); }

  private:
    std::function<void()> work_;
};

}  // namespace

std::unique_ptr<Recording> Backend::record(std::function<void()> work) {
    return std::make_unique<RepeatedCall>(std::move(work));
}

std::unique_ptr<PackedWeight> Backend::pack_stacked(std::span<const TensorView> weights, DType compute) {
    DType dtype = weights[0].dtype;  // f32 unless all have one type
    std::int64_t rows = 0;
    for (const TensorView& weight : weights) {
        rows += weight.shape[0];
        if (weight.dtype != dtype) dtype = DType::f32;
    }
    const Tensor stacked = Tensor::host({rows, weights[0].shape[1]}, dtype);
    std::int64_t row = 0;
    for (const TensorView& weight : weights) {
        const TensorView to = stacked.view.slice(row, weight.shape[0]);
        if (weight.dtype == dtype) std::memcpy(to.data, weight.data, weight.bytes());
        else convert_to_f32(weight.data, weight.dtype, static_cast<std::size_t>(weight.elements()), to.as<float>().data());
        row += weight.shape[0];
    }
    return pack_linear(stacked, compute);
}

}  // namespace t2i
