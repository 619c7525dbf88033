// GGUF: what is written is read back, and headers that lie end in one line.
#include <cstring>

#include "checkpoint/gguf.h"
#include "core/blocks.h"
#include "core/files.h"
#include "support/files.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;
using namespace std::string_literals;

namespace {

template <typename T>
std::string number(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}
std::string text(const std::string& t) {
    return number(std::uint64_t{t.size()}) + t;
}
std::string header(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    return "GGUF" + number(version) + number(tensors) + number(keys);
}
std::string tensor(const std::string& name, const std::vector<std::uint64_t>& sizes, std::uint32_t type, std::uint64_t offset) {
    std::string bytes = text(name) + number(static_cast<std::uint32_t>(sizes.size()));
    for (const auto size : sizes) bytes += number(size);
    return bytes + number(type) + number(offset);
}
std::string padded(std::string bytes, std::size_t data_bytes) {
    bytes.resize((bytes.size() + 31) / 32 * 32 + data_bytes);
    return bytes;
}
GgufLayout parse(const std::string& file) {
    return parse_gguf(std::as_bytes(std::span(file)), "t5.gguf");
}
std::string problem_of(const std::string& file) {
    const std::string message = message_of(ErrorCode::input, [&] { (void)parse(file); });
    INFO(message);
    CHECK(contains(message, "t5.gguf: GGUF: "));
    CHECK(message.size() < 400);
    return message;
}

constexpr std::uint32_t f32 = 0, q8_0 = 8;

}  // namespace

TEST_CASE("GGUF: a round trip keeps names, types, shapes, bytes and metadata, one tensor at a time") {
    const TempFolder folder;
    std::vector<float> values(512);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 37) - 18.0F;
    const std::vector<PlannedTensor> planned{
        {"z", DType::f32, {3}},     {"w8", DType::q8_0, {2, 32}}, {"w4", DType::q4_k, {2, 256}},   {"h", DType::bf16, {1, 5}},
        {"scalar", DType::f32, {}}, {"d", DType::f64, {2}},       {"i", DType::i32, {2, 3, 4, 5}}, {"none", DType::f16, {0, 4}}};
    const std::vector<std::pair<std::string, GgufValue>> metadata{{"general.architecture", std::string("t5encoder")},
                                                                  {"count", std::uint32_t{7}},
                                                                  {"eps", 0.5F},
                                                                  {"flag", true},
                                                                  {"tokens", std::vector<std::string>{"a", "▁b"}},
                                                                  {"ids", std::vector<std::int32_t>{1, -2, 3}}};
    const std::string path = folder / "a.gguf";
    std::vector<std::string> asked;
    write_gguf(path, planned, metadata, [&](const PlannedTensor& t, const ByteSink& sink) {
        asked.push_back(t.name);
        std::vector<std::byte> bytes(bytes_of(t.shape, t.dtype));
        if (is_block_type(t.dtype))
            pack_blocks(values.data(), static_cast<std::size_t>(t.shape.elements()), t.dtype, bytes.data());
        else
            for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
        const std::size_t half = bytes.size() / 2;
        sink(std::span(bytes).first(half));
        sink(std::span(bytes).subspan(half));
    });
    CHECK(asked == std::vector<std::string>{"z", "w8", "w4", "h", "scalar", "d", "i", "none"});
    const auto reader = open_checkpoint(path);
    REQUIRE(reader->entries().size() == planned.size());
    for (const PlannedTensor& t : planned) {
        const TensorView view = reader->tensor(t.name);
        CHECK(view.dtype == t.dtype);
        CHECK(view.shape == t.shape);
        if (!is_block_type(t.dtype) && view.bytes() > 1) CHECK(static_cast<const std::uint8_t*>(view.data)[1] == 1);
    }
    std::vector<float> unpacked(64);
    convert_to_f32(reader->tensor("w8").data, DType::q8_0, unpacked.size(), unpacked.data());
    CHECK(std::abs(unpacked[40] - values[40]) < 0.1F);
    CHECK(reader->metadata().at("ids") == "[3 numbers]");
    CHECK(reader->metadata().at("count") == "7");
}

