// Files of torch.save and of ggml's own Python package, against what they were made of.
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/reader.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/stored_dtype.h"
#include "core/files.h"
#include "support/files.h"
#include "support/place.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace {

std::string golden(const std::string& name) {
    return (source_folder() / "tests/golden/containers" / name).string();
}

const nlohmann::json& expected() {
    static const nlohmann::json files = nlohmann::json::parse(read_text_file(golden("expected.json")))["files"];
    return files;
}

std::vector<float> floats_of(const TensorView& view) {
    std::vector<float> values(static_cast<std::size_t>(view.elements()));
    if (view.dtype == DType::i32 || view.dtype == DType::u8)
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = view.dtype == DType::i32 ? static_cast<float>(view.as<std::int32_t>()[i]) : view.as<std::uint8_t>()[i];
    else convert_to_f32(view.data, view.dtype, values.size(), values.data());
    return values;
}

void check_entries(const CheckpointReader& reader, const nlohmann::json& tensors) {
    REQUIRE(reader.entries().size() == tensors.size());
    for (const auto& entry : reader.entries()) {
        INFO(entry.name);
        REQUIRE(tensors.contains(entry.name));
        const nlohmann::json& t = tensors[entry.name];
        CHECK(entry.dtype == t["dtype"]);
        CHECK(entry.shape == Shape(t["shape"].get<std::vector<std::int64_t>>()));
        if (!stored_dtype(entry.dtype)) {
            CHECK(contains(message_of(ErrorCode::input, [&] { (void)reader.tensor(entry.name); }), "dtype " + entry.dtype));
            continue;
        }
        const TensorView view = reader.tensor(entry.name);
        CHECK(view.bytes() == entry.bytes);
        CHECK(reader.tensor(entry.name).data == view.data);
        std::vector<float> values;
        for (const auto& value : t["values"]) values.push_back(value.is_string() ? NAN : value.get<float>());
        REQUIRE(floats_of(view).size() == values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float found = floats_of(view)[i];
            CHECK((found == values[i] || (std::isnan(found) && std::isnan(values[i]))));
        }
    }
}

}  // namespace

TEST_CASE("containers: every tensor of torch's and ggml's files, by name, type, shape and value") {
    for (const auto& [name, file] : expected().items()) {
        INFO(name);
        const auto reader = open_checkpoint(golden(name), "");
        check_entries(*reader, file["tensors"]);
        CHECK(reader->weights() == file["weights"]);
    }
    CHECK(expected().size() == 13);
}

TEST_CASE("containers: of nested dictionaries the one that the projects' own loaders take") {
    for (const auto& [name, file] : expected().items()) {
        const std::string weights = file["weights"];
        if (weights.empty()) continue;
        INFO(name);
        nlohmann::json tensors;
        for (const auto& [tensor, about] : file["tensors"].items())
            if (tensor.starts_with(weights + ".")) tensors[tensor.substr(weights.size() + 1)] = about;
        const auto chosen = open_checkpoint(golden(name));
        check_entries(*chosen, tensors);
        CHECK(chosen->weights().empty());
    }
    CHECK(open_checkpoint(golden("training.pt"))->tensor("x.weight").as<float>()[0] == -2.0F);           // of "ema"
    CHECK(open_checkpoint(golden("training.pt"), "model")->tensor("x.weight").as<float>()[0] == -1.0F);  // as asked for
    CHECK(open_checkpoint(golden("training.pt"), "opt.state.0")->entries()[0].name == "exp_avg");
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)open_checkpoint(golden("training.pt"), "mode"); }),
                   "training.pt: no tensors in \"mode\"; there are \"ema\", \"model\", \"opt\""));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)open_checkpoint(golden("two.pt"))->tensor("x.weight"); }),
                   "not in the file"));
}

