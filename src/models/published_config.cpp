#include "models/published_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <set>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

Error Derivation::error(const std::string& problem) const {
    return {ErrorCode::input, problem, hints.file};
}

// Of a dimension: products of a few of them stay far from 64 bits.
constexpr std::int64_t most_extent = std::int64_t{1} << 20U;

Shape Derivation::shape(const std::string& name, int rank) const {
    const auto* entry = find_entry(reader, name);
    if (!entry) throw error("tensor " + in_quotes(name) + " is missing");
    if (entry->shape.rank() != rank || entry->shape.elements() == 0)
        throw error("tensor " + in_quotes(name) + ": shape " + entry->shape.text() + " is not of " + std::to_string(rank) +
                    " dimensions");
    for (int i = 0; i < rank; ++i)
        if (entry->shape[i] > most_extent)
            throw error("tensor " + in_quotes(name) + ": shape " + entry->shape.text() + " is of no model");
    return entry->shape;
}

bool Derivation::has(const std::string& name) const {
    return find_entry(reader, name) != nullptr;
}

std::int64_t count_numbers(const CheckpointReader& reader, const std::string& beginning) {
    std::set<std::string> numbers;
    for (const auto& entry : reader.entries())
        if (entry.name.starts_with(beginning)) {
            const auto end = entry.name.find('.', beginning.size());
            numbers.insert(entry.name.substr(beginning.size(), end - beginning.size()));
        }
    return static_cast<std::int64_t>(numbers.size());
}

void Derivation::note(const std::string& key, const std::string& told_by) {
    notes.push_back(key + " " + config[key].dump() + " (" + told_by + ")");
}

bool Derivation::take(const std::string& key, bool from_base) {
    const auto of = [&](const nlohmann::ordered_json& from, const std::string& path) {
        if (!from.contains(key) || from[key].is_null()) return false;
        config[key] = from[key];
        note(key, path);
        return true;
    };
    return of(beside, hints.config_beside) || (from_base && of(base, hints.config_of_base));
}

namespace {

// The side of a picture in pixels that a published file's name tells: "PixArt-Sigma-XL-2-2K-MS", "DiT-XL-2-512x512". 0: none.
std::int64_t pixels_in_name(const std::string& path) {
    const std::string stem = std::filesystem::path(path).stem().string();
    static constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> sizes{
        {{"256", 256}, {"512", 512}, {"1024", 1024}, {"2048", 2048}, {"2K", 2048}}};
    for (std::size_t begin = 0; begin < stem.size();) {
        const auto end = std::min(stem.find_first_of("-_. ", begin), stem.size());
        const std::string word = stem.substr(begin, end - begin);
        for (const auto& [name, side] : sizes)
            if (word == name || word == std::string(name) + "x" + std::string(name)) return side;
        begin = end + 1;
    }
    return 0;
}

constexpr std::int64_t pixels_per_latent = 8;  // of the autoencoders that DiT and PixArt were trained with

// Side of the latents that a transformer over patches was trained with.
void derive_sample_size(Derivation& d, std::int64_t patch) {
    if (d.take("sample_size", false)) return;
    if (d.positions && d.positions->rank() == 3) {
        const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>((*d.positions)[1]))));
        if (side > 0 && side * side == (*d.positions)[1]) {
            d.config["sample_size"] = side * patch;
            return d.note("sample_size",
                          "the table of positions has " + std::to_string(side) + "x" + std::to_string(side) + " rows");
        }
    }
    if (const std::int64_t pixels = pixels_in_name(d.hints.file)) {
        d.config["sample_size"] = pixels / pixels_per_latent;
        return d.note("sample_size", "the file's name says " + std::to_string(pixels));
    }
    if (!d.take("sample_size"))
        throw d.error(
            "does not say for what size it was trained, and neither does its name; a config.json beside it can, with "
            "\"sample_size\" (pixels / 8)");
}

// Heads of published widths: DiT's XL, L, B and S, and PixArt's XL. Other widths are of heads as large as XL's or L's where they
// divide, which is said.
void derive_heads(Derivation& d, std::int64_t width) {
    static constexpr std::array<std::pair<std::int64_t, std::int64_t>, 4> published{
        {{1152, 16}, {1024, 16}, {768, 12}, {384, 6}}};
    const auto set = [&](std::int64_t heads, const std::string& told_by) {
        d.config["num_attention_heads"] = heads;
        d.config["attention_head_dim"] = width / heads;
        d.note("num_attention_heads", told_by);
    };
    if (const auto known = std::ranges::find(published, width, [](const auto& p) { return p.first; }); known != published.end())
        return set(known->second, "published for a width of " + std::to_string(width));
    for (const auto* from : {&d.beside, &d.base})
        if (from->contains("num_attention_heads") && (*from)["num_attention_heads"].is_number_integer()) {
            const auto heads = (*from)["num_attention_heads"].get<std::int64_t>();
            const bool fits = from->value("attention_head_dim", nlohmann::ordered_json()) ==
                              nlohmann::ordered_json(width / std::max<std::int64_t>(heads, 1));
            if (heads > 0 && width % heads == 0 && fits)
                return set(heads, from == &d.beside ? d.hints.config_beside : d.hints.config_of_base);
        }
    for (const std::int64_t size : {72, 64})
        if (width % size == 0)
            return set(width / size, "supposed, from a width of " + std::to_string(width) + ": heads of " + std::to_string(size));
    throw d.error("is " + std::to_string(width) +
                  " wide, which no published model is; a config.json beside it can say of how many heads (num_attention_heads, "
                  "attention_head_dim)");
}

