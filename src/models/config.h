// A component's config.json.
#pragma once

#include <string>

#include "core/json_options.h"

namespace t2i {

// Extents are positive integers; fallbacks are the defaults of the component's class.
class ModelConfig : public JsonOptions {
  public:
    [[nodiscard]] static std::string path_in(const std::string& folder);  // of its config.json
    // folder/config.json. Throws Error{input} when it cannot be read or is not a JSON object.
    static ModelConfig read(const std::string& folder);
    static ModelConfig parse(const std::string& text, const std::string& where);

    // The class that made the folder: `_class_name` (diffusers) or the first of `architectures` (transformers); empty where it
    // names none, as old and edited configs may.
    [[nodiscard]] std::string class_name() const;
    // Throws unless the key is absent, null or this text: for options of which one value is supported.
    void only(const std::string& key, const std::string& supported) const;

  private:
    explicit ModelConfig(JsonOptions options) : JsonOptions(std::move(options)) {}
};

}  // namespace t2i
