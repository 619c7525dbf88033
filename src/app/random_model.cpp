#include "app/random_model.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "checkpoint/safetensors.h"
#include "core/files.h"
#include "core/rng.h"
#include "core/tensor.h"
#include "ops/memory.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

const std::array<RandomShape, 5> shapes{{{"pixart-xl-2", 28, 16, 72, 2, 4096, 0},
                                         {"pixart-tiny", 2, 2, 72, 2, 24, 0},
                                         {"dit-xl-2", 28, 16, 72, 2, 0, 1000},
                                         {"dit-s-2", 12, 6, 64, 2, 0, 1000},
                                         {"dit-tiny", 2, 2, 72, 2, 0, 10}}};

constexpr std::int64_t channels = 4, out_channels = 8, time_width = 256;
constexpr std::uint64_t text_seed = 1000003;  // scripts/bench/peer_pixart.py draws from it too

// Collects tensors under the names that diffusers gives them.
class RandomTensors {
  public:
    void linear(const std::string& name, std::int64_t out, std::int64_t in) {
        add(name + ".weight", {out, in}, in);
        add(name + ".bias", {out}, in);
    }
    void add(const std::string& name, const Shape& shape, std::int64_t fan_in) {
        Tensor t = Tensor::host(shape, DType::bf16);
        const float scale = std::sqrt(3.0F / static_cast<float>(fan_in));
        for (auto& value : t.as<bf16>()) {
            state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX generator
            value = to_bf16((static_cast<float>(state_ >> 40) * 0x1p-23F - 1.0F) * scale);
        }
        tensors_.push_back(std::move(t));
        named_.push_back({name, tensors_.back().view});
    }
    // The numbers of every tensor whose name starts with `from` again, under names that start with `to`.
    void copy(const std::string& from, const std::string& to) {
        const std::vector<NamedTensor> before = named_;
        for (const auto& [name, view] : before)
            if (name.starts_with(from)) named_.push_back({to + name.substr(from.size()), view});
    }
    [[nodiscard]] const std::vector<NamedTensor>& named() const { return named_; }

  private:
    std::uint64_t state_ = 1;
    std::vector<Tensor> tensors_;
    std::vector<NamedTensor> named_;
};

void add_attention(RandomTensors& r, const std::string& attention, std::int64_t d) {
    for (const char* part : {".to_q", ".to_k", ".to_v", ".to_out.0"}) r.linear(attention + part, d, d);
}

void add_feed_forward(RandomTensors& r, const std::string& block, std::int64_t d) {
    r.linear(block + ".ff.net.0.proj", 4 * d, d);
    r.linear(block + ".ff.net.2", d, 4 * d);
}

void add_timestep_embedder(RandomTensors& r, const std::string& scope, std::int64_t d) {
    r.linear(scope + ".timestep_embedder.linear_1", d, time_width);
    r.linear(scope + ".timestep_embedder.linear_2", d, d);
}

std::string block_name(int i) {
    return "transformer_blocks." + std::to_string(i);
}

// PixArtTransformer2DModel
void add_pixart(RandomTensors& r, const RandomShape& s, std::int64_t d) {
    add_timestep_embedder(r, "adaln_single.emb", d);
    r.linear("adaln_single.linear", 6 * d, d);
    r.linear("caption_projection.linear_1", d, s.caption_channels);
    r.linear("caption_projection.linear_2", d, d);
    for (int i = 0; i < s.layers; ++i) {
        r.add(block_name(i) + ".scale_shift_table", {6, d}, d);
        add_attention(r, block_name(i) + ".attn1", d);
        add_attention(r, block_name(i) + ".attn2", d);
        add_feed_forward(r, block_name(i), d);
    }
    r.add("scale_shift_table", {2, d}, d);
    r.linear("proj_out", std::int64_t{s.patch} * s.patch * out_channels, d);
}

