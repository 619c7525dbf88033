#include <algorithm>
#include <cstdint>
#include <set>
#include <string_view>

#include "checkpoint/gguf.h"
#include "checkpoint/gguf_types.h"
#include "checkpoint/stored_dtype.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr std::size_t alignment = 32;  // the format's own, when no key names another

std::size_t aligned(std::size_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
}

// Grows a header, lowest byte first.
class Header {
  public:
    template <typename T>
        requires std::integral<T> || std::floating_point<T>
    void add(T number) {
        bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
    void add(const std::string& text) {
        add(std::uint64_t{text.size()});
        bytes_ += text;
    }
    void add(const GgufValue& value) {
        add(static_cast<std::uint32_t>(std::visit([](const auto& v) { return type_of(v); }, value)));
        std::visit([&](const auto& v) { add_value(v); }, value);
    }
    [[nodiscard]] std::string padded() const {
        std::string bytes = bytes_;
        bytes.resize(aligned(bytes.size()), '\0');
        return bytes;
    }

  private:
    static GgufType type_of(std::uint32_t) { return GgufType::u32; }
    static GgufType type_of(std::int32_t) { return GgufType::i32; }
    static GgufType type_of(float) { return GgufType::f32; }
    static GgufType type_of(bool) { return GgufType::boolean; }
    static GgufType type_of(const std::string&) { return GgufType::text; }
    template <typename T>
    static GgufType type_of(const std::vector<T>&) {
        return GgufType::list;
    }

    template <typename T>
    void add_value(const T& value) {
        add(value);
    }
    template <typename T>
    void add_value(const std::vector<T>& values) {
        add(static_cast<std::uint32_t>(type_of(T{})));
        add(std::uint64_t{values.size()});
        for (const T& value : values) add(value);
    }

    std::string bytes_;
};

void check(std::span<const PlannedTensor> tensors, const std::string& path) {
    constexpr int most_dimensions = 4;
    std::set<std::string_view> names;
    for (const PlannedTensor& t : tensors) {
        const auto fail = [&](const std::string& problem) {
            throw Error(ErrorCode::input, "tensor " + in_quotes(t.name) + problem, path);
        };
        if (!gguf_type_id(stored_name(t.dtype))) fail(": GGUF cannot hold " + std::string(name_of(t.dtype)));
        if (t.shape.rank() > most_dimensions) fail(": shape " + t.shape.text() + ", but GGUF holds at most 4 dimensions");
        if (t.shape.columns() % block_of(t.dtype).elements != 0)
            fail(": rows of " + std::to_string(t.shape.columns()) + " are no whole blocks of " + std::string(name_of(t.dtype)));
        if (!names.insert(t.name).second) fail(" given twice");
    }
}

}  // namespace

void write_gguf(const std::string& path, std::span<const PlannedTensor> tensors,
                std::span<const std::pair<std::string, GgufValue>> metadata, const WriteTensor& write_tensor,
                const AtomicFileOptions& options) {
    check(tensors, path);
    Header header;
    for (const char letter : std::string_view("GGUF")) header.add(letter);
    header.add(std::uint32_t{3});
    header.add(std::uint64_t{tensors.size()});
    header.add(std::uint64_t{metadata.size()});
    for (const auto& [key, value] : metadata) {
        header.add(key);
        header.add(value);
    }
    std::size_t offset = 0;
    for (const PlannedTensor& t : tensors) {
        header.add(t.name);
        header.add(static_cast<std::uint32_t>(t.shape.rank()));
        for (int i = t.shape.rank(); i-- > 0;) header.add(static_cast<std::uint64_t>(t.shape[i]));
        header.add(*gguf_type_id(stored_name(t.dtype)));
        header.add(std::uint64_t{offset});
        offset += aligned(bytes_of(t.shape, t.dtype));
    }
    AtomicFile file(path, options);
    file.write(header.padded());
    for (const PlannedTensor& t : tensors) {
        write_planned(file, t, write_tensor);
        const std::size_t bytes = bytes_of(t.shape, t.dtype);
        file.write(std::string(aligned(bytes) - bytes, '\0'));
    }
    file.commit();
}

}  // namespace t2i
