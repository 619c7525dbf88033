// What is known of a model folder, a component folder, a safetensors file or a picture: as text, or as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace t2i::app {

// Prints it on standard output. Throws Error{input}.
void inspect_as_text(const std::string& path);
// "kind" is picture, model or checkpoint. Throws Error{input}.
[[nodiscard]] nlohmann::ordered_json inspect_as_json(const std::string& path);

}  // namespace t2i::app
