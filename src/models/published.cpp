#include "models/published.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "core/nearest.h"
#include "models/name_rules.h"
#include "models/published_config.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// facebookresearch/DiT, models.py → diffusers, scripts/convert_dit_to_diffusers.py. diffusers has the embedders once a block.
constexpr std::array facebook_dit_rules{
    NameRule{"pos_embed", nullptr},  // recomputed
    NameRule{"x_embedder.proj.*", "pos_embed.proj.*"},
    NameRule{"t_embedder.mlp.0.*", "transformer_blocks.@.norm1.emb.timestep_embedder.linear_1.*"},
    NameRule{"t_embedder.mlp.2.*", "transformer_blocks.@.norm1.emb.timestep_embedder.linear_2.*"},
    NameRule{"y_embedder.embedding_table.*", "transformer_blocks.@.norm1.emb.class_embedder.embedding_table.*"},
    NameRule{"blocks.#.adaLN_modulation.1.*", "transformer_blocks.#.norm1.linear.*"},
    NameRule{"blocks.#.attn.qkv.*", "transformer_blocks.#.attn1.to_q.*", 0, 3},
    NameRule{"blocks.#.attn.qkv.*", "transformer_blocks.#.attn1.to_k.*", 1, 3},
    NameRule{"blocks.#.attn.qkv.*", "transformer_blocks.#.attn1.to_v.*", 2, 3},
    NameRule{"blocks.#.attn.proj.*", "transformer_blocks.#.attn1.to_out.0.*"},
    NameRule{"blocks.#.mlp.fc1.*", "transformer_blocks.#.ff.net.0.proj.*"},
    NameRule{"blocks.#.mlp.fc2.*", "transformer_blocks.#.ff.net.2.*"},
    NameRule{"final_layer.adaLN_modulation.1.*", "proj_out_1.*"},
    NameRule{"final_layer.linear.*", "proj_out_2.*"},
};

// PixArt-alpha and PixArt-sigma, diffusion/model/nets → diffusers, scripts/convert_pixart_{alpha,sigma}_to_diffusers.py.
constexpr std::array pixart_rules{
    NameRule{"pos_embed", nullptr},               // recomputed
    NameRule{"y_embedder.y_embedding", nullptr},  // the text of no prompt, which the pipelines encode
    NameRule{"x_embedder.proj.*", "pos_embed.proj.*"},
    NameRule{"t_embedder.mlp.0.*", "adaln_single.emb.timestep_embedder.linear_1.*"},
    NameRule{"t_embedder.mlp.2.*", "adaln_single.emb.timestep_embedder.linear_2.*"},
    NameRule{"csize_embedder.mlp.0.*", "adaln_single.emb.resolution_embedder.linear_1.*"},
    NameRule{"csize_embedder.mlp.2.*", "adaln_single.emb.resolution_embedder.linear_2.*"},
    NameRule{"ar_embedder.mlp.0.*", "adaln_single.emb.aspect_ratio_embedder.linear_1.*"},
    NameRule{"ar_embedder.mlp.2.*", "adaln_single.emb.aspect_ratio_embedder.linear_2.*"},
    NameRule{"t_block.1.*", "adaln_single.linear.*"},
    NameRule{"y_embedder.y_proj.fc1.*", "caption_projection.linear_1.*"},
    NameRule{"y_embedder.y_proj.fc2.*", "caption_projection.linear_2.*"},
    NameRule{"blocks.#.scale_shift_table", "transformer_blocks.#.scale_shift_table"},
    NameRule{"blocks.#.attn.qkv.*", "transformer_blocks.#.attn1.to_q.*", 0, 3},
    NameRule{"blocks.#.attn.qkv.*", "transformer_blocks.#.attn1.to_k.*", 1, 3},
    NameRule{"blocks.#.attn.qkv.*", "transformer_blocks.#.attn1.to_v.*", 2, 3},
    NameRule{"blocks.#.attn.proj.*", "transformer_blocks.#.attn1.to_out.0.*"},
    NameRule{"blocks.#.cross_attn.q_linear.*", "transformer_blocks.#.attn2.to_q.*"},
    NameRule{"blocks.#.cross_attn.kv_linear.*", "transformer_blocks.#.attn2.to_k.*", 0, 2},
    NameRule{"blocks.#.cross_attn.kv_linear.*", "transformer_blocks.#.attn2.to_v.*", 1, 2},
    NameRule{"blocks.#.cross_attn.proj.*", "transformer_blocks.#.attn2.to_out.0.*"},
    NameRule{"blocks.#.mlp.fc1.*", "transformer_blocks.#.ff.net.0.proj.*"},
    NameRule{"blocks.#.mlp.fc2.*", "transformer_blocks.#.ff.net.2.*"},
    NameRule{"final_layer.scale_shift_table", "scale_shift_table"},
    NameRule{"final_layer.linear.*", "proj_out.*"},
};

