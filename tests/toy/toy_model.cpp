#include "toy/toy_model.h"

#include <array>
#include <cmath>
#include <filesystem>

#include "checkpoint/safetensors.h"
#include "core/files.h"
#include "core/tensor.h"

namespace t2i::test {

namespace fs = std::filesystem;

std::uint8_t toy_colour(std::int64_t code, std::int64_t channel) {
    return static_cast<std::uint8_t>((code * 15 + channel * 5) % 256);
}

void write_toy_model(const std::string& folder, std::int64_t decoder_codes) {
    for (const char* part : {"painter", "palette"}) fs::create_directories(fs::path(folder) / part);
    write_file_atomically(folder + "/model_index.json", R"({"_class_name": "ToyCodePipeline", "painter": ["toy", "ToyPainter"],
        "palette": ["toy", "ToyPalette"], "id2label": {"0": "stripes", "1": "dots", "2": "waves"}})");
    write_file_atomically(folder + "/painter/config.json",
                          R"({"_class_name": "ToyPainter", "classes": )" + std::to_string(toy_classes) + R"(, "codes": )" +
                              std::to_string(toy_codes) + R"(, "grid": )" + std::to_string(toy_grid) + R"(, "factor": )" +
                              std::to_string(toy_factor) + "}");
    const Tensor logits = Tensor::host({(toy_classes + 1) * toy_codes, toy_codes});  // the last class is none
    const auto values = logits.as<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 2.0F * std::sin(0.7F * static_cast<float>(i * i % 1009));
    const std::array<NamedTensor, 1> painter{{{"logits", logits.view}}};
    write_safetensors(folder + "/painter/model.safetensors", painter);

    write_file_atomically(folder + "/palette/config.json", R"({"_class_name": "ToyPalette", "codes": )" +
                                                               std::to_string(decoder_codes) + R"(, "factor": )" +
                                                               std::to_string(toy_factor) + "}");
    const Tensor colours = Tensor::host({decoder_codes, 3});
    for (std::int64_t i = 0; i < decoder_codes * 3; ++i)
        colours.as<float>()[static_cast<std::size_t>(i)] = static_cast<float>(toy_colour(i / 3, i % 3)) / 127.5F - 1.0F;
    const std::array<NamedTensor, 1> palette{{{"colours", colours.view}}};
    write_safetensors(folder + "/palette/model.safetensors", palette);
}

}  // namespace t2i::test
