// The T5 encoder against transformers' T5EncoderModel (scripts/golden/t5.py).
#include <algorithm>
#include <array>
#include <limits>

#include "checkpoint/reader.h"
#include "models/registry.h"
#include "nn/relative_bias.h"
#include "ops/memory.h"
#include "support/catch.h"
#include "support/fixture.h"

namespace t2i::test {
namespace {

using Ids = std::vector<std::int32_t>;

// [T, C] on the host.
Tensor encode(Machine& machine, const TextEncoder& model, const Ids& ids) {
    Tensor out = Tensor::host({static_cast<std::int64_t>(ids.size()), model.width()});
    model.encode(machine.ctx(), std::array{TextEncoder::Text{ids, out}});
    return out;
}

std::vector<Ids> ids_of(const nlohmann::json& c) {
    return c.at("ids").get<std::vector<Ids>>();
}

void check_case(const nlohmann::json& c, const std::string& backend, DType compute, double limit) {
    const auto results = read_results("t5");
    const TempFolder folder;
    write_component(c, folder.path());
    Machine machine(backend);
    const auto model = load_text_encoder(*machine.backend, folder.path().string(), compute);
    const auto ids = ids_of(c);
    const auto name = c.at("name").get<std::string>();
    double worst = 0;
    for (std::size_t i = 0; i < ids.size(); ++i)
        worst = std::max(worst, relative_error(encode(machine, *model, ids[i]), results->tensor(name + "." + std::to_string(i))));
    check_parity("T5 encoder", name + " " + std::string(name_of(compute)) + " " + backend, worst, limit);
}

}  // namespace

TEST_CASE("T5 encoder agrees with transformers on prompts of many lengths") {
    const auto manifest = read_manifest("t5");
    for (const auto& c : manifest.at("cases"))
        for (const char* backend : {"ref", "cpu"}) check_case(c, backend, DType::f32, 1e-4);
}

TEST_CASE("T5 encoder in bf16 stays near the f32 reference") {
    const auto backends = backends_with(DType::bf16);
    const auto manifest = read_manifest("t5");
    for (const auto& c : manifest.at("cases"))
        for (const auto& backend : backends) check_case(c, backend, DType::bf16, 3e-2);
}

TEST_CASE("T5 gives a prompt the same numbers whatever it encoded before") {
    const auto c = read_manifest("t5").at("cases").at(0);
    const TempFolder folder;
    write_component(c, folder.path());
    Machine machine("cpu");
    const auto model = load_text_encoder(*machine.backend, folder.path().string(), DType::f32);
    const auto ids = ids_of(c);
    const Tensor alone = encode(machine, *model, ids[1]);
    static_cast<void>(encode(machine, *model, ids[2]));
    CHECK(std::ranges::equal(encode(machine, *model, ids[1]).as<float>(), alone.as<float>()));
}

TEST_CASE("T5 reads shards, half precision and the tied copy of the embedding alone") {
    const auto c = read_manifest("t5").at("cases").at(1);
    const auto ids = ids_of(c);
    Machine machine("cpu");
    // The worst relative error of all prompts against the whole checkpoint's.
    std::vector<Tensor> whole;
    const auto compare = [&](const FolderOptions& options) {
        const TempFolder folder;
        write_component(c, folder.path(), options);
        const auto model = load_text_encoder(*machine.backend, folder.path().string(), DType::f32);
        double worst = 0;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            Tensor text = encode(machine, *model, ids[i]);
            if (whole.size() < ids.size()) whole.push_back(std::move(text));
            else worst = std::max(worst, relative_error(text, whole[i]));
        }
        return worst;
    };
    static_cast<void>(compare({}));
    CHECK(compare({.shards = 3}) == 0.0);
    CHECK(compare({.rename = [](const std::string& n) { return n == "shared.weight" ? "encoder.embed_tokens.weight" : n; }}) ==
          0.0);
    CHECK(compare({.dtype = DType::f16}) < 5e-3);
    CHECK(compare({.dtype = DType::bf16}) < 5e-2);
}

