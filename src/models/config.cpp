#include "models/config.h"

#include <filesystem>

#include "core/files.h"

namespace t2i {

std::string ModelConfig::path_in(const std::string& folder) {
    return (std::filesystem::path(folder) / "config.json").string();
}

ModelConfig ModelConfig::read(const std::string& folder) {
    check_is_no_device(folder);
    return ModelConfig(JsonOptions::read(path_in(folder)));
}

ModelConfig ModelConfig::parse(const std::string& text, const std::string& where) {
    return ModelConfig(JsonOptions::parse(text, where));
}

std::string ModelConfig::class_name() const {
    if (has("_class_name")) return text("_class_name", "");
    const auto architectures = texts("architectures", {});
    return architectures.empty() ? std::string() : architectures.front();
}

void ModelConfig::only(const std::string& key, const std::string& supported) const {
    const std::string value = text(key, supported);
    if (value != supported) throw error(key, "is \"" + value + "\"; \"" + supported + "\" is supported");
}

}  // namespace t2i