// CompVis/latent-diffusion, ldm/modules/diffusionmodules/model.py → diffusers, loaders/single_file_utils.py
// (convert_ldm_vae_checkpoint), where the decoder's levels are counted from the other end; and diffusers' own older names of the
// middle attention. Its weights may be 1x1 convolutions under any name.
constexpr std::array autoencoder_rules{
    NameRule{"loss*", nullptr},       // of the training: a perceptual loss, a discriminator
    NameRule{"model_ema*", nullptr},  // averaged weights, whose names have no dots
    NameRule{"encoder.norm_out.*", "encoder.conv_norm_out.*"},
    NameRule{"decoder.norm_out.*", "decoder.conv_norm_out.*"},
    NameRule{"encoder.down.#.block.#.norm*", "encoder.down_blocks.#.resnets.#.norm*"},
    NameRule{"encoder.down.#.block.#.conv*", "encoder.down_blocks.#.resnets.#.conv*"},
    NameRule{"encoder.down.#.block.#.nin_shortcut.*", "encoder.down_blocks.#.resnets.#.conv_shortcut.*"},
    NameRule{"encoder.down.#.downsample.conv.*", "encoder.down_blocks.#.downsamplers.0.conv.*"},
    NameRule{"decoder.up.#.block.#.norm*", "decoder.up_blocks.~.resnets.#.norm*"},
    NameRule{"decoder.up.#.block.#.conv*", "decoder.up_blocks.~.resnets.#.conv*"},
    NameRule{"decoder.up.#.block.#.nin_shortcut.*", "decoder.up_blocks.~.resnets.#.conv_shortcut.*"},
    NameRule{"decoder.up.#.upsample.conv.*", "decoder.up_blocks.~.upsamplers.0.conv.*"},
    NameRule{"encoder.mid.block_1.*", "encoder.mid_block.resnets.0.*"},
    NameRule{"encoder.mid.block_2.*", "encoder.mid_block.resnets.1.*"},
    NameRule{"decoder.mid.block_1.*", "decoder.mid_block.resnets.0.*"},
    NameRule{"decoder.mid.block_2.*", "decoder.mid_block.resnets.1.*"},
    NameRule{"encoder.mid.attn_1.norm.*", "encoder.mid_block.attentions.0.group_norm.*"},
    NameRule{"encoder.mid.attn_1.q.*", "encoder.mid_block.attentions.0.to_q.*", 0, 1, true},
    NameRule{"encoder.mid.attn_1.k.*", "encoder.mid_block.attentions.0.to_k.*", 0, 1, true},
    NameRule{"encoder.mid.attn_1.v.*", "encoder.mid_block.attentions.0.to_v.*", 0, 1, true},
    NameRule{"encoder.mid.attn_1.proj_out.*", "encoder.mid_block.attentions.0.to_out.0.*", 0, 1, true},
    NameRule{"decoder.mid.attn_1.norm.*", "decoder.mid_block.attentions.0.group_norm.*"},
    NameRule{"decoder.mid.attn_1.q.*", "decoder.mid_block.attentions.0.to_q.*", 0, 1, true},
    NameRule{"decoder.mid.attn_1.k.*", "decoder.mid_block.attentions.0.to_k.*", 0, 1, true},
    NameRule{"decoder.mid.attn_1.v.*", "decoder.mid_block.attentions.0.to_v.*", 0, 1, true},
    NameRule{"decoder.mid.attn_1.proj_out.*", "decoder.mid_block.attentions.0.to_out.0.*", 0, 1, true},
    NameRule{"encoder.mid_block.attentions.0.query.*", "encoder.mid_block.attentions.0.to_q.*", 0, 1, true},
    NameRule{"encoder.mid_block.attentions.0.key.*", "encoder.mid_block.attentions.0.to_k.*", 0, 1, true},
    NameRule{"encoder.mid_block.attentions.0.value.*", "encoder.mid_block.attentions.0.to_v.*", 0, 1, true},
    NameRule{"encoder.mid_block.attentions.0.proj_attn.*", "encoder.mid_block.attentions.0.to_out.0.*", 0, 1, true},
    NameRule{"encoder.mid_block.attentions.0.to_*", "encoder.mid_block.attentions.0.to_*", 0, 1, true},
    NameRule{"decoder.mid_block.attentions.0.query.*", "decoder.mid_block.attentions.0.to_q.*", 0, 1, true},
    NameRule{"decoder.mid_block.attentions.0.key.*", "decoder.mid_block.attentions.0.to_k.*", 0, 1, true},
    NameRule{"decoder.mid_block.attentions.0.value.*", "decoder.mid_block.attentions.0.to_v.*", 0, 1, true},
    NameRule{"decoder.mid_block.attentions.0.proj_attn.*", "decoder.mid_block.attentions.0.to_out.0.*", 0, 1, true},
    NameRule{"decoder.mid_block.attentions.0.to_*", "decoder.mid_block.attentions.0.to_*", 0, 1, true},
};