TEST_CASE("T5 gives the same numbers from weights that it reads for each group of prompts") {
    const auto c = read_manifest("t5").at("cases").at(0);
    const auto ids = ids_of(c);
    const TempFolder folder;
    write_component(c, folder.path(), {.shards = 2});
    for (const char* backend : {"cpu", "emulated"}) {
        Machine machine(backend);
        const auto resident = load_text_encoder(*machine.backend, folder.path().string(), DType::f32);
        const auto read = load_text_encoder(*machine.backend, folder.path().string(), DType::f32, 0);
        CHECK(resident->is_resident());
        CHECK_FALSE(read->is_resident());
        CHECK(resident->load_ms() == 0);
        for (int round = 0; round < 2; ++round) {
            std::vector<Tensor> out;
            std::vector<TextEncoder::Text> texts;
            for (const Ids& prompt : ids) {
                out.push_back(allocate(*machine.backend, {static_cast<std::int64_t>(prompt.size()), read->width()}));
                texts.push_back({prompt, out.back()});
            }
            read->encode(machine.ctx(), texts);
            CHECK(read->load_ms() > 0);
            for (std::size_t i = 0; i < ids.size(); ++i) {
                const Tensor alone = allocate(*machine.backend, out[i].shape());
                resident->encode(machine.ctx(), std::array{TextEncoder::Text{ids[i], alone}});
                const Tensor a = Tensor::host(alone.shape()), b = Tensor::host(alone.shape());
                machine.backend->copy(alone, a);
                machine.backend->copy(out[i], b);
                CHECK(std::ranges::equal(a.as<float>(), b.as<float>()));
            }
        }
    }
}

TEST_CASE("T5 that reads its weights later misses a tensor at once, and reads a broken file once") {
    const auto c = read_manifest("t5").at("cases").at(0);
    Machine machine("cpu");
    const std::string wo = "encoder.block.0.layer.1.DenseReluDense.wo.weight";
    {
        const TempFolder folder;
        write_component(c, folder.path(), {.rename = [&](const std::string& n) { return n == wo ? "another" : n; }});
        CHECK_THROWS_WITH(load_text_encoder(*machine.backend, folder.path().string(), DType::f32, 0),
                          Catch::Contains(wo) && Catch::Contains("missing"));
    }
    const TempFolder folder;
    write_component(c, folder.path());
    const std::string path = folder / "model.safetensors";
    std::string file = file_text(path);
    const auto reader = open_checkpoint(path);
    const auto mapped = static_cast<const char*>(reader->tensor(wo).data);
    const auto first = static_cast<const char*>(reader->tensor(reader->entries().front().name).data);
    const auto begin = file.find(std::string(first, 16));
    REQUIRE(begin != std::string::npos);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    file.replace(begin + static_cast<std::size_t>(mapped - first) + sizeof nan, sizeof nan,
                 std::string(reinterpret_cast<const char*>(&nan), sizeof nan));
    const TempFolder broken;
    write_component(c, broken.path());
    write_file(broken / "model.safetensors", file);
    const auto model = load_text_encoder(*machine.backend, broken.path().string(), DType::f32, 0);
    const auto ids = ids_of(c);
    for (int round = 0; round < 2; ++round)
        CHECK_THROWS_WITH(encode(machine, *model, ids[0]), Catch::Contains(wo) && Catch::Contains("NaN or Inf at [0, 1]"));
}

TEST_CASE("Position buckets have the published edges") {
    const RelativeBuckets buckets;
    // Last distance of each bucket from 8 on (transformers, _relative_position_bucket in float32).
    const std::vector<int> last{11, 15, 22, 31, 45, 63, 90};
    for (int n = 0; n < 300; ++n) {
        int expected = n;
        if (n >= 8) expected = 8 + static_cast<int>(std::ranges::count_if(last, [n](int edge) { return n > edge; }));
        CHECK(buckets.bucket(-n) == expected);
        if (n > 0) CHECK(buckets.bucket(n) == expected + 16);
    }
}

}  // namespace t2i::test
