#include "checkpoint/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "checkpoint/bytes.h"
#include "checkpoint/gguf_types.h"
#include "checkpoint/mapped_tensors.h"
#include "checkpoint/stored_dtype.h"
#include "core/escape.h"
#include "core/nearest.h"
#include "core/number_text.h"

namespace t2i {

namespace {

constexpr std::size_t longest_name = 1000, longest_shown = 4096;      // bytes; ggml's own limit is 63 of a tensor's name
constexpr std::uint64_t most_keys = 100'000, most_tensors = 200'000;  // a large model has a few dozen and a few thousand
constexpr int most_dimensions = 4;

class HeaderReader {
  public:
    HeaderReader(std::span<const std::byte> file, const std::string& path) : file_(file), path_(path), in_(file, path, "GGUF") {}

    GgufLayout read() {
        if (in_.text(4) != "GGUF") in_.fail("not a GGUF file");
        read_version();
        const auto tensors = in_.number<std::uint64_t>(), keys = in_.number<std::uint64_t>();
        if (tensors > most_tensors || keys > most_keys)
            in_.fail(std::to_string(tensors) + " tensors and " + std::to_string(keys) + " keys, more than any model has");
        for (std::uint64_t i = 0; i < keys; ++i) read_key();
        for (std::uint64_t i = 0; i < tensors; ++i) read_tensor();
        const std::uint64_t data = (in_.position() + alignment_ - 1) / alignment_ * alignment_;
        for (Found& tensor : tensors_) place(tensor, data);
        check_names();
        check_apart();
        return in_name_order();
    }

  private:
    struct Found {
        CheckpointReader::Entry entry;
        std::uint64_t offset = 0;
    };

    void read_version() {
        const auto version = in_.number<std::uint32_t>();
        if ((version & 0xFFFFU) == 0 && version != 0) in_.fail("its numbers are stored highest byte first, which is not read");
        if (version != 2 && version != 3) in_.fail("version " + std::to_string(version) + " is not read, 2 and 3 are");
    }

    std::string_view read_text(const char* what) {
        const auto bytes = in_.number<std::uint64_t>();
        if (bytes > in_.left())
            in_.fail(std::string("cut short: ") + what + " of " + std::to_string(bytes) + " bytes" + fetch_again);
        return in_.text(static_cast<std::size_t>(bytes));
    }
    std::string read_name(const char* what) {
        const std::string_view name = read_text(what);
        if (name.size() > longest_name)
            in_.fail(std::string(what) + " " + in_quotes(name) + ": longer than " + std::to_string(longest_name) + " bytes");
        if (!is_utf8(name)) in_.fail(std::string(what) + " " + in_quotes(name) + " is not UTF-8");
        return std::string(name);
    }

    void read_key() {
        const std::string key = read_name("key");
        const auto type = static_cast<GgufType>(in_.number<std::uint32_t>());
        std::string value = type == GgufType::list ? read_list(key) : read_value(type, key);
        if (key == "general.alignment") set_alignment(type, value);
        if (!metadata_.emplace(key, std::move(value)).second) in_.fail("key " + in_quotes(key) + " appears twice");
    }
    void set_alignment(GgufType type, const std::string& value) {
        const auto alignment = parse_number<std::uint64_t>(value);
        if (type != GgufType::u32 || !alignment || !std::has_single_bit(*alignment))
            in_.fail("\"general.alignment\" is " + in_quotes(value) + ", not a power of two");
        alignment_ = *alignment;
    }

    std::string read_value(GgufType type, const std::string& key) {
        switch (type) {
            case GgufType::u8:
                return std::to_string(in_.number<std::uint8_t>());
            case GgufType::i8:
                return std::to_string(in_.number<std::int8_t>());
            case GgufType::u16:
                return std::to_string(in_.number<std::uint16_t>());
            case GgufType::i16:
                return std::to_string(in_.number<std::int16_t>());
            case GgufType::u32:
                return std::to_string(in_.number<std::uint32_t>());
            case GgufType::i32:
                return std::to_string(in_.number<std::int32_t>());
            case GgufType::u64:
                return std::to_string(in_.number<std::uint64_t>());
            case GgufType::i64:
                return std::to_string(in_.number<std::int64_t>());
            case GgufType::f32:
                return number_text(static_cast<double>(in_.number<float>()));
            case GgufType::f64:
                return number_text(in_.number<double>());
            case GgufType::boolean:
                return in_.number<std::uint8_t>() != 0 ? "true" : "false";
            case GgufType::text:
                return shortened(read_text("text"), longest_shown);
            case GgufType::list:
                break;
        }
        in_.fail("key " + in_quotes(key) + ": a value of unknown type " + std::to_string(static_cast<std::uint32_t>(type)));
    }

