// What one line of a prompt file asks for, before defaults and checks against a model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "t2i/pipeline.h"

namespace t2i::batch {

struct RequestLine {
    std::string id;                     // empty: a hash of the request
    GenerateRequest request;            // unset fields take the run's; request.seed is not read
    std::optional<std::uint64_t> seed;  // unset: the run's
    bool picks_seed = false;            // a seed below 0: one that follows from the picture's id
    // A JSON object of what else stands in the line, such as a table's other columns: for the manifest. Empty: nothing.
    std::string extra;
};

// A line that was read: a request, or what is wrong with it.
struct PromptEntry {
    std::int64_t line = 0;  // counted from 1; of a CSV row over several lines: its first
    std::optional<RequestLine> request;
    std::string problem;  // of a bad line
    std::string text;     // of a bad line: its beginning, valid UTF-8
};

}  // namespace t2i::batch