// What ComfyUI lays beside 8-bit weights: scales, which apply_rules() uses, and notes about them.
constexpr std::array t5_rules{
    NameRule{"scaled_fp8", nullptr},    NameRule{"*.scale_weight", nullptr}, NameRule{"*.weight_scale", nullptr},
    NameRule{"*.scale_input", nullptr}, NameRule{"*.input_scale", nullptr},  NameRule{"*.comfy_quant", nullptr},
};

// llama.cpp, gguf-py's tensor names of T5; a whole T5 has a decoder, too.
constexpr std::array gguf_t5_rules{
    NameRule{"token_embd.weight", "shared.weight"},
    NameRule{"enc.blk.#.attn_q.weight", "encoder.block.#.layer.0.SelfAttention.q.weight"},
    NameRule{"enc.blk.#.attn_k.weight", "encoder.block.#.layer.0.SelfAttention.k.weight"},
    NameRule{"enc.blk.#.attn_v.weight", "encoder.block.#.layer.0.SelfAttention.v.weight"},
    NameRule{"enc.blk.#.attn_o.weight", "encoder.block.#.layer.0.SelfAttention.o.weight"},
    NameRule{"enc.blk.#.attn_rel_b.weight", "encoder.block.#.layer.0.SelfAttention.relative_attention_bias.weight"},
    NameRule{"enc.blk.#.attn_norm.weight", "encoder.block.#.layer.0.layer_norm.weight"},
    NameRule{"enc.blk.#.ffn_norm.weight", "encoder.block.#.layer.1.layer_norm.weight"},
    NameRule{"enc.blk.#.ffn_gate.weight", "encoder.block.#.layer.1.DenseReluDense.wi_0.weight"},
    NameRule{"enc.blk.#.ffn_up.weight", "encoder.block.#.layer.1.DenseReluDense.wi_1.weight"},
    NameRule{"enc.blk.#.ffn_down.weight", "encoder.block.#.layer.1.DenseReluDense.wo.weight"},
    NameRule{"enc.output_norm.weight", "encoder.final_layer_norm.weight"},
    NameRule{"dec.*", nullptr},
    NameRule{"output.weight", nullptr},
};

