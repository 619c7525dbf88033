#include "app/random_model.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "checkpoint/safetensors.h"
#include "core/tensor.h"
#include "pipeline/png.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

const std::array<PixArtShape, 2> shapes{{{"pixart-xl-2", 28, 16, 72, 2, 4096, 8}, {"pixart-tiny", 2, 2, 72, 2, 24, 8}}};

// Collects tensors whose names and shapes are those of PixArtTransformer2DModel.
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
    [[nodiscard]] const std::vector<NamedTensor>& named() const { return named_; }

  private:
    std::uint64_t state_ = 1;
    std::vector<Tensor> tensors_;
    std::vector<NamedTensor> named_;
};

void add_block(RandomTensors& r, const std::string& block, std::int64_t d) {
    r.add(block + ".scale_shift_table", {6, d}, d);
    for (const char* attention : {".attn1", ".attn2"})
        for (const char* part : {".to_q", ".to_k", ".to_v", ".to_out.0"}) r.linear(block + attention + part, d, d);
    r.linear(block + ".ff.net.0.proj", 4 * d, d);
    r.linear(block + ".ff.net.2", d, 4 * d);
}

}  // namespace

PixArtShape random_model_shape(const std::string& name) {
    std::string names;
    for (const auto& shape : shapes) {
        if (shape.name == name) return shape;
        names += (names.empty() ? "" : ", ") + shape.name;
    }
    throw Error(ErrorCode::usage, "no such model \"" + name + "\" (" + names + ")", "--random");
}

void write_random_pixart(const PixArtShape& s, const std::string& folder) {
    const std::int64_t d = std::int64_t{s.heads} * s.head_size;
    RandomTensors r;
    r.add("pos_embed.proj.weight", {d, 4, s.patch, s.patch}, 4 * s.patch * s.patch);
    r.add("pos_embed.proj.bias", {d}, d);
    r.linear("adaln_single.emb.timestep_embedder.linear_1", d, 256);
    r.linear("adaln_single.emb.timestep_embedder.linear_2", d, d);
    r.linear("adaln_single.linear", 6 * d, d);
    r.linear("caption_projection.linear_1", d, s.caption_channels);
    r.linear("caption_projection.linear_2", d, d);
    for (int i = 0; i < s.layers; ++i) add_block(r, "transformer_blocks." + std::to_string(i), d);
    r.add("scale_shift_table", {2, d}, d);
    r.linear("proj_out", std::int64_t{s.patch} * s.patch * s.out_channels, d);
    write_safetensors(folder + "/diffusion_pytorch_model.safetensors", r.named());

    const nlohmann::json config{{"_class_name", "PixArtTransformer2DModel"}, {"num_layers", s.layers},
                                {"num_attention_heads", s.heads}, {"attention_head_dim", s.head_size},
                                {"in_channels", 4}, {"out_channels", s.out_channels}, {"patch_size", s.patch},
                                {"sample_size", 32}, {"cross_attention_dim", d}, {"caption_channels", s.caption_channels},
                                {"attention_bias", true}, {"norm_type", "ada_norm_single"}, {"norm_elementwise_affine", false},
                                {"norm_eps", 1e-6}, {"activation_fn", "gelu-approximate"}, {"num_embeds_ada_norm", 1000},
                                {"interpolation_scale", 1}, {"use_additional_conditions", false}};
    const std::string text = config.dump(2);
    write_file_atomically(folder + "/config.json", {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace t2i::app
