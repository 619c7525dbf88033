#include <cstring>
#include <filesystem>
#include <numeric>

#include "checkpoint/mapped_file.h"
#include "checkpoint/reader.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/sharded.h"
#include "support/files.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace {

// A whole file: length, header, `data_bytes` zero bytes.
std::string file_of(const std::string& header, std::size_t data_bytes) {
    std::uint64_t length = header.size();
    std::string file(sizeof length, '\0');
    std::memcpy(file.data(), &length, sizeof length);
    return file + header + std::string(data_bytes, '\0');
}

SafetensorsLayout parse(const std::string& file) {
    return parse_safetensors(std::as_bytes(std::span(file)), "model.safetensors");
}

std::string problem_of(const std::string& file) {
    const std::string message = message_of(ErrorCode::input, [&] { (void)parse(file); });
    INFO(message);
    CHECK(contains(message, "model.safetensors: "));
    return message;
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
    std::string text = "\"";
    text += name;
    return text + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

// Built by appending: GCC 12 warns without cause about "literal" + string at -O3.
std::string braced(const std::string& content) {
    std::string text = "{";
    text += content;
    text += "}";
    return text;
}

}  // namespace

TEST_CASE("safetensors: a round trip keeps names, shapes, dtypes, values and metadata") {
    const TempFolder folder;
    std::vector<float> values(12);
    std::iota(values.begin(), values.end(), -3.0F);
    const Tensor weight = Tensor::from(values, {3, 4}), empty = Tensor::host({0, 7}), scalar = Tensor::host({});
    const Tensor half = Tensor::host({5}, DType::bf16), bytes = Tensor::host({3}, DType::u8);
    half.as<bf16>()[4] = to_bf16(2.5F);
    bytes.as<std::uint8_t>()[1] = 200;
    const std::vector<NamedTensor> tensors{
        {"z.weight", weight}, {"empty", empty}, {"scalar", scalar}, {"a.half", half}, {"bytes", bytes}};
    const std::string path = folder / "model.safetensors";
    write_safetensors(path, tensors, {{"format", "pt"}, {"quote", "a \"b\" \n"}});

    const auto reader = open_checkpoint(path);
    REQUIRE(reader->entries().size() == 5);
    CHECK(reader->entries()[0].name == "a.half");
    CHECK(reader->entries()[4].name == "z.weight");
    CHECK(reader->entries()[4].dtype == "F32");
    CHECK(reader->entries()[4].shape == Shape{3, 4});
    CHECK(reader->entries()[4].bytes == 48);
    CHECK(reader->entries()[4].file == path);
    CHECK(reader->metadata().at("quote") == "a \"b\" \n");
    CHECK(std::memcmp(reader->tensor("z.weight").data, values.data(), 48) == 0);
    CHECK(to_f32(reader->tensor("a.half").as<bf16>()[4]) == 2.5F);
    CHECK(reader->tensor("bytes").as<std::uint8_t>()[1] == 200);
    CHECK(reader->tensor("scalar").shape == Shape{});
    CHECK(reader->tensor("empty").elements() == 0);
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)reader->tensor("b"); }), "\"b\""));
    const MappedFile raw(path);
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, raw.bytes().data(), sizeof header_bytes);
    CHECK(header_bytes % 8 == 0);
}

TEST_CASE("safetensors: legal oddities are accepted") {
    CHECK(parse(file_of("{}", 0)).entries.empty());
    CHECK(parse(file_of("{}      ", 0)).entries.empty());
    CHECK(parse(file_of(R"({"__metadata__":{}})", 0)).metadata.empty());
    // Keys in another order, tensors not in offset order, dtypes that have no DType here.
    const auto layout = parse(file_of(R"({"b":{"data_offsets":[8,24],"shape":[2],"dtype":"C64"},)" +
                                          tensor("a", "I64", "[]", "[0,8]") + "," + tensor("é", "F4", "[2]", "[24,25]") + "}",
                                      25));
    REQUIRE(layout.entries.size() == 3);
    CHECK(layout.entries[0].name == "a");
    CHECK(layout.entries[1].bytes == 16);
    CHECK(layout.offsets[1] - layout.offsets[0] == 8);
}