// What DiT and PixArt have in common. head: the last layer.
void derive_patch_transformer(Derivation& d, const std::string& head) {
    const Shape filter = d.shape("pos_embed.proj.weight", 4);
    const std::int64_t width = filter[0], patch = filter[2], last = d.shape(head, 2)[0];
    derive_heads(d, width);
    d.config["in_channels"] = filter[1];
    d.config["out_channels"] = last / (patch * patch);
    d.config["num_layers"] = count_numbers(d.reader, "transformer_blocks.");
    d.config["patch_size"] = patch;
    derive_sample_size(d, patch);
    d.config["attention_bias"] = d.has("transformer_blocks.0.attn1.to_q.bias");
    d.config["activation_fn"] = "gelu-approximate";
    d.config["norm_elementwise_affine"] = false;
}

std::string size_text(const Derivation& d) {
    const auto& side = d.config["sample_size"];
    if (!side.is_number_integer() || side.get<std::int64_t>() < 1 || side.get<std::int64_t>() > most_extent)
        return "a size that is no number";
    const std::string pixels = std::to_string(side.get<std::int64_t>() * pixels_per_latent);
    return pixels + "x" + pixels;
}

// "XL/2"; of other extents "2 blocks of width 144, patch 2".
std::string size_name(const Derivation& d) {
    struct Size {
        const char* name;
        std::int64_t layers, width;
    };
    static constexpr std::array<Size, 4> sizes{{{"XL", 28, 1152}, {"L", 24, 1024}, {"B", 12, 768}, {"S", 12, 384}}};
    const auto layers = d.config["num_layers"].get<std::int64_t>(),
               width = d.config["num_attention_heads"].get<std::int64_t>() * d.config["attention_head_dim"].get<std::int64_t>();
    const std::string patch = d.config["patch_size"].dump();
    for (const Size& size : sizes)
        if (size.layers == layers && size.width == width) return "-" + std::string(size.name) + "/" + patch;
    return " of " + std::to_string(layers) + " blocks, width " + std::to_string(width) + ", patch " + patch;
}

}  // namespace

void derive_dit(Derivation& d) {
    derive_patch_transformer(d, "proj_out_2.weight");
    d.config["_class_name"] = "DiTTransformer2DModel";
    d.config["norm_type"] = "ada_norm_zero";
    d.config["norm_eps"] = 1e-5;
    d.config["num_embeds_ada_norm"] = d.shape("transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight", 2)[0] - 1;
    d.title = "DiT" + size_name(d) + ", " + size_text(d);
    d.pipeline = "DiTPipeline";
}

void derive_facebook_dit(Derivation& d) {
    derive_dit(d);
    d.title = "facebook's " + d.title;
    d.is_diffusers = d.hints.as_diffusers;
    if (d.is_diffusers) return;
    take_facebooks_formulas(d.config);
    d.pipeline = "DiT";
}

void take_facebooks_formulas(nlohmann::ordered_json& config) {
    config["_class_name"] = "DiT";
    config["norm_eps"] = 1e-6;
}

void derive_pixart(Derivation& d) {
    derive_patch_transformer(d, "proj_out.weight");
    d.config["_class_name"] = "PixArtTransformer2DModel";
    d.config["norm_type"] = "ada_norm_single";
    d.config["norm_eps"] = 1e-6;
    const Shape query = d.shape("transformer_blocks.0.attn2.to_k.weight", 2);
    d.config["cross_attention_dim"] = query[1];
    if (d.has("caption_projection.linear_1.weight"))
        d.config["caption_channels"] = d.shape("caption_projection.linear_1.weight", 2)[1];
    d.config["use_additional_conditions"] = d.has("adaln_single.emb.resolution_embedder.linear_1.weight");
    // Alpha reads 120 tokens of text, Sigma 300; only their text of no prompt tells them apart, or the pipeline they run in.
    constexpr std::int64_t sigma_tokens = 300;
    std::optional<bool> is_sigma = d.hints.is_sigma;
    if (d.no_caption && d.no_caption->rank() == 2) is_sigma = (*d.no_caption)[0] == sigma_tokens;
    if (!is_sigma && std::filesystem::path(d.hints.file).filename().string().find("Sigma") != std::string::npos) is_sigma = true;
    if (!d.take("interpolation_scale", false)) {
        const auto side = d.config["sample_size"].is_number_integer() ? d.config["sample_size"].get<std::int64_t>() : 0;
        // scripts/convert_pixart_sigma_to_diffusers.py, interpolation_scale; Alpha's converter leaves it to the class.
        d.config["interpolation_scale"] =
            is_sigma.value_or(false) ? static_cast<double>(side) / 64 : static_cast<double>(std::max<std::int64_t>(side / 64, 1));
        d.note("interpolation_scale", is_sigma.value_or(false) ? "of PixArt-Sigma at this size" : "of PixArt-alpha at this size");
    }
    d.title = std::string("PixArt") + (!is_sigma ? "" : *is_sigma ? "-Sigma" : "-alpha") + size_name(d) + ", " + size_text(d);
    if (is_sigma) d.pipeline = *is_sigma ? "PixArtSigmaPipeline" : "PixArtAlphaPipeline";
}

