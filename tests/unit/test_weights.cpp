#include <cstring>
#include <memory>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/weights.h"
#include "support/files.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace {

// A checkpoint of a small model, written and opened again.
class SmallCheckpoint {
  public:
    WeightStore store() {
        write_safetensors(folder_ / "small.safetensors", tensors_);
        return WeightStore(open_checkpoint(folder_ / "small.safetensors"), folder_.path());
    }
    Tensor& add(const std::string& name, Shape shape, DType dtype = DType::f32) {
        owned_.push_back(std::make_unique<Tensor>(Tensor::host(shape, dtype)));
        tensors_.push_back({name, *owned_.back()});
        return *owned_.back();
    }

  private:
    TempFolder folder_;
    std::vector<std::unique_ptr<Tensor>> owned_;
    std::vector<NamedTensor> tensors_;
};

}  // namespace

TEST_CASE("weights: scopes join names with dots, and no tensor is left over once all are taken") {
    SmallCheckpoint checkpoint;
    checkpoint.add("blocks.3.attn.to_q.weight", {2, 3}).as<float>()[5] = 7.0F;
    checkpoint.add("bias", {2}, DType::bf16).as<bf16>()[1] = to_bf16(0.5F);
    WeightStore store = checkpoint.store();
    const Scope block = store.root() / "blocks" / 3;
    CHECK(block.prefix() == "blocks.3");
    CHECK((block / "attn").has("to_q.weight"));
    CHECK_FALSE(block.has("to_q.weight"));
    CHECK((block / "attn" / "to_q").take("weight", {2, 3}).as<float>()[5] == 7.0F);
    CHECK(contains(store.left_over(), "1 tensor has no place in this model and is passed over: \"bias\" [2]"));
    CHECK(store.root().take_f32("bias", {2}).as<float>()[1] == 0.5F);
    CHECK(store.left_over().empty());
}

TEST_CASE("weights: a missing tensor is reported with the nearest name") {
    SmallCheckpoint checkpoint;
    checkpoint.add("blocks.0.attn.to_q.weight", {1});
    checkpoint.add("blocks.0.attn.to_k.weight", {1});
    WeightStore store = checkpoint.store();
    const auto problem = [&](const std::string& name) {
        return message_of(ErrorCode::input, [&] { (void)store.root().take(name, {1}); });
    };
    CHECK(contains(problem("blocks.0.attn.q.weight"),
                   "\"blocks.0.attn.q.weight\" is missing; the nearest name is \"blocks.0.attn.to_q.weight\""));
    CHECK(contains(problem("block.0.attn.to_k.weight"), "\"blocks.0.attn.to_k.weight\""));
    CHECK(contains(problem("xyz"), "2 other tensors, none of a similar name"));
}

TEST_CASE("weights: a wrong shape or dtype names both") {
    SmallCheckpoint checkpoint;
    checkpoint.add("w", {2, 3});
    checkpoint.add("steps", {4}, DType::i32);
    WeightStore store = checkpoint.store();
    const std::string shape = message_of(ErrorCode::input, [&] { (void)store.root().take("w", {3, 2}); });
    CHECK(contains(shape, "small.safetensors: tensor \"w\": shape [2, 3], but the model's configuration asks for [3, 2]"));
    const std::string dtype = message_of(ErrorCode::input, [&] { (void)store.root().take("steps", {4}); });
    CHECK(contains(dtype,
                   "tensor \"steps\": dtype I32 is not read as weights; F32, F16, BF16, F64, F8_E4M3, F8_E5M2, Q8_0, Q4_0, Q4_K, "
                   "Q5_K, Q6_K are"));
}

