#include "backend/gpu/device_ops.h"

#include <algorithm>
#include <optional>

#include "backend/kernel_arguments.h"
#include "core/check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

Storage storage(DType dtype) {
    if (dtype == DType::bf16) return Storage::bf16;
    T2I_CHECK(dtype == DType::f32 || dtype == DType::f16, "no kernel reads " + std::string(name_of(dtype)));
    return dtype == DType::f16 ? Storage::f16 : Storage::f32;
}
// Rows of a matrix of `rows` that share one row of `parameters`.
std::int64_t sharing(std::int64_t rows, const std::optional<TensorView>& parameters) {
    return parameters ? rows / parameters->shape.rows() : 1;
}

Sum sum_of(std::span<const LincombTerm> terms) {
    T2I_CHECK(terms.size() <= max_sum_terms,
              "a sum of " + std::to_string(terms.size()) + " terms; a kernel takes " + std::to_string(max_sum_terms));
    Sum sum;
    for (const LincombTerm& term : terms) {
        sum.coefficients[sum.terms] = term.coefficient;
        sum.x[sum.terms++] = floats(term.x);
    }
    return sum;
}

HeadColumns head_columns(const Columns& c) {
    const auto* data = static_cast<const std::byte*>(c.matrix.data);
    return {data + c.begin * static_cast<std::int64_t>(size_of(c.matrix.dtype)), c.matrix.shape.columns()};
}

}  // namespace

bool DeviceOps::supports(Op, DType dtype) const {
    return dtype == DType::f32 || dtype == DType::bf16;
}

void DeviceOps::linear(const LinearArgs& a) {
    const bool is_silu = a.activation == Activation::silu;
    MatmulArgs product{.x = a.x,
                       .weight = a.weight,
                       .bias = floats(a.bias),
                       .activation = is_silu ? Activation::none : a.activation,
                       .out = a.out};
    if (!is_silu && !a.gate && !a.residual) {
        multiply(product);
        return;
    }
    // Sums stay f32 up to the last rounding, and a residual must be there until it is added.
    const bool out_takes_sums = a.out.dtype == DType::f32 && !(a.residual && a.residual->data == a.out.data);
    if (!out_takes_sums)
        product.out = {workspace(static_cast<std::size_t>(a.out.elements()) * sizeof(float)), DType::f32, a.out.device,
                       a.out.shape};
    multiply(product);
    launch_product_epilogue({.rows = a.out.shape.rows(),
                             .columns = a.out.shape.columns(),
                             .x = floats(product.out),
                             .function = is_silu ? Function::silu : Function::identity,
                             .gate = floats(a.gate),
                             .rows_per_gate = sharing(a.out.shape.rows(), a.gate),
                             .after = floats(a.residual),
                             .after_rows = a.residual ? a.residual->shape.rows() : 1,
                             .out = mutable_elements(a.out)},
                            stream());
}

void DeviceOps::attention(const AttentionArgs& a) {
    launch_attention({.batch = a.batch,
                      .heads = a.heads,
                      .queries = a.q.matrix.shape.rows() / a.batch,
                      .keys = a.k.matrix.shape.rows() / a.batch,
                      .head_size = a.q.width / a.heads,
                      .is_bf16 = a.out.dtype == DType::bf16,
                      .rounded_weights = rounds_weights(),
                      .q = head_columns(a.q),
                      .k = head_columns(a.k),
                      .v = head_columns(a.v),
                      .scale = a.scale,
                      .bias = floats(a.bias),
                      .key_lengths = a.key_lengths ? static_cast<const std::int32_t*>(a.key_lengths->data) : nullptr,
                      .out = a.out.data},
                     stream());
}

void DeviceOps::norm_modulate(const NormModulateArgs& a) {
    launch_norm_modulate({.rows = a.x.shape.rows(),
                          .columns = a.x.shape.columns(),
                          .x = floats(a.x),
                          .shift = floats(a.shift),
                          .scale = floats(a.scale),
                          .rows_per_group = sharing(a.x.shape.rows(), a.shift),
                          .eps = a.eps,
                          .out = mutable_elements(a.out)},
                         stream());
}

