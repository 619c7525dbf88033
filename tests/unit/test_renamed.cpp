#include "checkpoint/renamed.h"
#include "checkpoint/safetensors.h"
#include "models/name_rules.h"
#include "support/catch.h"
#include "support/files.h"
#include "t2i/error.h"

namespace t2i::test {
namespace {

std::unique_ptr<CheckpointReader> file_with(const TempFolder& folder, const std::vector<NamedTensor>& tensors) {
    write_safetensors(folder / "a.safetensors", tensors);
    return open_checkpoint(folder / "a.safetensors");
}

std::vector<float> values(const CheckpointReader& reader, const std::string& name) {
    const TensorView view = reader.tensor(name);
    std::vector<float> out(static_cast<std::size_t>(view.elements()));
    convert_to_f32(view.data, view.dtype, out.size(), out.data());
    return out;
}

std::string error_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::input);
        return error.what();
    }
    return "nothing was thrown";
}

}  // namespace

TEST_CASE("a renaming reader cuts, reshapes and scales, and shows nothing else") {
    const TempFolder folder;
    const std::array<float, 6> numbers{1, 2, 3, 4, 5, 6};
    const Tensor qkv = Tensor::from(numbers, {3, 2}), scale = Tensor::from(std::array{2.5F}, {});
    auto reader = rename_tensors(file_with(folder, {{"qkv", qkv}, {"scale", scale}, {"other", qkv}}),
                                 {{.name = "k", .source = "qkv", .first_row = 1, .rows = 1},
                                  {.name = "v", .source = "qkv", .first_row = 2, .rows = 1, .shape = Shape{2, 1, 1}},
                                  {.name = "all", .source = "qkv"},
                                  {.name = "doubled", .source = "qkv", .shape = Shape{6}, .scale = "scale"}});
    REQUIRE(reader->entries().size() == 4);
    CHECK(find_entry(*reader, "other") == nullptr);
    CHECK(find_entry(*reader, "k")->shape == Shape{1, 2});
    CHECK(find_entry(*reader, "k")->bytes == 8);
    CHECK(find_entry(*reader, "v")->shape == Shape{2, 1, 1});
    CHECK(values(*reader, "k") == std::vector<float>{3, 4});
    CHECK(values(*reader, "v") == std::vector<float>{5, 6});
    CHECK(values(*reader, "all") == std::vector<float>(numbers.begin(), numbers.end()));
    CHECK(values(*reader, "doubled") == std::vector<float>{2.5F, 5, 7.5F, 10, 12.5F, 15});
    CHECK(reader->tensor("doubled").data == reader->tensor("doubled").data);
    CHECK(error_of([&] { (void)reader->tensor("qkv"); }).ends_with("tensor \"qkv\" is not in the file"));
}

TEST_CASE("a table that does not fit its file is an error that names tensor and file") {
    const TempFolder folder;
    const Tensor t = Tensor::host({3, 2});
    const auto error = [&](std::vector<RenamedTensor> table) {
        return error_of([&] { (void)rename_tensors(file_with(folder, {{"t", t}, {"s", t}}), std::move(table)); });
    };
    const std::string where = folder / "a.safetensors: ";
    CHECK(error({{.name = "a", .source = "u"}}) == "tensor \"u\" is missing");
    CHECK(error({{.name = "a", .source = "t", .first_row = 2, .rows = 2}}) ==
          where + "tensor \"t\": shape [3, 2] has no rows up to 4");
    CHECK(error({{.name = "a", .source = "t", .shape = Shape{5}}}) ==
          where + "tensor \"t\": shape [3, 2], expected as many elements as [5]");
    CHECK(error({{.name = "a", .source = "t", .scale = "s"}}) == where + "tensor \"t\": \"s\", its scale, is not one number");
    CHECK(error({{.name = "a", .source = "t"}, {.name = "a", .source = "s"}}) ==
          where + "holds tensor \"a\" twice, under two names");
}

TEST_CASE("rules of names: numbers, numbers from the other end, copies, parts, what is left out") {
    constexpr std::array rules{NameRule{"up.#.block.#.nin.*", "ups.~.resnets.#.shortcut.*"},
                               NameRule{"embed.*", "blocks.@.embed.*"},
                               NameRule{"b.#.kv.*", "blocks.#.k.*", 0, 2},
                               NameRule{"b.#.kv.*", "blocks.#.v.*", 1, 2},
                               NameRule{"mid.q.*", "mid.to_q.*", 0, 1, true},
                               NameRule{"loss*", nullptr},
                               NameRule{"*.scale_weight", nullptr}};
    const TempFolder folder;
    const Tensor matrix = Tensor::host({4, 3}), filter = Tensor::host({2, 3, 1, 1}), one = Tensor::host({1}),
                 vector = Tensor::host({2});
    auto reader = file_with(folder, {{"p.up.0.block.12.nin.weight", matrix},
                                     {"p.embed.bias", vector},
                                     {"p.b.7.kv.weight", matrix},
                                     {"p.b.7.kv.scale_weight", one},
                                     {"p.mid.q.weight", filter},
                                     {"p.mid.q.bias", vector},
                                     {"p.loss.logvar", one},
                                     {"p.unknown", one},
                                     {"elsewhere", one}});
    const auto table = apply_rules(rules, *reader, "p.", {.blocks = 2, .levels = 4});
    const auto row = [&](const std::string& name) {
        const auto found = std::ranges::find(table, name, &RenamedTensor::name);
        INFO(name);
        REQUIRE(found != table.end());
        return *found;
    };
    CHECK(table.size() == 8);
    CHECK(row("ups.3.resnets.12.shortcut.weight").source == "p.up.0.block.12.nin.weight");
    CHECK(row("blocks.0.embed.bias").source == row("blocks.1.embed.bias").source);
    CHECK(row("blocks.7.k.weight").first_row == 0);
    CHECK(row("blocks.7.v.weight").first_row == 2);
    CHECK(row("blocks.7.v.weight").rows == 2);
    CHECK(row("blocks.7.v.weight").scale == "p.b.7.kv.scale_weight");
    CHECK(row("mid.to_q.weight").shape == Shape{2, 3});
    CHECK_FALSE(row("mid.to_q.bias").shape);
    CHECK(row("unknown").source == "p.unknown");  // whoever loads the model sees it
    constexpr std::array thirds{NameRule{"p.b.#.kv.weight", "q.#", 0, 3}};
    CHECK(error_of([&] { (void)apply_rules(thirds, *reader, "", {}); }) ==
          folder / "a.safetensors: tensor \"p.b.7.kv.weight\": shape [4, 3] does not divide into 3 parts");
}

}  // namespace t2i::test