TEST_CASE("safetensors: a broken header is rejected with its reason") {
    const auto cases = std::vector<std::pair<std::string, std::string>>{
        {"", "0 bytes long"},
        {"1234567", "7 bytes long"},
        {std::string(8, '\0'), "does not begin with '{'"},
        {std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8) + "{}", "above 100000000 bytes"},
        {file_of("{}", 0).substr(0, 9), "truncated: the header should be 2 bytes long, but only 1"},
        {file_of(" {}", 0), "does not begin with '{'"},
        {file_of("[]", 0), "does not begin with '{'"},
        {file_of("{", 0), "not valid JSON at byte"},
        {file_of("{}x", 0), "not valid JSON at byte 3"},
        {file_of(std::string("{}\0 ", 4), 0), "not valid JSON at byte 3"},
        {file_of("{\"\xFF\":1}", 0), "not valid JSON"},
        {file_of(R"({"a":1})", 0), "unexpected a number at \"a\""},
        {file_of(R"({"a":[1]})", 0), "unexpected an array at \"a\""},
        {file_of(R"({"a":{"dtype":"F32","shape":[]}})", 0), "tensor \"a\" has no \"data_offsets\""},
        {file_of(R"({"a":{"dtype":["F32"]}})", 0), "unexpected an array at \"dtype\" of tensor \"a\""},
        {file_of(R"({"a":{"dtype":"F32","dtype":"F16"}})", 0), "duplicate key \"dtype\""},
        {file_of(R"({"a":{"extra":"x"}})", 0), "unexpected a string at \"extra\" of tensor \"a\""},
        {file_of(R"({"a":{"shape":[[1]]}})", 0), "unexpected an array"},
        {file_of(R"({"a":{"shape":{"b":{}}}})", 0), "unexpected an object"},
        {file_of(R"({"__metadata__":{"a":1}})", 0), "unexpected a number at \"a\" of \"__metadata__\""},
        {file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "duplicate key \"a\" in \"__metadata__\""},
        {file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "duplicate key \"__metadata__\""},
        {file_of(braced(tensor("a", "F32", "[-1]", "[0,4]")), 4), "a negative number"},
        {file_of(braced(tensor("a", "F32", "[1.5]", "[0,4]")), 4), "a fractional or huge number"},
        {file_of(braced(tensor("a", "F32", "[99999999999999999999]", "[0,4]")), 4), "a fractional or huge number"},
    };
    for (const auto& [file, reason] : cases) {
        const std::string message = problem_of(file);
        INFO(message << "\nexpected: " << reason);
        CHECK(contains(message, reason));
    }
}

TEST_CASE("safetensors: tensors that do not fit are rejected by name") {
    const auto cases = std::vector<std::tuple<std::string, std::size_t, std::string>>{
        {tensor("a", "F33", "[1]", "[0,4]"), 4, "tensor \"a\": unknown dtype \"F33\""},
        {tensor("a", "F32", "[2]", "[0,4]"), 4, "span 4 bytes, but shape [2] of F32 needs 8"},
        {tensor("a", "F32", "[1]", "[4,0]"), 4, "end before they begin"},
        {tensor("a", "F32", "[1]", "[0,4,8]"), 4, "must be two numbers"},
        {tensor("a", "F4", "[1]", "[0,0]"), 0, "do not end on a byte"},
        {tensor("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "9 dimensions"},
        {tensor("a", "F32", "[4611686018427387904,4]", "[0,4]"), 4, "overflows"},
        {tensor("a", "F32", "[18446744073709551615]", "[0,4]"), 4, "overflows"},
        {tensor("a", "F32", "[1]", "[0,4]"), 3, "truncated: tensor \"a\" ends at byte 4"},
        {tensor("a", "F32", "[1]", "[0,4]"), 5, "1 bytes follow the last tensor"},
        {tensor("a", "F32", "[1]", "[4,8]"), 8, "leaving a hole after the start of the data"},
        {tensor("a", "F32", "[1]", "[0,4]") + "," + tensor("b", "F32", "[1]", "[8,12]"), 12,
         "tensor \"b\": begins at byte 8, leaving a hole after \"a\""},
        {tensor("a", "F32", "[2]", "[0,8]") + "," + tensor("b", "F32", "[1]", "[4,8]"), 8, "overlapping \"a\""},
        {tensor("a", "F32", "[1]", "[0,4]") + "," + tensor("a", "F32", "[1]", "[4,8]"), 8, "\"a\" appears twice"},
    };
    for (const auto& [header, data_bytes, reason] : cases) {
        const std::string message = problem_of(file_of(braced(header), data_bytes));
        INFO(message << "\nexpected: " << reason);
        CHECK(contains(message, reason));
    }
}

TEST_CASE("safetensors: deep nesting and very long headers end in an error, not a crash") {
    std::string deep = "{\"__metadata__\":";
    for (int i = 0; i < 1'000'000; ++i) deep += i % 2 ? "[" : "{\"a\":";
    CHECK(contains(problem_of(file_of(deep, 0)), "unexpected"));
    std::string many = "{";
    for (int i = 0; i < 100'000; ++i) many += tensor(std::to_string(i), "F32", "[0]", "[0,0]") + ",";
    many.back() = '}';
    CHECK(parse(file_of(many, 0)).entries.size() == 100'000);
    // A name as long as the header allows stays one short line in the message.
    const std::string message = problem_of(file_of(braced(tensor(std::string(1'000'000, 'n'), "F0", "[0]", "[0,0]")), 0));
    CHECK(message.size() < 400);
}

TEST_CASE("checkpoints of other kinds are recognised and named") {
    const TempFolder folder;
    const auto problem = [&](std::string_view content) {
        const std::string path = write_file(folder / "file", content);
        return message_of(ErrorCode::input, [&] { (void)open_checkpoint(path); });
    };
    CHECK(contains(problem("PK\x03\x04 and more"), "zip archive: no central directory"));
    CHECK(contains(problem("GGUF and more"), "GGUF: version"));
    CHECK(contains(problem("version https://git-lfs.github.com/spec/v1\n"), "is a Git LFS pointer, not the file itself"));
    CHECK(contains(problem("\n<!DOCTYPE html>"), "is a web page"));
    CHECK(contains(problem("Entry not found"), "is a server's answer, not the file itself: \"Entry not found\""));
    CHECK(contains(problem("{\"error\": \"gated\"}"), "is a server's answer"));
    CHECK(contains(problem("moved to another page\n"), "is a text of 22 bytes, not weights"));
    CHECK(contains(problem(std::string(100, '\0')), "begins with zeros"));
    CHECK(contains(problem(""), "is empty"));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)open_checkpoint(folder / "none"); }), "cannot open"));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)open_checkpoint(folder.path()); }), "not a regular file"));
}

