// Weights of a golden's components under the names that their makers publish.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "support/fixture.h"

namespace t2i::test {

// A file of tensors, in the making.
class PublishedFile {
  public:
    void add(const std::string& name, Tensor tensor);
    // Everything under names with this in front.
    void put_under(const std::string& prefix);
    void write(const std::filesystem::path& path) const;
    [[nodiscard]] const std::map<std::string, Tensor>& tensors() const { return tensors_; }
    [[nodiscard]] std::map<std::string, Tensor>& tensors() { return tensors_; }

  private:
    std::map<std::string, Tensor> tensors_;
};

[[nodiscard]] Tensor filled(const Shape& shape, float value);
// The component's tensors as they are.
[[nodiscard]] PublishedFile file_of(const nlohmann::json& component);
// A PixArt transformer under PixArt's names, a DiT under facebook's, an autoencoder under latent diffusion's, whose attention
// weights have `rank` dimensions, and a T5 encoder under GGUF's.
[[nodiscard]] PublishedFile pixart_names(const nlohmann::json& component);
[[nodiscard]] PublishedFile facebook_names(const nlohmann::json& component);
[[nodiscard]] PublishedFile ldm_names(const nlohmann::json& component, int rank);
[[nodiscard]] PublishedFile gguf_names(const nlohmann::json& component);

}  // namespace t2i::test