    // Lists are stepped over: a vocabulary has tens of thousands of texts.
    std::string read_list(const std::string& key) {
        const auto type = static_cast<GgufType>(in_.number<std::uint32_t>());
        const auto count = in_.number<std::uint64_t>();
        if (type == GgufType::text) {
            for (std::uint64_t i = 0; i < count; ++i) static_cast<void>(read_text("text"));
            return "[" + std::to_string(count) + " texts]";
        }
        const std::size_t bytes = size_of_value(type);
        if (bytes == 0)
            in_.fail("key " + in_quotes(key) + ": a list of unknown type " + std::to_string(static_cast<std::uint32_t>(type)));
        if (count > in_.left() / bytes)
            in_.fail("cut short: key " + in_quotes(key) + " of " + std::to_string(count) + " numbers" + fetch_again);
        in_.skip(static_cast<std::size_t>(count) * bytes);
        return "[" + std::to_string(count) + " numbers]";
    }
    static std::size_t size_of_value(GgufType type) {
        switch (type) {
            case GgufType::u8:
            case GgufType::i8:
            case GgufType::boolean:
                return 1;
            case GgufType::u16:
            case GgufType::i16:
                return 2;
            case GgufType::u32:
            case GgufType::i32:
            case GgufType::f32:
                return 4;
            case GgufType::u64:
            case GgufType::i64:
            case GgufType::f64:
                return 8;
            case GgufType::text:
            case GgufType::list:  // ggml's reader takes no lists of lists
                break;
        }
        return 0;
    }

    void read_tensor() {
        Found found;
        found.entry.name = read_name("tensor");
        found.entry.file = path_;
        const auto bad = [&](const std::string& problem) { in_.fail("tensor " + in_quotes(found.entry.name) + ": " + problem); };
        if (found.entry.name.empty()) bad("has no name");
        const auto rank = in_.number<std::uint32_t>();
        if (rank > most_dimensions) bad(std::to_string(rank) + " dimensions, at most 4 are allowed");
        std::vector<std::int64_t> sizes(rank);
        bool overflows = false;
        std::uint64_t elements = 1;
        for (std::uint32_t i = rank; i-- > 0;) {  // the fastest one comes first
            const auto size = in_.number<std::uint64_t>();
            overflows |= size > std::uint64_t{INT64_MAX} || __builtin_mul_overflow(elements, size, &elements);
            sizes[i] = static_cast<std::int64_t>(size);
        }
        const auto id = in_.number<std::uint32_t>();
        found.offset = in_.number<std::uint64_t>();
        const auto type = std::ranges::find(gguf_tensor_types, id, &GgufTensorType::id);
        if (type == gguf_tensor_types.end()) bad("type " + std::to_string(id) + " is not known");
        std::uint64_t bytes = 0;
        overflows |= elements > std::uint64_t{INT64_MAX} || __builtin_mul_overflow(elements / type->values, type->bytes, &bytes);
        if (overflows) bad("its size overflows 64 bits");
        found.entry.shape = Shape(sizes);
        found.entry.dtype = type->name;
        found.entry.bytes = static_cast<std::size_t>(bytes);
        if (static_cast<std::uint64_t>(found.entry.shape.columns()) % type->values != 0)
            bad("rows of " + std::to_string(found.entry.shape.columns()) + " are no whole blocks of " + found.entry.dtype);
        tensors_.push_back(std::move(found));
    }

    void place(Found& tensor, std::uint64_t data) const {
        const auto bad = [&](const std::string& problem) { in_.fail("tensor " + in_quotes(tensor.entry.name) + ": " + problem); };
        if (tensor.offset % alignment_ != 0)
            bad("begins at byte " + std::to_string(tensor.offset) + ", not at a multiple of " + std::to_string(alignment_));
        const std::uint64_t size = data < file_.size() ? file_.size() - data : 0;
        if (tensor.entry.bytes == 0) tensor.offset = 0;
        if (tensor.offset > size || tensor.entry.bytes > size - tensor.offset)
            bad("ends at byte " + std::to_string(tensor.offset) + " + " + std::to_string(tensor.entry.bytes) +
                " of the data, but the file has only " + std::to_string(size));
        tensor.offset += data;
        if (tensor.entry.bytes == 0) tensor.offset = 0;
    }

    void check_names() {
        std::ranges::sort(tensors_, {}, [](const Found& f) -> const std::string& { return f.entry.name; });
        const auto twice =
            std::ranges::adjacent_find(tensors_, {}, [](const Found& f) -> const std::string& { return f.entry.name; });
        if (twice != tensors_.end()) in_.fail("tensor " + in_quotes(twice->entry.name) + " appears twice");
    }

    void check_apart() {
        std::ranges::sort(tensors_, {}, &Found::offset);
        const Found* before = nullptr;
        for (const Found& tensor : tensors_) {
            if (tensor.entry.bytes == 0) continue;
            if (before && before->offset + before->entry.bytes > tensor.offset)
                in_.fail("tensors " + in_quotes(before->entry.name) + " and " + in_quotes(tensor.entry.name) + " overlap");
            before = &tensor;
        }
    }

    GgufLayout in_name_order() {
        std::ranges::sort(tensors_, {}, [](const Found& f) -> const std::string& { return f.entry.name; });
        GgufLayout layout;
        layout.metadata = std::move(metadata_);
        for (Found& tensor : tensors_) {
            layout.entries.push_back(std::move(tensor.entry));
            layout.offsets.push_back(static_cast<std::size_t>(tensor.offset));
        }
        return layout;
    }

    std::span<const std::byte> file_;
    const std::string& path_;
    ByteReader in_;
    std::uint64_t alignment_ = 32;
    std::map<std::string, std::string> metadata_;
    std::vector<Found> tensors_;
};

}  // namespace

GgufLayout parse_gguf(std::span<const std::byte> file, const std::string& path) {
    return HeaderReader(file, path).read();
}

std::unique_ptr<CheckpointReader> open_gguf(const std::string& path) {
    MappedFile file(path);
    GgufLayout layout = parse_gguf(file.bytes(), path);
    return map_tensors(std::move(file), std::move(layout.entries), std::move(layout.offsets), std::move(layout.metadata));
}

}  // namespace t2i
