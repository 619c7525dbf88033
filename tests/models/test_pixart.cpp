// The PixArt transformer against diffusers' PixArtTransformer2DModel (scripts/golden/pixart.py).
#include <algorithm>
#include <cstring>

#include "models/pixart_block.h"
#include "models/registry.h"
#include "nn/sincos.h"
#include "support/catch.h"
#include "support/fixture.h"

namespace t2i::test {
namespace {

nlohmann::json find_case(const std::string& name) {
    const auto manifest = read_manifest("pixart");
    for (const auto& c : manifest.at("cases"))
        if (c.at("name") == name) return c;
    throw std::runtime_error("no case " + name);
}

// The text up to the longest valid length: the model never needs what the reference masks.
TextConditioning text_of(const nlohmann::json& c) {
    const Tensor padded = generate(c.at("text"));
    TextConditioning text;
    text.lengths = c.at("lengths").get<std::vector<std::int32_t>>();
    const std::int64_t longest = *std::ranges::max_element(text.lengths), width = padded.shape()[2];
    text.embeddings = Tensor::host({padded.shape()[0], longest, width});
    for (std::int64_t b = 0; b < padded.shape()[0]; ++b)
        std::memcpy(text.embeddings.view.slice(b, 1).data, padded.view.slice(b, 1).data,
                    static_cast<std::size_t>(longest * width) * sizeof(float));
    return text;
}

// The worst relative error over all timesteps.
double measure(const nlohmann::json& c, const std::string& backend, DType compute, const FolderOptions& options = {}) {
    const auto results = read_results("pixart");
    const TempFolder folder;
    write_component(c, folder.path(), options);
    Machine machine(backend);
    const auto model = load_denoiser(*machine.backend, folder.path().string(), compute);
    const Tensor latents = generate(c.at("latents"));
    const Tensor out = Tensor::host(latents.shape());
    const auto timesteps = c.at("timesteps").get<std::vector<float>>();
    TextConditioning text = text_of(c);
    const auto run = model->begin(machine.ctx(), {.timesteps = timesteps,
                                                  .latents = latents.shape(),
                                                  .text_rows = text.embeddings.shape()[1],
                                                  .pixels_per_latent = c.at("pixels_per_latent").get<std::int64_t>()});
    run->condition(machine.ctx(), std::move(text));
    double worst = 0;
    for (std::size_t step = 0; step < timesteps.size(); ++step) {
        run->predict(machine.ctx(), static_cast<std::int64_t>(step), latents, out);
        const TensorView expected = results->tensor(c.at("name").get<std::string>() + "." + std::to_string(step));
        // The reference also returns a learned variance: channels after ours.
        const Tensor kept = Tensor::host(latents.shape());
        for (std::int64_t b = 0; b < latents.shape()[0]; ++b)
            std::memcpy(kept.view.slice(b, 1).data, expected.slice(b, 1).data, kept.view.slice(b, 1).bytes());
        worst = std::max(worst, relative_error(out, kept));
    }
    return worst;
}

}  // namespace

TEST_CASE("PixArt agrees with diffusers in many shapes") {
    const auto manifest = read_manifest("pixart");
    for (const auto& c : manifest.at("cases"))
        for (const char* backend : {"ref", "cpu"})
            check_parity("PixArt transformer", c.at("name").get<std::string>() + " f32 " + backend,
                         measure(c, backend, DType::f32), 1e-4);
}

TEST_CASE("PixArt in bf16 stays near the f32 reference") {
    const auto backends = backends_with(DType::bf16);
    const auto manifest = read_manifest("pixart");
    for (const auto& c : manifest.at("cases"))
        for (const auto& backend : backends)
            check_parity("PixArt transformer", c.at("name").get<std::string>() + " bf16 " + backend,
                         measure(c, backend, DType::bf16), 2e-2);
}

TEST_CASE("PixArt reads sharded checkpoints") {
    CHECK(measure(find_case("head_8"), "cpu", DType::f32, {.shards = 4}) <= 1e-4);
}

TEST_CASE("PixArt: a config from before micro-conditions had a key takes them where the weights are") {
    const auto c = find_case("size_conditions");
    REQUIRE(c.at("config").at("use_additional_conditions").is_null());
    const auto without = [](const nlohmann::json& from, const char* part) {
        std::vector<std::string> names;
        for (const auto& tensor : from.at("tensors"))
            if (const auto name = tensor.at("name").get<std::string>(); name.find(part) != std::string::npos)
                names.push_back(name);
        return names;
    };
    std::vector<std::string> micro = without(c, "resolution_embedder");
    std::ranges::copy(without(c, "aspect_ratio_embedder"), std::back_inserter(micro));
    REQUIRE(micro.size() == 8);
    const TempFolder folder;
    write_component(c, folder.path(), {.leave_out = micro});
    Machine machine("ref");
    CHECK(load_denoiser(*machine.backend, folder.path().string(), DType::f32)->channels() == 4);
    write_component(c, folder.path(), {.leave_out = micro, .config_patch = {{"use_additional_conditions", true}}});
    CHECK_THROWS_AS(load_denoiser(*machine.backend, folder.path().string(), DType::f32), Error);
}

TEST_CASE("PixArt: out_channels is 8 where the config does not name it, and null means as many as go in") {
    const auto eight = find_case("head_8"), four = find_case("patch_4");
    CHECK(measure(eight, "cpu", DType::f32, {.config_patch = {{"out_channels", nullptr}}}) <= 1e-4);
    const TempFolder folder;
    write_component(four, folder.path());
    auto config = four.at("config");
    config["out_channels"] = nullptr;  // a patch of the config would take the key away
    write_file(folder / "config.json", config.dump());
    Machine machine("ref");
    CHECK(load_denoiser(*machine.backend, folder.path().string(), DType::f32)->channels() == 4);
}

TEST_CASE("PixArt agrees with diffusers block by block") {
    const auto c = find_case("head_8");
    const auto results = read_results("pixart");
    const TempFolder folder;
    write_component(c, folder.path());
    const auto& config = c.at("config");
    const auto heads = config.at("num_attention_heads").get<std::int64_t>(),
               size = config.at("attention_head_dim").get<std::int64_t>();
    const auto lengths = c.at("lengths").get<std::vector<std::int32_t>>();
    for (const char* backend : {"ref", "cpu"}) {
        Machine machine(backend);
        WeightStore weights(open_component({.path = folder.path().string()}), folder.path().string());
        const ExecContext ctx = machine.ctx();
        const TensorView start = results->tensor("head_8.block_in.0"), text = results->tensor("head_8.block_text");
        const Tensor x = Tensor::host({start.shape.rows(), start.shape.columns()});
        std::memcpy(x.view.data, start.data, start.bytes());
        const Tensor normed = Tensor::host(x.shape()), expected_norm = Tensor::host(x.shape()),
                     zeros = Tensor::host({1, heads * size}),
                     key_lengths = Tensor::host({static_cast<std::int64_t>(lengths.size())}, DType::i32);
        std::ranges::copy(lengths, key_lengths.as<std::int32_t>().begin());
        for (std::int64_t i = 0; i < 2; ++i) {
            const PixArtBlock block(
                {*machine.backend, DType::f32}, weights.root() / "transformer_blocks" / i,
                {.sizes = {.width = heads * size, .heads = heads, .head_size = size, .attention_bias = Bias::yes},
                 .context_width = heads * size,
                 .eps = 1e-6F});
            const Tensor keys_values = Tensor::host({text.shape.rows(), 2 * heads * size}),
                         modulation = Tensor::host(block.table().shape());
            block.cross_attention().keys_values(ctx, text.reshaped({text.shape.rows(), text.shape.columns()}), keys_values);
            const TensorView projected = results->tensor("head_8.block_time.0").slice(0, 1).reshaped(block.table().shape());
            const std::array<LincombTerm, 2> sum{{{1.0, block.table()}, {1.0, projected}}};
            ops::lincomb(ctx, sum, modulation);
            const TensorView none = zeros.view.slice(0, 1);
            block.first_norm(Modulation::of(modulation)).forward(ctx, x, normed);
            block.forward(ctx, x, normed, Modulation::of(modulation), {keys_values, key_lengths}, {none, none, 1e-6F});
            // What the next layer reads is the norm of what the block left.
            ops::norm_modulate(ctx, {x, none, none, 1e-6F, expected_norm});
            CHECK(relative_error(normed, expected_norm) <= 1e-5);
            check_parity("PixArt block", "block " + std::to_string(i) + " f32 " + backend,
                         relative_error(x, results->tensor("head_8.block_out." + std::to_string(i))), 1e-4);
        }
    }
}

TEST_CASE("Positions have the published values") {
    const auto at = [](const Tensor& table, std::int64_t token, std::int64_t k) {
        return table.as<float>()[static_cast<std::size_t>(token * table.shape()[1] + k)];
    };
    // DiT-XL/2 at 256 pixels and PixArt-XL/2 at 1024, row 2, column 5 (numpy float64, cast to float32).
    const Tensor small = sincos_positions({.rows = 16, .columns = 16, .base = 16, .interpolation_scale = 1}, 1152);
    const Tensor large = sincos_positions({.rows = 64, .columns = 64, .base = 64, .interpolation_scale = 2}, 1152);
    const std::vector<std::pair<int, double>> expected_small{{0, -0.9589243},   {1, -0.9915309},  {288, 0.2836622},
                                                             {289, 0.1298712},  {576, 0.9092974}, {577, 0.9336751},
                                                             {864, -0.4161468}, {865, -0.3581212}};
    const std::vector<std::pair<int, double>> expected_large{{0, 0.5984721},  {1, 0.6595941},   {288, -0.8011436},
                                                             {576, 0.841471}, {577, 0.8240513}, {864, 0.5403023}};
    for (const auto& [k, value] : expected_small) CHECK(at(small, 2 * 16 + 5, k) == Approx(value).margin(1e-6));
    for (const auto& [k, value] : expected_large) CHECK(at(large, 2 * 64 + 5, k) == Approx(value).margin(1e-6));
}

}  // namespace t2i::test