TEST_CASE("shard index: the map is read, everything else is stepped over") {
    const auto map = parse_shard_index(
        R"({"metadata":{"total_size":8,"x":[null,true,-1,1.5,{"y":"z"}]},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"},"k":"v"})",
        "index.json");
    CHECK(map == std::map<std::string, std::string>{{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}});
}

TEST_CASE("shard index: bad ones are rejected with their reason") {
    const auto cases = std::vector<std::pair<std::string, std::string>>{
        {"", "not valid JSON"},
        {"[]", "unexpected an array"},
        {"{}", "has no \"weight_map\""},
        {R"({"weight_map":1})", "unexpected a number"},
        {R"({"weight_map":{"a":1}})", "unexpected a number"},
        {R"({"weight_map":{"a":{}}})", "unexpected an object"},
        {R"({"weight_map":["a"]})", "unexpected an array"},
        {R"({"weight_map":{"a":"x","a":"y"}})", "duplicate key \"a\""},
        {R"({"weight_map":{},"weight_map":{}})", "duplicate key \"weight_map\""},
        {R"({"weight_map":{"a":"../x.safetensors"}})", "not a plain file name"},
        {R"({"weight_map":{"a":"/etc/passwd"}})", "not a plain file name"},
        {R"({"weight_map":{"a":"x\\y"}})", "not a plain file name"},
        {R"({"weight_map":{"a":"x\u0000y"}})", "not a plain file name"},
        {R"({"weight_map":{"a":".."}})", "not a plain file name"},
        {R"({"weight_map":{"a":""}})", "not a plain file name"},
    };
    for (const auto& [json, reason] : cases) {
        const std::string message =
            message_of(ErrorCode::input, [&, &text = json] { (void)parse_shard_index(text, "index.json"); });
        INFO(message << "\nexpected: " << reason);
        CHECK(contains(message, reason));
        CHECK(contains(message, "index.json"));
    }
}

TEST_CASE("safetensors writer: what cannot be written is an error and leaves nothing behind") {
    const TempFolder folder;
    const Tensor one = Tensor::host({1});
    const std::vector<NamedTensor> twice{{"a", one}, {"a", one}};
    CHECK(contains(message_of(ErrorCode::input, [&] { write_safetensors(folder / "x", twice); }), "given twice"));
    const std::string nowhere = folder / "none/x";
    CHECK(contains(message_of(ErrorCode::input, [&] { write_safetensors(nowhere, {}); }), "does not exist"));
    CHECK(std::filesystem::is_empty(folder.path()));
}
