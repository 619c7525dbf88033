// Files that claim to be checkpoints of torch.save: each ends in one line that says what is wrong, soon and in little memory.
#include <sys/resource.h>

#include <cstring>

#include "checkpoint/pickle.h"
#include "checkpoint/reader.h"
#include "checkpoint/torch_file.h"
#include "checkpoint/torch_objects.h"
#include "support/files.h"
#include "support/zip_builder.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;
using namespace std::string_literals;

namespace {

// Pickles by hand: what follows "\x80\x02", up to ".".
std::string pickled(const std::string& body) {
    return "\x80\x02" + body + ".";
}
std::string text(const std::string& t) {
    return "X"s + static_cast<char>(t.size()) + "\0\0\0"s + t;
}
std::string number(std::int64_t n) {
    std::string s = "\x8A\x08";
    for (int i = 0; i < 8; ++i) s += static_cast<char>((static_cast<std::uint64_t>(n) >> (8 * i)) & 0xFFU);
    return s;
}
std::string storage(const std::string& key, std::int64_t elements, const std::string& class_name = "torch\nFloatStorage") {
    return "(" + text("storage") + "c" + class_name + "\n" + text(key) + text("cpu") + number(elements) + "tQ";
}
std::string tuple(const std::vector<std::int64_t>& numbers) {
    std::string s = "(";
    for (const auto n : numbers) s += number(n);
    return s + "t";
}
std::string tensor(const std::string& its_storage, std::int64_t first, const std::vector<std::int64_t>& sizes,
                   const std::vector<std::int64_t>& strides) {
    return "ctorch._utils\n_rebuild_tensor_v2\n(" + its_storage + number(first) + tuple(sizes) + tuple(strides) + "\x89}tR";
}
// {"w": value}
std::string dictionary(const std::string& value) {
    return pickled("}" + text("w") + value + "s");
}
std::string archive(const std::string& pickle, const std::string& data = std::string(16, '\1')) {
    return ZipBuilder().add("a/data.pkl", pickle).add("a/data/0", data).build();
}

TorchLayout parse(const std::string& file) {
    return parse_torch_zip(std::as_bytes(std::span(file)), "model.pt");
}
std::string problem_of(const std::string& file) {
    const std::string message = message_of(ErrorCode::input, [&] { (void)parse(file); });
    INFO(message);
    CHECK(contains(message, "model.pt: "));
    CHECK(message.size() < 400);
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

std::int64_t most_memory_kib() {
    struct rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("torch files: a pickle by hand is read") {
    const std::string file = archive(dictionary(tensor(storage("0", 4), 1, {3}, {1})));
    const TorchLayout layout = parse(file);
    REQUIRE(layout.entries.size() == 1);
    CHECK(layout.entries[0].name == "w");
    CHECK(layout.entries[0].shape == Shape{3});
    CHECK(layout.places[0].offset == file.find(std::string(16, '\1')) + 4);
}

TEST_CASE("torch files: whatever is called besides tensors is refused by name and never run") {
    const auto called = [](const std::string& name) { return problem_of(archive(dictionary("c" + name + "\n)R"))); };
    CHECK(contains(called("posix\nsystem"), "\"posix.system\""));
    CHECK(contains(called("builtins\neval"), "\"builtins.eval\""));
    CHECK(contains(called("models\nDiT"), "holds more than tensors: \"models.DiT\", which is never run here"));
    CHECK(contains(called("torch._utils\n_rebuild_sparse_tensor"), "_rebuild_sparse_tensor"));
    CHECK(contains(problem_of(archive(dictionary("cmodels\nDiT\n)\x81}b"))), "models.DiT"));
    // Behind a class that is known, in a list that nobody looks at, as arguments, by protocol 4.
    CHECK(
        contains(problem_of(archive(dictionary("ctorch._tensor\n_rebuild_from_type_v2\n(cposix\nsystem\n" + text("x") + ")NtR"))),
                 "posix.system"));
    CHECK(contains(problem_of(archive(pickled("(cposix\nsystem\n)R}" + text("w") + tensor(storage("0", 4), 0, {4}, {1}) + "st"))),
                   "posix.system"));
    CHECK(
        contains(problem_of(archive(pickled("}" + text("a") + "cargparse\nNamespace\n(cposix\nsystem\n)RtRs"))), "posix.system"));
    CHECK(contains(problem_of(archive("\x80\x04}\x8C\x01w\x8C\x05posix\x8C\x06system\x93)Rs.")), "posix.system"));
    CHECK(contains(problem_of(archive(dictionary(tensor(storage("0", 4, "torch\nQInt8Storage"), 0, {4}, {1})))),
                   "torch.QInt8Storage"));
    CHECK(contains(problem_of(archive(dictionary(tensor(storage("0", 4, "evil\nFloatStorage"), 0, {4}, {1})))),
                   "evil.FloatStorage"));
    CHECK(
        contains(problem_of(archive(dictionary("(" + text("module") + "cmodels\nDiT\n" + text("models.py") + text("") + "tQ)R"))),
                 "call of what has no name"));
}

TEST_CASE("torch files: tensors that do not fit are rejected by name") {
    constexpr std::int64_t huge = INT64_MAX;
    const std::vector<std::pair<std::string, std::string>> cases{
        {tensor(storage("0", 4), 0, {5}, {1}), "tensor \"w\": shape [5] leads out of its storage of 4 elements"},
        {tensor(storage("0", 4), 1, {2, 2}, {2, 1}), "leads out of its storage"},
        {tensor(storage("0", 4), 4, {}, {}), "leads out of its storage"},
        {tensor(storage("0", 4), 0, {huge}, {1}), "its size overflows 64 bits"},
        {tensor(storage("0", 4), 0, {huge, huge}, {1, 1}), "its size overflows 64 bits"},
        {tensor(storage("0", 4), 0, {2}, {huge}), "leads out of its storage"},
        {tensor(storage("0", 4), huge, {2}, {huge}), "leads out of its storage"},
        {tensor(storage("0", huge), 0, {4}, {1}), "leads out of its storage"},
        {tensor(storage("0", huge / 4), 0, {4}, {1}), "should have 2305843009213693951 elements, but is 16 bytes long"},
        {tensor(storage("0", 5), 0, {4}, {1}), "storage \"0\" should have 5 elements, but is 16 bytes long"},
        {tensor(storage("1", 4), 0, {4}, {1}), "tensor \"w\": storage \"1\" is missing"},
        {tensor(storage("../data.pkl", 4), 0, {4}, {1}), "is missing"},
        {tensor(storage("0", -1), 0, {4}, {1}), "a storage that is none"},
        {tensor(storage("0", 4), -1, {4}, {1}), "its offset is none"},
        {tensor(storage("0", 4), 0, {-4}, {1}), "a negative size"},
        {tensor(storage("0", 4), 0, {4}, {-1}), "a negative stride"},
        {tensor(storage("0", 4), 0, {4}, {1, 1}), "as many strides as sizes"},
        {tensor(storage("0", 4), 0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}), "9 dimensions"},
        {tensor("N", 0, {4}, {1}), "a storage that is none"},
        {"ctorch._utils\n_rebuild_tensor_v2\n)R", "its pickle lacks arguments"},
        {"K\x01", "holds no tensors"},
        {"}", "holds no tensors"},
    };
    for (const auto& [value, reason] : cases) {
        const std::string message = problem_of(archive(dictionary(value)));
        INFO(message << "\nexpected: " << reason);
        CHECK(contains(message, reason));
    }
    // Without elements nothing is touched.
    CHECK(parse(archive(dictionary(tensor(storage("0", 0), 9, {0, 7}, {7, 1})), "")).entries[0].shape == Shape{0, 7});
    const std::string one = tensor(storage("0", 4), 0, {4}, {1});
    CHECK(contains(problem_of(archive(pickled("}(" + text("a.b") + one + text("a") + "}" + text("b") + one + "su"))),
                   "tensor \"a.b\" appears twice"));
    CHECK(contains(problem_of(archive(pickled("}" + text("a\xFF") + one + "s"))), "name \"a\\xff\" is not UTF-8"));
    CHECK(contains(problem_of(archive(pickled("}" + text("") + one + "s"))), "has no name"));
    CHECK(contains(problem_of(archive(pickled("K\x01"))), "holds no dictionary of tensors"));
    CHECK(contains(problem_of(archive(pickled("}cposix\nsystem\n" + one + "s"))),
                   "holds no tensors"));  // no name can be made of it
}

TEST_CASE("torch files: pickles that are broken or made to fill memory") {
    const std::int64_t before = most_memory_kib();
    const auto problem = [](const std::string& pickle) { return problem_of(archive(pickle)); };
    CHECK(contains(problem(""), "pickle: cut short at byte 0"));
    CHECK(contains(problem("\x80\x02"), "cut short"));
    CHECK(contains(problem("\x80\x02."), "pickle: broken at byte 2"));
    CHECK(contains(problem("\x80\x01."), "protocol 1 is not read"));
    CHECK(contains(problem("\x80\x02i"), "opcode 0x69 at byte 2, which torch.save does not write"));
    CHECK(contains(problem("\x80\x02h\x05."), "memo 5 was never put"));
    CHECK(contains(problem("\x80\x02Nr\xFF\xFF\xFF\xFF."), "memo 4294967295: more than"));
    CHECK(contains(problem("\x80\x02X\xFF\xFF\xFF\x7F."), "cut short"));
    CHECK(contains(problem("\x80\x02\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F."), "a text of 9223372036854775807 bytes"));
    CHECK(contains(problem("\x80\x02\x8B\xFF\xFF\xFF\xFF."), "cut short"));
    CHECK(contains(problem("\x80\x02}K\x01K\x02t."), "broken"));
    CHECK(contains(problem("\x80\x02}(K\x01u."), "broken"));
    CHECK(contains(problem("\x80\x02K\x01K\x02"
                           "a."),
                   "broken"));
    CHECK(contains(problem("\x80\x02" + std::string(3'000'000, 'N') + "."), "more than 2000000 values"));
    CHECK(contains(problem("\x80\x02" + std::string(3'000'000, '(') + "."), "broken"));
    CHECK(contains(problem("\x80\x02"
                           "cm\n" +
                           std::string(501, 'n') + "\n."),
                   "broken"));
    // A list in a list in a list …, and one that holds itself.
    CHECK(contains(problem("\x80\x02" + std::string(100'000, ']') + std::string(99'999, 'a') + "."), "nested more than 32 deep"));
    CHECK(contains(problem("\x80\x02]q\x01h\x01"
                           "a."),
                   "nested more than 32 deep"));
    // Twenty-six lists, each of which holds the one before ten times: 10^26 members by way of the memo.
    std::string laughs = "\x80\x02]q"s + '\0';
    for (char i = 1; i < 27; ++i) {
        laughs += "](";
        for (int j = 0; j < 10; ++j) laughs += "h"s + static_cast<char>(i - 1);
        laughs += "eq"s + i;
    }
    CHECK(contains(problem(laughs + "."), "shared too many times over"));
    // One dictionary of many members, given to a hundred thousand others.
    std::string copies = "\x80\x02}q"s + '\0' + "(";
    for (int i = 0; i < 50'000; ++i) copies += "K\x01N";
    copies += "u";
    for (int i = 0; i < 100'000; ++i) copies += "ccollections\nCounter\nh"s + '\0' + "\x85R";
    CHECK(contains(problem(copies + "."), "more than 4000000 members"));
    // One dictionary, or one list, of many members, given to each of many tensors.
    const auto shared = [&](const std::string& sizes, const std::string& metadata) {
        std::string pickle = "\x80\x02}(" + text("a") + "}q"s + '\0' + "(";
        for (int i = 0; i < 50'000; ++i) pickle += "K\x01\x89";
        pickle += "u" + text("b") + "]q\x01(";
        for (int i = 0; i < 50'000; ++i) pickle += "K\x01";
        pickle += "e";
        for (int i = 0; i < 1'000; ++i)
            pickle += text(std::to_string(i)) + "ctorch._utils\n_rebuild_tensor_v2\n(" + storage("0", 4) + "K\0"s + sizes +
                      tuple({1}) + "\x89}" + metadata + "tR";
        return pickle + "u.";
    };
    CHECK(contains(problem(shared(tuple({4}), "h\0"s)), "shared too many times over"));
    CHECK(contains(problem(shared("h\x01", "}")), "50000 dimensions, at most 8 are supported"));
    CHECK(most_memory_kib() - before < 1024 * 1024);
}

TEST_CASE("torch files: archives that lie about themselves") {
    const std::string good = dictionary(tensor(storage("0", 4), 0, {4}, {1})), data(16, '\1');
    using Entry = ZipBuilder::Entry;
    const auto with = [&](const Entry& entry) { return ZipBuilder().add("a/data.pkl", good).add(entry).build(); };
    CHECK(parse(with({.name = "a/data/0", .content = data})).entries.size() == 1);
    const std::vector<std::pair<std::string, std::string>> cases{
        {with({.name = "a/data/0", .content = data, .method = 8, .unpacked = std::int64_t{1} << 31}),
         "entry \"a/data/0\" is compressed"},
        {with({.name = "a/data/0", .content = data, .flags = 1}), "is encrypted"},
        {with({.name = "a/data/0", .content = data, .local_name = "b/data/0"}), "has another name in its header"},
        {with({.name = "a/data/0", .content = data, .stored = 1 << 30, .unpacked = 1 << 30}), "leads out of the file"},
        {with({.name = "a/data/0", .content = data, .stored = 17, .unpacked = 17}), "leads into the central directory"},
        {with({.name = "a/data/0", .content = data, .stored = 15}), "has two sizes"},
        {with({.name = "a/data/0", .content = data, .header = 1 << 30}), "leads out of the file"},
        {with({.name = "a/data/0", .content = data, .header = 1}), "has no header"},
        {with({.name = "a/data/0", .content = data, .stored = 0xFFFFFFFF, .unpacked = 0xFFFFFFFF}), "lacks its sizes"},
        {with({.name = "a/data/0",
               .content = data,
               .stored = 0xFFFFFFFF,
               .unpacked = 0xFFFFFFFF,
               .central_extra = "\x01\0\x10\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s}),
         "leads out of the file"},
        {ZipBuilder().add("a/data.pkl", good).add("a/data/0", data).add("a/data/0", data).build(), "\"a/data/0\" appears twice"},
        {ZipBuilder().add("a/data.pkl", good).add({.name = "a/data.pkl", .content = data, .header = 0}).build(), "overlap"},
        {ZipBuilder().add("a/data.pkl", good).add("b/data.pkl", good).build(), "two of its folders hold a checkpoint"},
        {ZipBuilder().add("model.ckpt", data).add("readme", "x").build(),
         "a zip archive (of \"model.ckpt\", …), not a PyTorch checkpoint"},
        {ZipBuilder().add("a/data.pkl", good).add("a/constants.pkl", good).build(), "a TorchScript program"},
        {ZipBuilder().add("a/data.pkl", good).add("a/byteorder", "middle").build(), "order of bytes is \"middle\""},
        {ZipBuilder().add("a/data.pkl", good).build(60000), "cut short"},
        {ZipBuilder()
             .add("a/data.pkl", dictionary("ctorch._utils\n_rebuild_tensor_v3\n(" + storage("0", 4) + number(0) + tuple({4}) +
                                           tuple({1}) + "\x89}ctorch\nint16\ntR"))
             .add("a/data/0", data)
             .add("a/byteorder", "big")
             .build(),
         "in another order, as those of F32"},
        {archive(good).substr(0, 200), "no central directory at its end"},
        {"PK\x03\x04", "no central directory at its end"},
    };
    for (const auto& [file, reason] : cases) {
        const std::string message = problem_of(file);
        INFO(message << "\nexpected: " << reason);
        CHECK(contains(message, reason));
    }
    for (std::size_t bytes = 0; bytes < archive(good).size(); ++bytes) (void)problem_of(archive(good).substr(0, bytes));
    // Entries that share their bytes, as those of a zip bomb do.
    ZipBuilder bomb;
    bomb.add("a/data.pkl", good);
    for (int i = 0; i < 1000; ++i) bomb.add({.name = "a/data/0", .content = "", .stored = 20, .unpacked = 20, .header = 0});
    CHECK(contains(problem_of(bomb.build()), "another name"));
}

TEST_CASE("torch files: a storage of more than 4 GiB, as zip64 has it") {
    constexpr std::uint64_t elements = (std::uint64_t{5} << 28) + 1, data_bytes = 4 * elements;
    const std::string pickle =
        dictionary(tensor(storage("0", static_cast<std::int64_t>(elements)), static_cast<std::int64_t>(elements - 1), {1}, {1}));
    const auto little = [](std::uint64_t value, int bytes) {
        std::string s;
        for (int i = 0; i < bytes; ++i) s += static_cast<char>(i < 8 ? (value >> (8 * i)) & 0xFFU : 0U);
        return s;
    };
    constexpr std::uint64_t in_zip64 = 0xFFFFFFFF;
    const std::string name = "a/data.pkl", data_name = "a/data/0", ten_zeros(10, '\0');
    const auto local = [&](const std::string& n, std::uint64_t bytes) {
        return "PK\x03\x04" + ten_zeros + little(0, 4) + little(bytes, 4) + little(bytes, 4) + little(n.size(), 2) +
               little(0, 2) + n;
    };
    const auto central = [&](const std::string& n, std::uint64_t bytes, std::uint64_t header, const std::string& extra) {
        return "PK\x01\x02" + little(0, 2) + ten_zeros + little(0, 4) + little(bytes, 4) + little(bytes, 4) +
               little(n.size(), 2) + little(extra.size(), 2) + little(0, 10) + little(header, 4) + n + extra;
    };
    const std::string front = local(name, pickle.size()) + pickle + local(data_name, in_zip64);
    const std::uint64_t directory = front.size() + data_bytes;
    std::string back = central(name, pickle.size(), 0, "") +
                       central(data_name, in_zip64, 30 + name.size() + pickle.size(),
                               little(1, 2) + little(16, 2) + little(data_bytes, 8) + little(data_bytes, 8));
    const std::uint64_t directory_bytes = back.size();
    back += "PK\x06\x06" + little(44, 8) + little(0, 12) + little(2, 8) + little(2, 8) + little(directory_bytes, 8) +
            little(directory, 8);
    back += "PK\x06\x07" + little(0, 4) + little(directory + directory_bytes, 8) + little(1, 4);
    back += "PK\x05\x06" + little(0, 4) + little(2, 2) + little(2, 2) + little(directory_bytes, 4) + little(in_zip64, 4) +
            little(0, 2);
    const float last = 2.5F;
    const TempFolder folder;
    const std::string path = write_file(folder / "big.pt", front);  // a hole follows
    {
        std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(static_cast<std::streamoff>(directory - sizeof last));
        file.write(reinterpret_cast<const char*>(&last), sizeof last);
        file << back;
    }
    const auto reader = open_checkpoint(path);
    float value = 0;
    convert_to_f32(reader->tensor("w").data, DType::f32, 1, &value);
    CHECK(value == last);
}

TEST_CASE("torch files: an old stream that is cut short or lies about its storages") {
    const std::string front = "\x80\x02\x8A\x0Al\xFC\x9C\x46\xF9 j\xA8P\x19.\x80\x02M\xE9\x03.\x80\x02}."s;
    const std::string good = dictionary(tensor(storage("0", 4), 0, {4}, {1})), keys = "\x80\x02](" + text("0") + "e.";
    const auto problem = [](const std::string& file) {
        return message_of(ErrorCode::input, [&] { (void)parse_torch_stream(std::as_bytes(std::span(file)), "model.pt"); });
    };
    const std::string four = "\x04\0\0\0\0\0\0\0"s, data(16, '\1');
    const std::string whole = front + good + keys + four + data;
    CHECK(parse_torch_stream(std::as_bytes(std::span(whole)), "model.pt").places[0].offset == whole.size() - 16);
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
        const std::string said = problem(whole.substr(0, bytes));
        INFO(said);
        CHECK(contains(said, "cut short"));
        CHECK(said.ends_with("; fetch the file again"));
    }
    // Of the whole file, not of the pickle that ends it.
    CHECK(contains(problem(front), "pickle: cut short at byte " + std::to_string(front.size()) + ";"));
    // What pickle.dump writes.
    CHECK(contains(problem("\x80\x02}."s), "a Python pickle, not a checkpoint of torch.save"));
    CHECK(contains(problem("\x80\x02X\x03\0\0\0abc."s), "a Python pickle, not a checkpoint of torch.save"));
    CHECK(contains(problem(front + good + keys + "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F" + data), "of 9223372036854775807 elements"));
    CHECK(contains(problem(front + good + keys + "\x02\0\0\0\0\0\0\0"s + data), "should have 4 elements, but is 8 bytes long"));
    CHECK(contains(problem(front + good + "\x80\x02]." + four + data), "storage \"0\" is missing"));
    CHECK(contains(problem(front + good + "\x80\x02](" + text("9") + "e." + four + data), "a storage that no tensor has"));
    CHECK(contains(problem(front + good + "\x80\x02](" + text("0") + text("0") + "e." + four + data + four + data),
                   "appears twice"));
    CHECK(contains(problem("\x80\x02\x8A\x0Al\xFC\x9C\x46\xF9 j\xA8P\x19.\x80\x02M\xE8\x03."), "unknown version"));
}