// A maker's files are told by a tensor that no other maker has.
struct Family {
    PartKind kind;
    const char* anchor;     // the end of that tensor's name; what stands before it is a prefix of all names
    const char* preferred;  // how that prefix ends where a file holds the weights several times; may be null
    std::span<const NameRule> rules;
    const char* blocks;  // begins the names of its blocks, or levels
    void (*derive)(Derivation&);
};
const std::array families{
    Family{PartKind::denoiser, "y_embedder.embedding_table.weight", "ema.", facebook_dit_rules, "blocks.", derive_facebook_dit},
    Family{PartKind::denoiser, "t_block.1.weight", "state_dict.", pixart_rules, "blocks.", derive_pixart},
    Family{PartKind::denoiser,
           "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight",
           nullptr,
           {},
           nullptr,
           derive_dit},
    Family{PartKind::denoiser, "adaln_single.linear.weight", nullptr, {}, nullptr, derive_pixart},
    // Of a whole Stable Diffusion file, as diffusers takes it: "vae." comes before "first_stage_model.".
    Family{PartKind::autoencoder, "decoder.conv_in.weight", "vae.", autoencoder_rules, "decoder.up.", derive_autoencoder},
    Family{PartKind::autoencoder, "decoder.layers.3.conv.0.weight", nullptr, {}, nullptr, derive_tiny_autoencoder},
    Family{PartKind::text_encoder, "encoder.block.0.layer.0.SelfAttention.q.weight", nullptr, t5_rules, nullptr, derive_t5},
    Family{PartKind::text_encoder, "enc.blk.0.attn_q.weight", nullptr, gguf_t5_rules, nullptr, derive_t5},
};

constexpr std::size_t tiny_family = 5;

struct Found {
    const Family* family = nullptr;
    std::string prefix;
};

// The prefixes under which the anchor stands: the preferred one, or the shortest.
std::optional<std::string> prefix_of(const CheckpointReader& reader, const Family& family) {
    std::optional<std::string> best;
    const auto is_preferred = [&](const std::string& prefix) { return family.preferred && prefix.ends_with(family.preferred); };
    for (const auto& entry : reader.entries()) {
        if (!entry.name.ends_with(family.anchor)) continue;
        const std::string prefix = entry.name.substr(0, entry.name.size() - std::string_view(family.anchor).size());
        if (!prefix.empty() && !prefix.ends_with('.')) continue;
        const bool is_better =
            !best || std::pair(!is_preferred(prefix), prefix.size()) < std::pair(!is_preferred(*best), best->size());
        if (is_better) best = prefix;
    }
    return best;
}

std::optional<Found> find_family(const CheckpointReader& reader) {
    for (const Family& family : families)
        if (const auto prefix = prefix_of(reader, family)) return Found{&family, *prefix};
    // TAESD's own files: its decoder's names are numbers.
    if (find_entry(reader, "3.conv.0.weight")) return Found{&families[tiny_family], ""};
    return std::nullopt;
}

std::unique_ptr<CheckpointReader> renamed(std::unique_ptr<CheckpointReader> reader, const Found& found) {
    const Family& family = *found.family;
    if (family.rules.empty() && found.prefix.empty()) return reader;
    const std::int64_t blocks = family.blocks ? count_numbers(*reader, found.prefix + family.blocks) : 0;
    constexpr std::int64_t most_blocks = 1000;
    if (blocks > most_blocks)
        throw Error(ErrorCode::input, "has " + std::to_string(blocks) + " blocks, which no model has",
                    reader->entries().front().file);
    auto table = apply_rules(family.rules, *reader, found.prefix, {.blocks = blocks, .levels = blocks});
    return rename_tensors(std::move(reader), std::move(table));
}

