// What makes a picture the one it is, besides its request: for journals, manifests and metadata.
#pragma once

#include <mutex>
#include <string>

#include "batch/prepare.h"

namespace t2i::batch {

// Everything about a loaded model that changes its pictures: hashes of its files, dtype, kind of device, fast math. All functions
// wait for the hashes, and may be called from any thread. The engine outlives it.
class ModelIdentity {
  public:
    // vae: another decoder's path, may be empty.
    ModelIdentity(const Engine& engine, std::string vae) : engine_(engine), vae_(std::move(vae)) {}

    // Hash of what makes a picture, the model included: for the journal, so that a run that finds the picture there knows whether
    // it is the same.
    [[nodiscard]] std::string request_hash(const Picture& picture) const;
    // By the rules of the version that wrote a record: 0.1.0 covered a model's weights alone.
    [[nodiscard]] std::string request_hash(const Picture& picture, const JournalRecord& record) const;
    // Of the picture's own `parameters` chunk.
    [[nodiscard]] std::string parameters(const Picture& picture) const;
    // Of its line in the manifest, a JSON object.
    [[nodiscard]] std::string manifest(const Picture& picture) const;
    // Why a record is of another picture than this one: "was made with steps 1, here 2".
    [[nodiscard]] std::string difference(const Picture& picture, const JournalRecord& record) const;

  private:
    [[nodiscard]] const std::string& text() const;
    [[nodiscard]] const std::string& text_0_1() const;
    const Engine& engine_;
    std::string vae_;
    mutable std::once_flag once_, once_0_1_;
    mutable std::string text_, text_0_1_;
};

}  // namespace t2i::batch
