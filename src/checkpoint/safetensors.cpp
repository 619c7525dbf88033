#include "checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>
#include <string_view>

#include "checkpoint/json_events.h"
#include "checkpoint/mapped_tensors.h"
#include "checkpoint/stored_dtype.h"
#include "core/nearest.h"
#include "core/stand_in.h"

namespace t2i {

namespace {

static_assert(std::endian::native == std::endian::little, "weights are mapped, so the machine must be little-endian");

constexpr std::size_t length_bytes = 8;
constexpr const char* incomplete = ": the download is incomplete";
constexpr std::uint64_t max_header_bytes = 100'000'000;  // the reference's limit

struct DTypeRow {
    std::string_view name;
    std::uint64_t bits;
};
constexpr std::array<DTypeRow, 22> dtypes{{
    {"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8},     {"F8_E8M0", 8},     {"I16", 16},    {"U16", 16}, {"F16", 16},
    {"BF16", 16},   {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I32", 32},    {"U32", 32}, {"F32", 32},
    {"C64", 64},    {"F64", 64},        {"I64", 64},        {"U64", 64},
}};

std::optional<std::uint64_t> bits_of(std::string_view dtype) {
    const auto row = std::find_if(dtypes.begin(), dtypes.end(), [&](const DTypeRow& r) { return r.name == dtype; });
    return row == dtypes.end() ? std::nullopt : std::optional(row->bits);
}

// One tensor as the header spells it, before its numbers are checked.
struct HeaderTensor {
    std::string name;
    std::optional<std::string> dtype;
    std::optional<std::vector<std::uint64_t>> shape, data_offsets;
};

// Collects {"name": {"dtype": …, "shape": […], "data_offsets": [b, e]}, "__metadata__": {"key": "text"}}.
class HeaderEvents final : public JsonEvents {
  public:
    explicit HeaderEvents(const std::string& path) : JsonEvents(path, "safetensors header") {}
    std::vector<HeaderTensor> tensors;
    std::map<std::string, std::string> metadata;

    bool start_object(std::size_t /*elements*/) override {
        if (depth_ > 1 || numbers_ != nullptr) unexpected("an object");
        if (depth_ == 1 && !in_metadata_) tensors.push_back({name_, {}, {}, {}});
        ++depth_;
        return true;
    }
    bool key(std::string& name) override {
        if (depth_ == 1) {
            in_metadata_ = name == "__metadata__";
            if (in_metadata_ && std::exchange(saw_metadata_, true)) fail("duplicate key \"__metadata__\"");
            name_ = std::move(name);
        } else {
            field_ = std::move(name);
        }
        return true;
    }
    bool string(std::string& value) override {
        if (depth_ != 2 || numbers_ != nullptr) unexpected("a string");
        if (in_metadata_) {
            if (!metadata.emplace(field_, std::move(value)).second) {
                fail("duplicate key " + in_quotes(field_) + " in \"__metadata__\"");
            }
            return true;
        }
        if (field_ != "dtype") unexpected("a string");
        set(tensors.back().dtype, std::move(value));
        return true;
    }
    bool start_array(std::size_t /*elements*/) override {
        if (depth_ != 2 || in_metadata_ || numbers_ != nullptr) unexpected("an array");
        auto& tensor = tensors.back();
        if (field_ != "shape" && field_ != "data_offsets") unexpected("an array");
        auto& list = field_ == "shape" ? tensor.shape : tensor.data_offsets;
        set(list, {});
        numbers_ = &*list;
        return true;
    }
    bool number_unsigned(std::uint64_t value) override {
        if (numbers_ == nullptr) unexpected("a number");
        numbers_->push_back(value);
        return true;
    }
    bool end_array() override {
        numbers_ = nullptr;
        return true;
    }
    bool end_object() override {
        if (--depth_ == 1 && !in_metadata_) {
            const auto& t = tensors.back();
            const char* missing = !t.dtype ? "dtype" : !t.shape ? "shape" : !t.data_offsets ? "data_offsets" : nullptr;
            if (missing) fail("tensor " + in_quotes(t.name) + " has no \"" + missing + "\"");
        }
        return true;
    }

  private:
    template <typename T>
    void set(std::optional<T>& slot, T value) {
        if (slot) fail("duplicate key " + in_quotes(field_) + " " + place());
        slot = std::move(value);
    }
    [[nodiscard]] std::string place() const override {
        if (depth_ == 0) return {};
        if (depth_ == 1) return "at " + in_quotes(name_);
        return "at " + in_quotes(field_) + (in_metadata_ ? " of \"__metadata__\"" : " of tensor " + in_quotes(name_));
    }

    int depth_ = 0;
    bool in_metadata_ = false, saw_metadata_ = false;
    std::string name_, field_;
    std::vector<std::uint64_t>* numbers_ = nullptr;
};

// Checks one tensor's dtype, shape and byte range on its own. Returns its entry.
CheckpointReader::Entry checked_entry(const HeaderTensor& tensor, const std::string& path) {
    const auto fail = [&](const std::string& problem) {
        throw Error(ErrorCode::input, "tensor " + in_quotes(tensor.name) + ": " + problem, path);
    };
    const auto bits = bits_of(*tensor.dtype);
    if (!bits) fail("unknown dtype " + in_quotes(*tensor.dtype));
    if (tensor.shape->size() > Shape::max_rank) {
        fail(std::to_string(tensor.shape->size()) + " dimensions, at most 8 are supported");
    }
    std::vector<std::int64_t> dims;
    std::uint64_t size_bits = *bits;
    bool overflow = false;
    for (const auto extent : *tensor.shape) {
        overflow |= extent > std::uint64_t{INT64_MAX} || __builtin_mul_overflow(size_bits, extent, &size_bits);
        dims.push_back(static_cast<std::int64_t>(extent));
    }
    if (overflow) fail("its size overflows 64 bits");
    if (size_bits % 8 != 0) fail("its elements do not end on a byte");
    if (tensor.data_offsets->size() != 2) fail("\"data_offsets\" must be two numbers");
    const auto begin = tensor.data_offsets->front(), end = tensor.data_offsets->back();
    if (begin > end) fail("\"data_offsets\" end before they begin");
    CheckpointReader::Entry entry{tensor.name, *tensor.dtype, Shape(dims), static_cast<std::size_t>(end - begin), path};
    if (end - begin != size_bits / 8) {
        fail("\"data_offsets\" span " + std::to_string(end - begin) + " bytes, but shape " + entry.shape.text() + " of " +
             entry.dtype + " needs " + std::to_string(size_bits / 8));
    }
    return entry;
}

// The tensors must tile [0, data_bytes) exactly. `order` sorts them by offset.
void check_tiling(const std::vector<HeaderTensor>& tensors, std::uint64_t data_bytes, const std::string& path) {
    std::vector<std::size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return *tensors[a].data_offsets < *tensors[b].data_offsets; });
    std::uint64_t previous_end = 0;
    std::string previous = "the start of the data";
    for (const auto i : order) {
        const auto begin = tensors[i].data_offsets->front();
        if (begin != previous_end) {
            throw Error(ErrorCode::input,
                        "tensor " + in_quotes(tensors[i].name) + ": begins at byte " + std::to_string(begin) +
                            (begin < previous_end ? ", overlapping " : ", leaving a hole after ") + previous +
                            " (which ends at " + std::to_string(previous_end) + ")",
                        path);
        }
        previous_end = tensors[i].data_offsets->back();
        previous = in_quotes(tensors[i].name);
        if (previous_end > data_bytes) {
            throw Error(ErrorCode::input,
                        "truncated: tensor " + previous + " ends at byte " + std::to_string(previous_end) +
                            " of the data, but the file has only " + std::to_string(data_bytes) + incomplete + fetch_again,
                        path);
        }
    }
    if (previous_end != data_bytes) {
        throw Error(ErrorCode::input,
                    std::to_string(data_bytes - previous_end) +
                        " bytes follow the last tensor, so the header does not belong to this file",
                    path);
    }
}

std::string_view header_text(std::span<const std::byte> file, const std::string& path) {
    const auto fail = [&](const std::string& problem) { throw Error(ErrorCode::input, problem, path); };
    if (file.size() < length_bytes) fail("only " + std::to_string(file.size()) + " bytes long, not a safetensors file");
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), length_bytes);
    if (length > max_header_bytes) {
        fail("header length " + std::to_string(length) + " is above 100000000 bytes, not a safetensors file");
    }
    if (length > file.size() - length_bytes) {
        fail("truncated: the header should be " + std::to_string(length) + " bytes long, but only " +
             std::to_string(file.size() - length_bytes) + " follow its length" + incomplete + fetch_again);
    }
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + length_bytes, length);
    if (text.empty() || text.front() != '{') fail("safetensors header does not begin with '{'");
    return text;
}

}  // namespace

