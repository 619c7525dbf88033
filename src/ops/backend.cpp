#include "ops/backend.h"

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

}  // namespace t2i
