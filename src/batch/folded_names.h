// Names of which none may differ from another in capitals alone: for folders that do not tell them apart.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "batch/request_id.h"
#include "text/unicode.h"

namespace t2i::batch {

class FoldedNames {
  public:
    // False: another name than this one, but for its capitals, was claimed before. name: UTF-8.
    [[nodiscard]] bool claim(std::string_view name) {
        const std::uint64_t exact = hash64(name);
        return claimed_.try_emplace(hash64(lower(name)), exact).first->second == exact;
    }

  private:
    std::unordered_map<std::uint64_t, std::uint64_t> claimed_;  // hash of the name in small letters → of the name
};

}  // namespace t2i::batch