TEST_CASE("weights: NaN and Inf are found in every dtype, with their index") {
    struct Case {
        DType dtype;
        std::uint64_t nan, infinity, largest;
    };
    const auto c = GENERATE(Case{DType::f32, 0x7FC00001U, 0xFF800000U, 0x7F7FFFFFU}, Case{DType::f16, 0x7E01U, 0xFC00U, 0x7BFFU},
                            Case{DType::bf16, 0x7FC1U, 0xFF80U, 0x7F7FU},
                            Case{DType::f64, 0x7FF8000000000001U, 0xFFF0000000000000U, 0x47EFFFFFE0000000U},
                            Case{DType::f64, 0xFFF0000000000001U, 0x47EFFFFFF0000000U, 0xC7EFFFFFEFFFFFFFU},  // too large for f32
                            Case{DType::f8_e4m3, 0x7FU, 0xFFU, 0x7EU}, Case{DType::f8_e5m2, 0x7DU, 0xFCU, 0x7BU});
    const std::int64_t rows = 101, columns = 97;  // more than one block of the scan, and a ragged end
    const std::int64_t at = GENERATE(std::int64_t{0}, std::int64_t{4096}, std::int64_t{101 * 97 - 1});
    for (const std::uint64_t bits : {c.nan, c.infinity, c.largest}) {
        SmallCheckpoint checkpoint;
        Tensor& w = checkpoint.add("w", {rows, columns}, c.dtype);
        std::memcpy(static_cast<std::byte*>(w.view.data) + static_cast<std::size_t>(at) * size_of(c.dtype), &bits,
                    size_of(c.dtype));
        WeightStore store = checkpoint.store();
        if (bits == c.largest) {
            (void)store.root().take("w", {rows, columns});
            continue;
        }
        const std::string message = message_of(ErrorCode::input, [&] { (void)store.root().take("w", {rows, columns}); });
        CHECK(contains(
            message, "tensor \"w\": NaN or Inf at [" + std::to_string(at / columns) + ", " + std::to_string(at % columns) + "]"));
    }
}

TEST_CASE("weights: a block whose scale is no number is found, by its first element") {
    struct Case {
        DType dtype;
        std::size_t place;  // of a scale in the block
    };
    const auto c = GENERATE(Case{DType::q8_0, 0}, Case{DType::q4_0, 0}, Case{DType::q4_k, 0}, Case{DType::q4_k, 2},
                            Case{DType::q5_k, 0}, Case{DType::q5_k, 2}, Case{DType::q6_k, 208});
    const TempFolder folder;
    const StorageBlock block = block_of(c.dtype);
    const Tensor w = Tensor::host({3, 2 * block.elements}, c.dtype);
    const std::string path = folder / "w.gguf";
    const auto taken = [&] {
        const std::vector<PlannedTensor> planned{{"w", c.dtype, w.shape()}};
        write_gguf(path, planned, {}, [&](const PlannedTensor&, const ByteSink& sink) {
            sink({static_cast<const std::byte*>(w.view.data), w.view.bytes()});
        });
        WeightStore store(open_checkpoint(path), path);
        return store.root().take_f32("w", w.shape());
    };
    CHECK(taken().as<float>()[0] == 0.0F);
    const std::uint16_t infinity = 0x7C00;
    std::memcpy(static_cast<std::byte*>(w.view.data) + 3 * block.bytes + c.place, &infinity, sizeof infinity);
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)taken(); }),
                   "tensor \"w\": NaN or Inf at [1, " + std::to_string(block.elements) + "]"));
}

TEST_CASE("weights: ignored and renamed tensors") {
    SmallCheckpoint checkpoint;
    checkpoint.add("pos_embed.pos_embed", {9});
    checkpoint.add("model.old_name", {1});
    WeightStore store = checkpoint.store();
    store.rename([](const std::string& name) { return "model.old_" + name; });
    store.ignore("pos_embed.pos_embed");
    CHECK(store.root().has("name"));
    (void)store.root().take("name", {1});
    CHECK(store.left_over().empty());
}

TEST_CASE("weights: many left-over tensors are counted, a few named") {
    SmallCheckpoint checkpoint;
    for (int i = 0; i < 9; ++i) checkpoint.add("extra." + std::to_string(i), {1});
    const WeightStore store = checkpoint.store();
    const std::string message = store.left_over();
    CHECK(contains(message, "9 tensors have no place in this model and are passed over: \"extra.0\" [1], "));
    CHECK(contains(message, ", …"));
    CHECK_FALSE(contains(message, "extra.5"));
}
