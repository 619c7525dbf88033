// A component's config.json, read with errors that name the file and the key.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "t2i/error.h"

namespace t2i {

class ModelConfig {
  public:
    // folder/config.json. Throws Error{input} when it cannot be read or is not a JSON object.
    static ModelConfig read(const std::string& folder);
    static ModelConfig parse(const std::string& text, const std::string& where);
    ~ModelConfig();
    ModelConfig(ModelConfig&&) noexcept;

    // The class that made the folder: `_class_name` (diffusers) or the first of `architectures`
    // (transformers).
    [[nodiscard]] std::string class_name() const;
    [[nodiscard]] bool has(const std::string& key) const;  // present and not null

    // Each takes `fallback`, the class's own default, where the key is absent or null, and throws
    // Error{input} without one or where the value has another type. Integers are positive.
    [[nodiscard]] std::int64_t integer(const std::string& key, std::optional<std::int64_t> fallback = {}) const;
    [[nodiscard]] double number(const std::string& key, std::optional<double> fallback = {}) const;
    [[nodiscard]] bool flag(const std::string& key, bool fallback) const;
    [[nodiscard]] std::string text(const std::string& key, const std::string& fallback) const;
    [[nodiscard]] std::vector<std::int64_t> integers(const std::string& key,
                                                     std::optional<std::vector<std::int64_t>> fallback = {}) const;
    [[nodiscard]] std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& fallback) const;

    // Throws unless the key is absent, null or this text: for options of which one value is supported.
    void only(const std::string& key, const std::string& supported) const;
    [[nodiscard]] Error error(const std::string& key, const std::string& problem) const;
    [[nodiscard]] const std::string& where() const { return where_; }

  private:
    ModelConfig(std::unique_ptr<nlohmann::json> json, std::string where);
    [[nodiscard]] const nlohmann::json* find(const std::string& key) const;  // null when absent or null
    std::unique_ptr<nlohmann::json> json_;
    std::string where_;
};

}  // namespace t2i