TEST_CASE("GGUF: what cannot be written leaves nothing behind") {
    const TempFolder folder;
    const auto problem = [&](const PlannedTensor& t) {
        const std::vector<PlannedTensor> planned{t};
        return message_of(ErrorCode::input, [&] { write_gguf(folder / "x", planned, {}, [](const auto&, const auto&) {}); });
    };
    CHECK(contains(problem({"w", DType::q8_0, {2, 33}}), "rows of 33 are no whole blocks of q8_0"));
    CHECK(contains(problem({"w", DType::u8, {2}}), "GGUF cannot hold u8"));
    CHECK(contains(problem({"w", DType::f32, {1, 1, 1, 1, 1}}), "at most 4 dimensions"));
    const std::vector<PlannedTensor> one{{"w", DType::f32, {4}}};
    CHECK_THROWS_AS(write_gguf(folder / "x", one, {}, [](const auto&, const auto&) {}), std::logic_error);
    CHECK_THROWS_AS(
        write_gguf(folder / "x", one, {}, [](const auto&, const ByteSink&) { throw Error(ErrorCode::cancelled, "stop"); }),
        Error);
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("GGUF: a file of 123 tensors is no safetensors file") {
    const TempFolder folder;
    std::vector<PlannedTensor> planned;
    for (int i = 0; i < 123; ++i) planned.push_back({std::to_string(i), DType::f32, {1}});
    write_gguf(folder / "x", planned, {}, [](const auto&, const ByteSink& sink) { sink(std::vector<std::byte>(4)); });
    CHECK(open_checkpoint(folder / "x")->entries().size() == 123);
}

TEST_CASE("GGUF: headers that are broken or lie") {
    const std::string good = tensor("w", {4}, f32, 0);
    CHECK(parse(padded(header(1, 0) + good, 16)).entries[0].bytes == 16);
    CHECK(parse(padded(header(1, 0, 2) + good, 16)).offsets[0] % 32 == 0);
    CHECK(parse(padded(header(1, 0) + tensor("w", {0, 4}, f32, 1 << 20), 0)).entries[0].bytes == 0);
    const std::uint64_t huge = std::uint64_t{1} << 63;
    const std::string alignment = text("general.alignment") + number(std::uint32_t{4});
    const std::vector<std::pair<std::string, std::string>> cases{
        {"GGUF", "cut short"},
        {header(0, 0, 1), "version 1 is not read"},
        {header(0, 0, 4), "version 4 is not read"},
        {header(0, 0, 0x03000000), "highest byte first"},
        {header(huge, 0), "more than any model has"},
        {header(0, huge), "more than any model has"},
        {header(100'000, 0), "cut short"},
        {header(1, 0) + number(huge), "cut short: tensor of 9223372036854775808 bytes"},
        {header(0, 1) + text("k") + number(std::uint32_t{8}) + number(huge), "cut short: text of"},
        {header(0, 1) + text("k") + number(std::uint32_t{99}), "key \"k\": a value of unknown type 99"},
        {header(0, 1) + text("k") + number(std::uint32_t{9}) + number(std::uint32_t{9}) + number(std::uint64_t{1}),
         "a list of unknown type 9"},
        {header(0, 1) + text("k") + number(std::uint32_t{9}) + number(std::uint32_t{12}) + number(huge),
         "key \"k\" of 9223372036854775808 numbers"},
        {header(0, 1) + text("k") + number(std::uint32_t{9}) + number(std::uint32_t{8}) + number(huge), "cut short"},
        {header(0, 2) + text("k") + number(std::uint32_t{7}) + "\1" + text("k") + number(std::uint32_t{7}) + "\1",
         "key \"k\" appears twice"},
        {header(0, 1) + text("k\xFF") + number(std::uint32_t{7}) + "\1", "key \"k\\xff\" is not UTF-8"},
        {header(0, 1) + alignment + number(std::uint32_t{48}), "not a power of two"},
        {header(0, 1) + alignment + number(std::uint32_t{0}), "not a power of two"},
        {padded(header(2, 0) + good + good, 64), "tensor \"w\" appears twice"},
        {padded(header(2, 0) + good + tensor("v", {4}, f32, 0), 64), "overlap"},
        {padded(header(1, 0) + good, 15), "but the file has only 15"},
        {padded(header(1, 0) + tensor("w", {4}, f32, 32), 32), "but the file has only 32"},
        {padded(header(1, 0) + tensor("w", {4}, f32, 8), 64), "not at a multiple of 32"},
        {padded(header(1, 0) + tensor("w", {4}, f32, huge), 64), "but the file has only"},
        {padded(header(1, 0) + tensor("w", {huge}, f32, 0), 64), "its size overflows 64 bits"},
        {padded(header(1, 0) + tensor("w", {huge - 1}, f32, 0), 64), "its size overflows 64 bits"},
        {padded(header(1, 0) + tensor("w", {huge / 2, 4}, f32, 0), 64), "its size overflows 64 bits"},
        {padded(header(1, 0) + tensor("w", {1, 1, 1, 1, 1}, f32, 0), 64), "5 dimensions"},
        {padded(header(1, 0) + tensor("w", {33, 2}, q8_0, 0), 128), "rows of 33 are no whole blocks of Q8_0"},
        {padded(header(1, 0) + tensor("w", {4}, 4, 0), 64), "type 4 is not known"},
        {padded(header(1, 0) + tensor("", {4}, f32, 0), 64), "has no name"},
        {padded(header(1, 0) + tensor("\xC3", {4}, f32, 0), 64), "is not UTF-8"},
        {padded(header(1, 0) + tensor(std::string(1001, 'n'), {4}, f32, 0), 64), "longer than 1000 bytes"},
    };
    for (const auto& [file, reason] : cases) {
        const std::string message = problem_of(file);
        INFO(message << "\nexpected: " << reason);
        CHECK(contains(message, reason));
    }
    const std::string whole = padded(header(1, 1) + text("k") + number(std::uint32_t{8}) + text("v") + good, 16);
    for (std::size_t bytes = 4; bytes < whole.size(); ++bytes) (void)problem_of(whole.substr(0, bytes));
}
