// The classes that a class-conditional model can draw, by name or number.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "t2i/error.h"

namespace t2i {

// An entry of id2label: "tench, Tinca tinca" names one class twice.
struct ClassLabel {
    std::int64_t id;
    std::string names;
};

class ClassNames {
  public:
    // classes: how many the model knows, without the unconditional one; every id is below it. Where a name is given to several
    // classes, the last of `labels` has it (diffusers, DiTPipeline.__init__).
    ClassNames(std::span<const ClassLabel> labels, std::int64_t classes);

    // A class's number: a name as it is written, or else in any case ("Cardigan" is a dog, "cardigan" a garment), a whole entry
    // of id2label, or a number in [0, classes]; `classes`, or a prompt of nothing, is the unconditional one. utf8 must be valid.
    // Throws Error{invalid_argument} about `field`, with the nearest names.
    [[nodiscard]] std::int32_t find(std::string_view utf8, const Field& field) const;

  private:
    [[nodiscard]] std::string suggestion(const std::string& lower) const;

    std::int64_t classes_;
    std::map<std::string, std::int32_t, std::less<>> exact_, lower_;
    std::vector<std::string> suggested_;  // lower-case, each once
};

}  // namespace t2i