// DiTTransformer2DModel; every block has the first one's embedder, as in published checkpoints.
void add_dit(RandomTensors& r, const RandomShape& s, std::int64_t d) {
    const std::string embedder = ".norm1.emb";
    for (int i = 0; i < s.layers; ++i) {
        if (i > 0) {
            r.copy(block_name(0) + embedder + ".", block_name(i) + embedder + ".");
        } else {
            add_timestep_embedder(r, block_name(i) + embedder, d);
            r.add(block_name(i) + embedder + ".class_embedder.embedding_table.weight", {s.classes + 1, d}, d);
        }
        r.linear(block_name(i) + ".norm1.linear", 6 * d, d);
        add_attention(r, block_name(i) + ".attn1", d);
        add_feed_forward(r, block_name(i), d);
    }
    r.linear("proj_out_1", 2 * d, d);
    r.linear("proj_out_2", std::int64_t{s.patch} * s.patch * out_channels, d);
}

nlohmann::json config_of(const RandomShape& s, std::int64_t d) {
    nlohmann::json config{{"num_layers", s.layers},
                          {"num_attention_heads", s.heads},
                          {"attention_head_dim", s.head_size},
                          {"in_channels", channels},
                          {"out_channels", out_channels},
                          {"patch_size", s.patch},
                          {"sample_size", 32},
                          {"attention_bias", true},
                          {"norm_elementwise_affine", false},
                          {"activation_fn", "gelu-approximate"}};
    if (s.classes > 0)
        config.update({{"_class_name", "DiTTransformer2DModel"},
                       {"norm_type", "ada_norm_zero"},
                       {"norm_eps", 1e-5},
                       {"num_embeds_ada_norm", s.classes}});
    else
        config.update({{"_class_name", "PixArtTransformer2DModel"},
                       {"norm_type", "ada_norm_single"},
                       {"norm_eps", 1e-6},
                       {"num_embeds_ada_norm", 1000},
                       {"cross_attention_dim", d},
                       {"caption_channels", s.caption_channels},
                       {"interpolation_scale", 1},
                       {"use_additional_conditions", false}});
    return config;
}

}  // namespace

std::string random_model_names() {
    std::string names;
    for (const auto& shape : shapes) names += (names.empty() ? "" : ", ") + shape.name;
    return names;
}

RandomShape random_model_shape(const std::string& name) {
    for (const auto& shape : shapes)
        if (shape.name == name) return shape;
    throw Error(ErrorCode::invalid_argument, "no such model \"" + name + "\" (" + random_model_names() + ")", "--random");
}

void write_random_model(const RandomShape& s, const std::string& folder) {
    const std::int64_t d = std::int64_t{s.heads} * s.head_size;
    RandomTensors r;
    r.add("pos_embed.proj.weight", {d, channels, s.patch, s.patch}, channels * s.patch * s.patch);
    r.add("pos_embed.proj.bias", {d}, d);
    if (s.classes > 0) add_dit(r, s, d);
    else add_pixart(r, s, d);
    write_safetensors(folder + "/diffusion_pytorch_model.safetensors", r.named());
    const std::string text = config_of(s, d).dump(2);
    write_file_atomically(folder + "/config.json", text);
}

Conditioning random_conditioning(const ExecContext& ctx, const RandomShape& shape, std::int64_t rows, std::int64_t text_tokens) {
    if (shape.classes > 0) {
        LabelConditioning all;
        for (std::int64_t row = 0; row < rows; ++row)
            all.labels.push_back(static_cast<std::int32_t>(row < rows / 2 ? shape.classes : (row - rows / 2) % shape.classes));
        return all;
    }
    const Tensor text = Tensor::host({rows, text_tokens, shape.caption_channels});
    TorchGenerator(text_seed).normal(text.as<float>());
    return TextConditioning{
        .embeddings = upload(ctx.backend, text),
        .lengths = std::vector<std::int32_t>(static_cast<std::size_t>(rows), static_cast<std::int32_t>(text_tokens))};
}

}  // namespace t2i::app