void DeviceOps::rms_norm(const TensorView& x, const TensorView& weight, float eps, const TensorView& out) {
    launch_rms_norm({.rows = x.shape.rows(),
                     .columns = x.shape.columns(),
                     .x = floats(x),
                     .weight = floats(weight),
                     .eps = eps,
                     .out = mutable_elements(out)},
                    stream());
}

void DeviceOps::residual_norm(const ResidualNormArgs& a) {
    const std::int64_t rows = a.stream.shape.rows();
    launch_residual_norm({.rows = rows,
                          .columns = a.stream.shape.columns(),
                          .y = elements(a.y),
                          .gate = floats(a.gate),
                          .rows_per_gate = sharing(rows, a.gate),
                          .values = mutable_floats(a.stream),
                          .shift = floats(a.shift),
                          .scale = floats(a.scale),
                          .rows_per_group = sharing(rows, a.shift),
                          .eps = a.eps,
                          .out = mutable_elements(a.out)},
                         stream());
}

void DeviceOps::group_norm(const GroupNormArgs& a) {
    const Shape& s = a.x.shape;
    const std::int64_t pixels = s[1] * s[2];
    void* const scratch = workspace(group_norm_scratch_bytes(s[0], pixels, s[3], a.groups));
    launch_group_norm({.batch = s[0],
                       .pixels = pixels,
                       .channels = s[3],
                       .groups = a.groups,
                       .x = elements(a.x),
                       .weight = floats(a.weight),
                       .bias = floats(a.bias),
                       .eps = a.eps,
                       .silu = a.activation == Activation::silu,
                       .out = mutable_elements(a.out)},
                      scratch, stream());
}

void DeviceOps::conv2d(const Conv2dArgs& a) {
    ConvolutionArgs convolution{.x = a.x,
                                .weight = a.weight,
                                .bias = floats(a.bias),
                                .stride = a.stride,
                                .padding = a.padding,
                                .activation = a.residual ? Activation::none : a.activation,
                                .out = a.out};
    if (!a.residual) {
        convolve(convolution);
        return;
    }
    const bool out_takes_sums = a.out.dtype == DType::f32 && a.residual->data != a.out.data;
    const std::int64_t pictures = a.x.shape[0],
                       picture_bytes = a.out.elements() / pictures * static_cast<std::int64_t>(sizeof(float));
    const std::int64_t part =
        out_takes_sums ? pictures : std::clamp(conv2d_scratch_bytes / picture_bytes, std::int64_t{1}, pictures);
    for (std::int64_t begin = 0; begin < pictures; begin += part) {
        const std::int64_t count = std::min(part, pictures - begin);
        const TensorView out = a.out.slice(begin, count), residual = a.residual->slice(begin, count);
        convolution.x = a.x.slice(begin, count);
        convolution.out = out;
        if (!out_takes_sums)
            convolution.out = {workspace(static_cast<std::size_t>(count * picture_bytes)), DType::f32, out.device, out.shape};
        convolve(convolution);
        launch_product_epilogue({.rows = out.shape.rows(),
                                 .columns = out.shape.columns(),
                                 .x = floats(convolution.out),
                                 .before = elements(residual),
                                 .function = function(a.activation),
                                 .out = mutable_elements(out)},
                                stream());
    }
}

void DeviceOps::finish_convolution(const TensorView& sums, const float* bias, Activation activation, const TensorView& out) {
    launch_product_epilogue({.rows = sums.shape.rows(),
                             .columns = sums.shape.columns(),
                             .x = floats(sums),
                             .bias = bias,
                             .function = function(activation),
                             .out = mutable_elements(out)},
                            stream());
}

void DeviceOps::upsample2x(const TensorView& x, const TensorView& out) {
    launch_upsample2x(elements(x), x.shape[0], x.shape[1], x.shape[2], x.shape[3], mutable_elements(out), stream());
}

void DeviceOps::unary(Unary f, const TensorView& x, const TensorView& out) {
    launch_unary(function(f), elements(x), x.elements(), mutable_elements(out), stream());
}

