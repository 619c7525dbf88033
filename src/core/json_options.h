// Options in a JSON file, read with errors that name the file and the key.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "t2i/error.h"

namespace t2i {

// No extent of a model is near it; keeps products of a few of them far from overflow.
constexpr std::int64_t max_extent = std::int64_t{1} << 24;

// One JSON object, such as a model's config.json. Null counts as absent, as in diffusers and transformers. Python writes
// -Infinity, Infinity and NaN, which JSON lacks: they are the texts of these names here. Constant, so from any thread.
class JsonOptions {
  public:
    // Throws Error{input} naming the file: cannot be read, larger than 16 MiB, not a JSON object, nested deeper than 16.
    [[nodiscard]] static JsonOptions read(const std::string& path);
    // `where` names the file in errors.
    [[nodiscard]] static JsonOptions parse(const std::string& text, const std::string& where);
    ~JsonOptions();
    JsonOptions(JsonOptions&&) noexcept;

    [[nodiscard]] bool has(const std::string& key) const;  // present and not null

    // Each takes `fallback` where the key is absent, and throws Error{input} without one, or where the value has another type
    // or is out of range. A whole number may be written as 10 or 10.0.
    [[nodiscard]] std::int64_t integer(const std::string& key, std::optional<std::int64_t> fallback = {}, std::int64_t least = 1,
                                       std::int64_t most = max_extent) const;
    [[nodiscard]] double number(const std::string& key, std::optional<double> fallback = {}) const;
    [[nodiscard]] double number(const std::string& key, std::optional<double> fallback, double least, double most) const;
    [[nodiscard]] bool flag(const std::string& key, bool fallback) const;
    [[nodiscard]] std::string text(const std::string& key, const std::string& fallback) const;
    // One of `allowed`.
    [[nodiscard]] std::string text(const std::string& key, const std::string& fallback,
                                   const std::vector<std::string>& allowed) const;
    [[nodiscard]] std::vector<std::int64_t> integers(const std::string& key,
                                                     std::optional<std::vector<std::int64_t>> fallback = {}) const;
    // Each in [least, most]; throws where the key is absent.
    [[nodiscard]] std::vector<double> numbers(const std::string& key, double least, double most) const;
    [[nodiscard]] std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& fallback) const;

    // A copy with these keys instead of its own; a null takes a key away.
    [[nodiscard]] JsonOptions with(const nlohmann::ordered_json& changes) const;

    // Null when absent. The whole object, in the file's order; of two values of one key the last counts.
    [[nodiscard]] const nlohmann::ordered_json* find(const std::string& key) const;
    [[nodiscard]] const nlohmann::ordered_json& all() const { return *json_; }

    [[nodiscard]] Error error(const std::string& key, const std::string& problem) const;
    [[nodiscard]] const std::string& where() const { return where_; }

  private:
    JsonOptions(std::unique_ptr<nlohmann::ordered_json> json, std::string where);
    [[nodiscard]] const nlohmann::ordered_json* find(const std::string& key, bool has_fallback) const;

    std::unique_ptr<nlohmann::ordered_json> json_;
    std::string where_;
};

}  // namespace t2i
