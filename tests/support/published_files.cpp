#include "support/published_files.h"

#include <algorithm>
#include <cstring>
#include <regex>

namespace t2i::test {

namespace {

using Renames = std::vector<std::pair<std::string, std::string>>;  // patterns and what they become

std::string renamed(const std::string& name, const Renames& renames) {
    for (const auto& [pattern, to] : renames) {
        const std::regex expression("^" + pattern);
        if (std::regex_search(name, expression)) return std::regex_replace(name, expression, to);
    }
    return name;
}

PublishedFile renamed(PublishedFile file, const Renames& renames) {
    PublishedFile out;
    for (auto& [name, tensor] : file.tensors()) out.add(renamed(name, renames), std::move(tensor));
    return out;
}

// Replaces tensors by one that holds their rows under one another.
void stack(PublishedFile& file, const std::vector<std::string>& parts, const std::string& name) {
    auto& tensors = file.tensors();
    if (!tensors.contains(parts.front())) return;
    const Shape first = tensors.at(parts.front()).shape();
    std::vector<std::int64_t> dims{first[0] * static_cast<std::int64_t>(parts.size())};
    for (int i = 1; i < first.rank(); ++i) dims.push_back(first[i]);
    Tensor all = Tensor::host(Shape(dims));
    std::size_t at = 0;
    for (const std::string& part : parts) {
        const TensorView view = tensors.at(part);
        std::memcpy(static_cast<std::byte*>(all.view.data) + at, view.data, view.bytes());
        at += view.bytes();
        tensors.erase(part);
    }
    file.add(name, std::move(all));
}

void stack_attention(PublishedFile& file, std::int64_t blocks) {
    for (std::int64_t i = 0; i < blocks; ++i)
        for (const std::string kind : {".weight", ".bias"}) {
            const std::string from = "transformer_blocks." + std::to_string(i), to = "blocks." + std::to_string(i);
            stack(file, {from + ".attn1.to_q" + kind, from + ".attn1.to_k" + kind, from + ".attn1.to_v" + kind},
                  to + ".attn.qkv" + kind);
            stack(file, {from + ".attn2.to_k" + kind, from + ".attn2.to_v" + kind}, to + ".cross_attn.kv_linear" + kind);
        }
}

const Renames block_names{{R"(transformer_blocks\.(\d+)\.attn1\.to_out\.0\.)", "blocks.$1.attn.proj."},
                          {R"(transformer_blocks\.(\d+)\.attn2\.to_q\.)", "blocks.$1.cross_attn.q_linear."},
                          {R"(transformer_blocks\.(\d+)\.attn2\.to_out\.0\.)", "blocks.$1.cross_attn.proj."},
                          {R"(transformer_blocks\.(\d+)\.ff\.net\.0\.proj\.)", "blocks.$1.mlp.fc1."},
                          {R"(transformer_blocks\.(\d+)\.ff\.net\.2\.)", "blocks.$1.mlp.fc2."},
                          {R"(transformer_blocks\.(\d+)\.norm1\.linear\.)", "blocks.$1.adaLN_modulation.1."},
                          {R"(transformer_blocks\.(\d+)\.)", "blocks.$1."},
                          {R"(pos_embed\.proj\.)", "x_embedder.proj."}};

Renames with_blocks(const Renames& own) {
    Renames all = own;
    all.insert(all.end(), block_names.begin(), block_names.end());
    return all;
}

// The table of positions that both makers keep: only its extent is read.
void add_positions(PublishedFile& file, const nlohmann::json& component) {
    const auto& config = component.at("config");
    const auto side = config.at("sample_size").get<std::int64_t>() / config.at("patch_size").get<std::int64_t>();
    const auto width = config.at("num_attention_heads").get<std::int64_t>() * config.at("attention_head_dim").get<std::int64_t>();
    file.add("pos_embed", filled({1, side * side, width}, 0.5F));
}

}  // namespace

void PublishedFile::add(const std::string& name, Tensor tensor) {
    if (!tensors_.emplace(name, std::move(tensor)).second) throw std::runtime_error(name + " twice");
}

void PublishedFile::put_under(const std::string& prefix) {
    std::map<std::string, Tensor> before;
    before.swap(tensors_);
    for (auto& [name, tensor] : before) add(prefix + name, std::move(tensor));
}

void PublishedFile::write(const std::filesystem::path& path) const {
    std::vector<NamedTensor> named;
    for (const auto& [name, tensor] : tensors_) named.push_back({name, tensor.view});
    write_safetensors(path.string(), named);
}

Tensor filled(const Shape& shape, float value) {
    Tensor tensor = Tensor::host(shape);
    std::ranges::fill(tensor.as<float>(), value);
    return tensor;
}

PublishedFile file_of(const nlohmann::json& component) {
    PublishedFile file;
    for (const auto& description : component.at("tensors"))
        file.add(description.at("name").get<std::string>(), generate(description));
    return file;
}

PublishedFile pixart_names(const nlohmann::json& component) {
    PublishedFile file = file_of(component);
    const auto blocks = component.at("config").at("num_layers").get<std::int64_t>();
    stack_attention(file, blocks);
    file = renamed(std::move(file), with_blocks({{R"(adaln_single\.emb\.timestep_embedder\.linear_1\.)", "t_embedder.mlp.0."},
                                                 {R"(adaln_single\.emb\.timestep_embedder\.linear_2\.)", "t_embedder.mlp.2."},
                                                 {R"(adaln_single\.linear\.)", "t_block.1."},
                                                 {R"(caption_projection\.linear_1\.)", "y_embedder.y_proj.fc1."},
                                                 {R"(caption_projection\.linear_2\.)", "y_embedder.y_proj.fc2."},
                                                 {"scale_shift_table", "final_layer.scale_shift_table"},
                                                 {R"(proj_out\.)", "final_layer.linear."}}));
    add_positions(file, component);
    return file;
}

PublishedFile facebook_names(const nlohmann::json& component) {
    PublishedFile file = file_of(component);
    const auto blocks = component.at("config").at("num_layers").get<std::int64_t>();
    for (std::int64_t i = 1; i < blocks; ++i)  // one embedder, which diffusers copies into every block
        std::erase_if(file.tensors(), [&](const auto& item) {
            return item.first.starts_with("transformer_blocks." + std::to_string(i) + ".norm1.emb.");
        });
    stack_attention(file, blocks);
    const std::string embedder = R"(transformer_blocks\.0\.norm1\.emb\.)";
    file = renamed(std::move(file), with_blocks({{embedder + R"(timestep_embedder\.linear_1\.)", "t_embedder.mlp.0."},
                                                 {embedder + R"(timestep_embedder\.linear_2\.)", "t_embedder.mlp.2."},
                                                 {embedder + R"(class_embedder\.)", "y_embedder."},
                                                 {R"(proj_out_1\.)", "final_layer.adaLN_modulation.1."},
                                                 {R"(proj_out_2\.)", "final_layer.linear."}}));
    add_positions(file, component);
    return file;
}

PublishedFile ldm_names(const nlohmann::json& component, int rank) {
    PublishedFile file = file_of(component);
    const auto levels = component.at("config").at("block_out_channels").size();
    for (auto& [name, tensor] : file.tensors()) {
        const Shape& s = tensor.shape();
        if (name.find(".attentions.0.to_") == std::string::npos || s.rank() != 2) continue;
        if (rank == 3) tensor.view.shape = Shape{s[0], s[1], 1};
        if (rank == 4) tensor.view.shape = Shape{s[0], s[1], 1, 1};
    }
    Renames names{{R"(decoder\.conv_norm_out\.)", "decoder.norm_out."},
                  {R"(decoder\.mid_block\.resnets\.0\.)", "decoder.mid.block_1."},
                  {R"(decoder\.mid_block\.resnets\.1\.)", "decoder.mid.block_2."},
                  {R"(decoder\.mid_block\.attentions\.0\.group_norm\.)", "decoder.mid.attn_1.norm."},
                  {R"(decoder\.mid_block\.attentions\.0\.to_out\.0\.)", "decoder.mid.attn_1.proj_out."},
                  {R"(decoder\.mid_block\.attentions\.0\.to_([qkv])\.)", "decoder.mid.attn_1.$1."}};
    for (std::size_t i = 0; i < levels; ++i) {
        const std::string from = R"(decoder\.up_blocks\.)" + std::to_string(i),
                          to = "decoder.up." + std::to_string(levels - 1 - i);
        names.emplace_back(from + R"(\.resnets\.(\d+)\.conv_shortcut\.)", to + ".block.$1.nin_shortcut.");
        names.emplace_back(from + R"(\.resnets\.)", to + ".block.");
        names.emplace_back(from + R"(\.upsamplers\.0\.)", to + ".upsample.");
    }
    return renamed(std::move(file), names);
}

PublishedFile gguf_names(const nlohmann::json& component) {
    const std::string block = R"(encoder\.block\.(\d+)\.layer\.)";
    return renamed(file_of(component), {{R"(shared\.)", "token_embd."},
                                        {block + R"(0\.SelfAttention\.relative_attention_bias\.)", "enc.blk.$1.attn_rel_b."},
                                        {block + R"(0\.SelfAttention\.([qkvo])\.)", "enc.blk.$1.attn_$2."},
                                        {block + R"(0\.layer_norm\.)", "enc.blk.$1.attn_norm."},
                                        {block + R"(1\.layer_norm\.)", "enc.blk.$1.ffn_norm."},
                                        {block + R"(1\.DenseReluDense\.wi_0\.)", "enc.blk.$1.ffn_gate."},
                                        {block + R"(1\.DenseReluDense\.wi_1\.)", "enc.blk.$1.ffn_up."},
                                        {block + R"(1\.DenseReluDense\.wo\.)", "enc.blk.$1.ffn_down."},
                                        {R"(encoder\.final_layer_norm\.)", "enc.output_norm."}});
}

}  // namespace t2i::test