TEST_CASE("containers: elements in order are used where they lie, others are put in order once") {
    const auto strided = open_checkpoint(golden("strided.pt"));
    const auto* whole = strided->tensor("whole").as<float>().data();
    CHECK(strided->tensor("tail").as<float>().data() == whole + 6);  // one storage
    CHECK(strided->tensor("every_other").as<float>().data() != whole + 1);
    CHECK(open_checkpoint(golden("big.pt"))->tensor("conv.bias").as<float>()[0] == 1.5F);
}

TEST_CASE("containers: GGUF's metadata as text, lists as how long they are") {
    const auto reader = open_checkpoint(golden("types.gguf"));
    const auto& metadata = reader->metadata();
    CHECK(metadata.at("general.architecture") == "t5encoder");
    CHECK(metadata.at("general.name") == "a \"name\"");
    CHECK(metadata.at("t5encoder.block_count") == "1");
    CHECK(metadata.at("t5encoder.attention.layer_norm_epsilon").starts_with("9.99999997"));
    CHECK(metadata.at("flag") == "true");
    CHECK(metadata.at("tokens") == "[3 texts]");
    CHECK(metadata.at("scores") == "[2 numbers]");
}

TEST_CASE("containers: an index of PyTorch shards works as one of safetensors") {
    const TempFolder folder;
    std::filesystem::copy(golden("flat.pt"), folder.path() / "pytorch_model-00001-of-00002.bin");
    std::filesystem::copy(golden("stream.pt"), folder.path() / "pytorch_model-00002-of-00002.bin");
    const std::string index = write_file(
        folder / "pytorch_model.bin.index.json",
        R"({"metadata":{},"weight_map":{"conv.bias":"pytorch_model-00001-of-00002.bin","scalar":"pytorch_model-00002-of-00002.bin"}})");
    const auto reader = open_checkpoint(index);
    CHECK(floats_of(reader->tensor("conv.bias"))[1] == -2.0F);  // they may lie at any byte
    CHECK(floats_of(reader->tensor("scalar")) == std::vector<float>{2.5F});
    CHECK(checkpoint_files(index).size() == 3);
    (void)write_file(folder / "pytorch_model-00002-of-00002.bin", file_text(index));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)open_checkpoint(index); }), "not a shard"));
}

TEST_CASE("containers: what files of other kinds are, and what to do with them") {
    const TempFolder folder;
    const auto problem = [&](std::string_view content) {
        const std::string path = write_file(folder / "file.bin", content);
        return message_of(ErrorCode::input, [&] { (void)open_checkpoint(path); });
    };
    std::string tar(600, '\0');
    tar.replace(0, 10, "model.ckpt").replace(257, 5, "ustar");
    CHECK(contains(problem(tar), "a tar archive"));
    CHECK(contains(problem("\x1F\x8B gzip"), "compressed by gzip"));
    CHECK(contains(problem("\x89HDF\r\n"), "HDF5"));
    CHECK(contains(problem("\x80\x04\x95"), "pickle: cut short"));
    CHECK(contains(problem(std::string("\x80\x02K\x01.", 5) + std::string("\x80\x02K\x01.", 5)),
                   "a Python pickle, not a checkpoint"));
}

TEST_CASE("F64, F8_E4M3 and F8_E5M2 become f32 exactly, and what is no number stays none") {
    CHECK(to_f32(f8_e4m3{0x7E}) == 448.0F);
    CHECK(to_f32(f8_e4m3{0x01}) == 0.001953125F);
    CHECK(to_f32(f8_e4m3{0x08}) == 0.015625F);
    CHECK(to_f32(f8_e4m3{0xB8}) == -1.0F);
    CHECK(std::isnan(to_f32(f8_e4m3{0x7F})));
    CHECK(std::isnan(to_f32(f8_e4m3{0xFF})));
    CHECK(to_f32(f8_e5m2{0x7B}) == 57344.0F);
    CHECK(to_f32(f8_e5m2{0x01}) == 0x1p-16F);
    CHECK(std::isinf(to_f32(f8_e5m2{0xFC})));
    CHECK(std::isnan(to_f32(f8_e5m2{0x7D})));
    CHECK(to_f32(0.1) == 0.1F);
}
