// The T5 encoder against transformers' T5EncoderModel (scripts/golden/t5.py).
#include "models/registry.h"
#include "nn/relative_bias.h"
#include "support/catch.h"
#include "support/fixture.h"

namespace t2i::test {
namespace {

std::vector<std::vector<std::int32_t>> ids_of(const nlohmann::json& c) {
    return c.at("ids").get<std::vector<std::vector<std::int32_t>>>();
}

void check_case(const nlohmann::json& c, const std::string& backend, DType compute, double limit) {
    const auto results = read_results("t5");
    const TempFolder folder;
    write_component(c, folder.path());
    Machine machine(backend);
    const auto model = load_text_encoder(*machine.backend, folder.path().string(), compute);
    const auto ids = ids_of(c);
    const Conditioning text = model->encode(machine.ctx(), ids);
    const auto name = c.at("name").get<std::string>();
    double worst = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto length = static_cast<std::int64_t>(ids[i].size());
        REQUIRE(text.lengths[i] == length);
        const TensorView row =
            text.embeddings.view.slice(static_cast<std::int64_t>(i), 1).reshaped({text.embeddings.shape()[1], model->width()});
        worst = std::max(worst, relative_error(row.slice(0, length), results->tensor(name + "." + std::to_string(i))));
    }
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

TEST_CASE("T5 gives a prompt the same numbers whatever it is batched with") {
    const auto c = read_manifest("t5").at("cases").at(0);
    const TempFolder folder;
    write_component(c, folder.path());
    Machine machine("cpu");
    const auto model = load_text_encoder(*machine.backend, folder.path().string(), DType::f32);
    const auto ids = ids_of(c);
    const std::vector<std::vector<std::int32_t>> repeated{ids[1], ids[2], ids[1]}, alone{ids[1]};
    const Conditioning batch = model->encode(machine.ctx(), repeated), single = model->encode(machine.ctx(), alone);
    const auto row = static_cast<std::size_t>(batch.embeddings.shape()[1] * model->width());
    const auto a = single.embeddings.as<float>();
    for (const std::size_t b : {std::size_t{0}, std::size_t{2}}) {
        const auto together = batch.embeddings.as<float>().subspan(b * row, row);
        CHECK(std::equal(a.begin(), a.end(), together.begin()));
        CHECK(std::all_of(together.begin() + static_cast<std::ptrdiff_t>(a.size()), together.end(),
                          [](float v) { return v == 0.0F; }));
    }
}

TEST_CASE("T5 reads shards, half precision and the tied copy of the embedding alone") {
    const auto c = read_manifest("t5").at("cases").at(1);
    const auto ids = ids_of(c);
    Machine machine("cpu");
    const auto encode = [&](const FolderOptions& options) {
        const TempFolder folder;
        write_component(c, folder.path(), options);
        return load_text_encoder(*machine.backend, folder.path().string(), DType::f32)->encode(machine.ctx(), ids);
    };
    const Conditioning whole = encode({});
    CHECK(relative_error(encode({.shards = 3}).embeddings, whole.embeddings) == 0.0);
    CHECK(relative_error(
              encode({.rename = [](const std::string& n) { return n == "shared.weight" ? "encoder.embed_tokens.weight" : n; }})
                  .embeddings,
              whole.embeddings) == 0.0);
    CHECK(relative_error(encode({.dtype = DType::f16}).embeddings, whole.embeddings) < 5e-3);
    CHECK(relative_error(encode({.dtype = DType::bf16}).embeddings, whole.embeddings) < 5e-2);
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