SafetensorsLayout parse_safetensors(std::span<const std::byte> file, const std::string& path) {
    const std::string_view text = header_text(file, path);
    HeaderEvents header(path);
    parse_json_events(text, header);
    const std::size_t data_begin = length_bytes + text.size();

    std::sort(header.tensors.begin(), header.tensors.end(),
              [](const HeaderTensor& a, const HeaderTensor& b) { return a.name < b.name; });
    SafetensorsLayout layout;
    layout.metadata = std::move(header.metadata);
    for (const HeaderTensor& tensor : header.tensors) {
        if (!layout.entries.empty() && layout.entries.back().name == tensor.name) {
            throw Error(ErrorCode::input, "tensor " + in_quotes(tensor.name) + " appears twice in the header", path);
        }
        layout.entries.push_back(checked_entry(tensor, path));
        layout.offsets.push_back(data_begin + static_cast<std::size_t>(tensor.data_offsets->front()));
    }
    check_tiling(header.tensors, file.size() - data_begin, path);
    return layout;
}

std::unique_ptr<CheckpointReader> open_safetensors(const std::string& path) {
    MappedFile file(path);
    SafetensorsLayout layout = parse_safetensors(file.bytes(), path);
    return map_tensors(std::move(file), std::move(layout.entries), std::move(layout.offsets), std::move(layout.metadata));
}

}  // namespace t2i
