#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors.h"
#include "core/files.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

const char* format_name(DType dtype) {
    switch (dtype) {
        case DType::f32:
            return "F32";
        case DType::f16:
            return "F16";
        case DType::bf16:
            return "BF16";
        case DType::i32:
            return "I32";
        case DType::u8:
            return "U8";
    }
    return "";
}

// Tensors in file order: widest dtype first keeps every tensor aligned to its own element size.
std::vector<const NamedTensor*> file_order(std::span<const NamedTensor> tensors) {
    std::vector<const NamedTensor*> order;
    for (const NamedTensor& t : tensors) order.push_back(&t);
    std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
        const auto wide_a = size_of(a->tensor.dtype), wide_b = size_of(b->tensor.dtype);
        return wide_a != wide_b ? wide_a > wide_b : a->name < b->name;
    });
    return order;
}

std::string header_of(std::span<const NamedTensor* const> order, const std::map<std::string, std::string>& metadata,
                      const std::string& path) {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::size_t offset = 0;
    for (const NamedTensor* t : order) {
        T2I_CHECK(t->tensor.device == Device::host, "only host tensors can be written");
        if (header.contains(t->name)) throw Error(ErrorCode::input, "tensor " + in_quotes(t->name) + " given twice", path);
        auto shape = nlohmann::ordered_json::array();
        for (int i = 0; i < t->tensor.shape.rank(); ++i) shape.push_back(t->tensor.shape[i]);
        header[t->name] = {
            {"dtype", format_name(t->tensor.dtype)}, {"shape", shape}, {"data_offsets", {offset, offset + t->tensor.bytes()}}};
        offset += t->tensor.bytes();
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
    const auto order = file_order(tensors);
    const std::string header = header_of(order, metadata, path);
    const std::uint64_t length = header.size();
    AtomicFile file(path, {.sync = false});
    file.write({reinterpret_cast<const char*>(&length), sizeof length});
    file.write(header);
    for (const NamedTensor* t : order) file.write({static_cast<const char*>(t->tensor.data), t->tensor.bytes()});
    file.commit();
}

}  // namespace t2i