void derive_autoencoder(Derivation& d) {
    d.config["_class_name"] = "AutoencoderKL";
    const std::int64_t levels = count_numbers(d.reader, "decoder.up_blocks.");
    auto channels = nlohmann::ordered_json::array();
    for (std::int64_t i = levels; i-- > 0;)
        channels.push_back(d.shape("decoder.up_blocks." + std::to_string(i) + ".resnets.0.conv1.weight", 4)[0]);
    d.config["block_out_channels"] = channels;
    d.config["layers_per_block"] = std::max<std::int64_t>(count_numbers(d.reader, "decoder.up_blocks.0.resnets.") - 1, 1);
    d.config["latent_channels"] = d.shape("decoder.conv_in.weight", 4)[1];
    d.config["use_post_quant_conv"] = d.has("post_quant_conv.weight");
    d.config["use_quant_conv"] = d.has("quant_conv.weight");
    d.config["mid_block_add_attention"] = d.has("decoder.mid_block.attentions.0.to_q.weight");
    if (!d.take("norm_num_groups")) {
        constexpr std::int64_t ldm_groups = 32;  // ldm/modules/diffusionmodules/model.py, Normalize
        for (const auto& width : channels)
            if (width.get<std::int64_t>() % ldm_groups != 0)
                throw d.error("has layers of " + width.dump() +
                              " channels, which no published autoencoder has; a config.json beside it can say in how many groups "
                              "they are normalised (norm_num_groups)");
        d.config["norm_num_groups"] = ldm_groups;
        d.note("norm_num_groups", "of all latent diffusion autoencoders");
    }
    if (!d.take("scaling_factor")) {
        const bool is_sigma = d.hints.is_sigma.value_or(false);
        d.config["scaling_factor"] = is_sigma ? 0.13025 : 0.18215;
        d.note("scaling_factor",
               is_sigma ? "of SDXL's autoencoder, which PixArt-Sigma has" : "of Stable Diffusion's autoencoder");
    }
    d.title = "autoencoder for latents of " + d.config["latent_channels"].dump() + " channels, " +
              std::to_string(std::int64_t{1} << std::clamp<std::int64_t>(levels - 1, 0, 16)) + " pixels each way";
}

void derive_tiny_autoencoder(Derivation& d) {
    d.config["_class_name"] = "AutoencoderTiny";
    d.beside = nlohmann::ordered_json::object();  // its files lie beside other autoencoders' configs, and need none
    d.title = "TAESD, a small autoencoder";
}

void derive_t5(Derivation& d) {
    const std::string block = "encoder.block.0.layer.";
    if (d.has(block + "1.DenseReluDense.wi.weight"))
        throw d.error("is a T5 of version 1.0, without gates; T5 version 1.1 (t5-v1_1-…, flan-t5-…) is supported");
    const Shape query = d.shape(block + "0.SelfAttention.q.weight", 2);
    const Shape bias = d.shape(block + "0.SelfAttention.relative_attention_bias.weight", 2);
    const std::string table = d.has("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight";
    d.config["architectures"] = {"T5EncoderModel"};
    d.config["vocab_size"] = d.shape(table, 2)[0];
    d.config["d_model"] = query[1];
    d.config["num_layers"] = count_numbers(d.reader, "encoder.block.");
    d.config["num_heads"] = bias[1];
    d.config["d_kv"] = query[0] / bias[1];
    d.config["d_ff"] = d.shape(block + "1.DenseReluDense.wi_0.weight", 2)[0];
    d.config["feed_forward_proj"] = "gated-gelu";
    d.config["relative_attention_num_buckets"] = bias[0];
    struct Size {
        const char* name;
        std::int64_t width, layers;
    };
    static constexpr std::array<Size, 5> sizes{
        {{"XXL", 4096, 24}, {"XL", 2048, 24}, {"large", 1024, 24}, {"base", 768, 12}, {"small", 512, 8}}};
    d.title = "T5 encoder of " + d.config["num_layers"].dump() + " blocks, width " + d.config["d_model"].dump();
    for (const Size& size : sizes)
        if (size.width == query[1] && size.layers == d.config["num_layers"].get<std::int64_t>())
            d.title = std::string("T5-") + size.name + " encoder";
}

}  // namespace t2i
