#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "checkpoint/safetensors.h"
#include "checkpoint/stored_dtype.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// Tensors in file order: widest dtype first keeps every tensor aligned to its own element size.
std::vector<PlannedTensor> file_order(std::span<const PlannedTensor> tensors) {
    std::vector<PlannedTensor> order(tensors.begin(), tensors.end());
    std::ranges::sort(order, [](const PlannedTensor& a, const PlannedTensor& b) {
        const auto wide_a = block_of(a.dtype).bytes, wide_b = block_of(b.dtype).bytes;
        return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
    });
    return order;
}

std::string header_of(std::span<const PlannedTensor> order, const std::map<std::string, std::string>& metadata,
                      const std::string& path) {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::size_t offset = 0;
    std::set<std::string_view> names;
    for (const PlannedTensor& t : order) {
        const auto fail = [&](const std::string& problem) {
            throw Error(ErrorCode::input, "tensor " + in_quotes(t.name) + problem, path);
        };
        if (is_block_type(t.dtype)) fail(": safetensors cannot hold " + std::string(name_of(t.dtype)));
        if (!names.insert(t.name).second) fail(" given twice");
        auto shape = nlohmann::ordered_json::array();
        for (int i = 0; i < t.shape.rank(); ++i) shape.push_back(t.shape[i]);
        const std::size_t bytes = bytes_of(t.shape, t.dtype);
        header.push_back(
            {t.name, {{"dtype", stored_name(t.dtype)}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}}});
        offset += bytes;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const PlannedTensor> tensors,
                       const std::map<std::string, std::string>& metadata, const WriteTensor& write_tensor,
                       const AtomicFileOptions& options) {
    const auto order = file_order(tensors);
    const std::string header = header_of(order, metadata, path);
    const std::uint64_t length = header.size();
    AtomicFile file(path, options);
    file.write({reinterpret_cast<const char*>(&length), sizeof length});
    file.write(header);
    for (const PlannedTensor& tensor : order) write_planned(file, tensor, write_tensor);
    file.commit();
}

void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
    std::vector<PlannedTensor> planned;
    std::map<std::string_view, TensorView> views;
    for (const NamedTensor& t : tensors) {
        T2I_CHECK(t.tensor.device == Device::host, "only host tensors can be written");
        planned.push_back({t.name, t.tensor.dtype, t.tensor.shape});
        views[t.name] = t.tensor;
    }
    write_safetensors(path, planned, metadata, [&](const PlannedTensor& tensor, const ByteSink& sink) {
        const TensorView& view = views.at(tensor.name);
        sink({static_cast<const std::byte*>(view.data), view.bytes()});
    });
}

}  // namespace t2i
