// How a published file's names become those that models ask for, as a table of patterns.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/renamed.h"

namespace t2i {

// In `source`, # is a number and a * at the end (or, alone in front, at the beginning) any text. In `name`, # and * are what they
// were in the source, in its order; ~ is a number counted from the other end, and @ is every block in turn: one tensor becomes
// that of each.
struct NameRule {
    const char* source;
    const char* name;         // null: no model asks for it
    int part = 0, parts = 1;  // of the rows, where one matrix holds several under one another
    bool as_matrix = false;   // a weight of rank above 2 is a 1x1 convolution, seen as a matrix
};

struct NameCounts {
    std::int64_t blocks = 0;  // for @
    std::int64_t levels = 0;  // for ~
};

// Of the tensors whose names begin with `prefix`, which is taken off; all others belong to something else. A tensor that no rule
// speaks of keeps its name, so that whoever loads the model sees it. A weight beside which lies "scale_weight" or "weight_scale"
// (8-bit floats, as ComfyUI writes them) is multiplied by it. Throws Error{input}: rows that do not divide.
[[nodiscard]] std::vector<RenamedTensor> apply_rules(std::span<const NameRule> rules, const CheckpointReader& reader,
                                                     const std::string& prefix, const NameCounts& counts);

// The other way: what the source of a tensor is called, by rules that neither cut nor count. Empty: no rule makes that name.
[[nodiscard]] std::string name_of_source(std::span<const NameRule> rules, const std::string& name);

}  // namespace t2i