void DeviceOps::gated_gelu(const TensorView& x, const TensorView& out) {
    launch_gated_gelu(elements(x), out.shape.rows(), out.shape.columns(), mutable_elements(out), stream());
}

void DeviceOps::lincomb(std::span<const LincombTerm> terms, const TensorView& out) {
    launch_lincomb(sum_of(terms), out.elements(), mutable_floats(out), stream());
}

void DeviceOps::sampler_update(const SamplerUpdateArgs& a) {
    launch_sampler_update({.count = a.x.elements(),
                           .to_x0 = sum_of(a.x0_terms),
                           .to_x = sum_of(a.x_terms),
                           .x0 = mutable_floats(a.x0),
                           .x = mutable_floats(a.x),
                           .input_scale = a.input_scale,
                           .inputs = a.inputs ? mutable_floats(*a.inputs) : nullptr,
                           .copies = a.inputs ? a.inputs->elements() / a.x.elements() : 0,
                           .step = a.step,
                           .first_bad = static_cast<std::int32_t*>(a.first_bad.data)},
                          stream());
}

void DeviceOps::limit(const LimitArgs& a) {
    const std::int64_t columns = a.x.shape.columns();
    if (a.quantile == 0.0) {
        launch_clamp(mutable_floats(a.x), a.x.elements(), a.range, stream());
        return;
    }
    const QuantilePlace place = quantile_place(a.quantile, columns);
    launch_threshold(mutable_floats(a.x), a.x.shape.rows(), static_cast<std::int32_t>(columns),
                     static_cast<std::int32_t>(place.below), place.weight, a.range, stream());
}

void DeviceOps::gather(const TensorView& table, std::span<const std::int32_t> ids, const TensorView& out) {
    launch_gather(table.data, storage(table.dtype), table.shape[1], ids.data(), static_cast<std::int64_t>(ids.size()),
                  mutable_floats(out), stream());
}

void DeviceOps::patchify(const TensorView& latents, std::int64_t patch, const TensorView& out) {
    const Shape& s = latents.shape;
    launch_patchify({.batch = s[0], .channels = s[1], .height = s[2], .width = s[3], .patch = patch}, floats(latents),
                    mutable_elements(out), stream());
}

void DeviceOps::unpatchify(const TensorView& tokens, std::int64_t patch, const TensorView& out) {
    const Shape& s = out.shape;
    launch_unpatchify({.batch = s[0],
                       .channels = s[1],
                       .height = s[2],
                       .width = s[3],
                       .patch = patch,
                       .token_channels = tokens.shape.columns() / (patch * patch)},
                      floats(tokens), mutable_floats(out), stream());
}

void DeviceOps::timestep_embed(std::span<const float> timesteps, float shift, const TensorView& out) {
    launch_timestep_embed(timesteps.data(), static_cast<std::int64_t>(timesteps.size()), out.shape.columns(), shift,
                          mutable_elements(out), stream());
}

void DeviceOps::cast(const TensorView& x, const TensorView& out) {
    if (is_block_type(x.dtype))
        return launch_unpack_blocks(block_type(x.dtype), x.data, x.elements(), mutable_elements(out), stream());
    launch_cast(x.data, storage(x.dtype), x.elements(), out.data, storage(out.dtype), stream());
}

void DeviceOps::to_rgb8(const TensorView& x, const TensorView& out) {
    launch_to_rgb8(floats(x), x.elements(), static_cast<std::uint8_t*>(out.data), stream());
}

void DeviceOps::to_channels_last(const TensorView& x, const TensorView& out) {
    launch_to_channels_last(floats(x), x.shape[0], x.shape[1], x.shape[2] * x.shape[3], mutable_elements(out), stream());
}

void DeviceOps::to_channels_first(const TensorView& x, const TensorView& out) {
    launch_to_channels_first(elements(x), x.shape[0], x.shape[3], x.shape[1] * x.shape[2], mutable_floats(out), stream());
}

}  // namespace t2i::cuda