// The config of a part of this kind; an empty object where there is none, or one of another part that lies in the same folder.
nlohmann::ordered_json read_config_of(PartKind kind, const std::string& path) {
    std::error_code ignored;
    if (path.empty() || !std::filesystem::exists(path, ignored)) return nlohmann::ordered_json::object();
    const JsonOptions options = JsonOptions::read(path);
    const char* own_key = kind == PartKind::denoiser       ? "num_attention_heads"
                          : kind == PartKind::text_encoder ? "d_model"
                                                           : "block_out_channels";
    return options.has(own_key) ? options.all() : nlohmann::ordered_json::object();
}

// The config that t2i convert leaves in a file; an empty object where there is none.
nlohmann::ordered_json config_in(const std::map<std::string, std::string>& metadata) {
    const auto text = metadata.find(config_key);
    auto config = text == metadata.end() ? nlohmann::ordered_json() : nlohmann::ordered_json::parse(text->second, nullptr, false);
    return config.is_object() ? config : nlohmann::ordered_json::object();
}

}  // namespace

std::optional<Published> recognise(std::unique_ptr<CheckpointReader>& reader, const PartHints& hints) {
    const auto found = find_family(*reader);
    if (!found) return std::nullopt;
    Published published;
    published.kind = found->family->kind;
    published.is_facebooks = found->family->derive == derive_facebook_dit;
    const auto shape_of = [&](std::initializer_list<const char*> names) -> std::optional<Shape> {
        for (const char* name : names)
            if (const auto* entry = find_entry(*reader, found->prefix + name)) return entry->shape;
        return std::nullopt;
    };
    const auto positions = shape_of({"pos_embed", "pos_embed.pos_embed"});
    const auto no_caption = shape_of({"y_embedder.y_embedding", "caption_projection.y_embedding"});
    for (const auto& entry : reader->entries())
        if (entry.name.starts_with(found->prefix)) published.values += entry.shape.elements();
    const auto beside = read_config_of(published.kind, hints.config_beside);
    const auto metadata = reader->metadata();
    published.reader = renamed(std::move(reader), *found);
    Derivation d{.reader = *published.reader,
                 .hints = hints,
                 .positions = positions,
                 .no_caption = no_caption,
                 .beside = beside.empty() ? config_in(metadata) : beside,
                 .base = read_config_of(published.kind, hints.config_of_base)};
    found->family->derive(d);
    // A config beside the file knows better, but not by whose formulas it is to be computed.
    for (const auto& [key, value] : d.beside.items())
        if (key != "_class_name" && (d.is_diffusers || key != "norm_eps")) d.config[key] = value;
    published.title = std::move(d.title);
    published.pipeline = std::move(d.pipeline);
    published.config = d.config.dump();
    published.notes = std::move(d.notes);
    published.has_config = !beside.empty();
    return published;
}

bool is_facebooks(const CheckpointReader& reader) {
    const auto found = find_family(reader);
    return found && found->family->derive == derive_facebook_dit;
}

std::string with_facebooks_formulas(const std::string& config) {
    auto json = nlohmann::ordered_json::parse(config);
    take_facebooks_formulas(json);
    return json.dump();
}

std::string gguf_name(const CheckpointReader& encoder, const std::string& name) {
    // A checkpoint holds the table of pieces under one name or under both.
    constexpr const char *table = "shared.weight", *other = "encoder.embed_tokens.weight";
    return name_of_source(gguf_t5_rules, name == other && !find_entry(encoder, table) ? table : name);
}

std::unique_ptr<CheckpointReader> with_model_names(std::unique_ptr<CheckpointReader> reader) {
    const auto found = find_family(*reader);
    return found ? renamed(std::move(reader), *found) : std::move(reader);
}

}  // namespace t2i
