// All entries of a prompt file in memory.
#pragma once

#include <string_view>
#include <vector>

#include "batch/prompt_file.h"

namespace t2i::test {

inline std::vector<batch::PromptEntry> entries_of(std::string_view text, const batch::PromptOptions& options,
                                                  const std::string& name = "test") {
    const auto file = batch::read_prompts(batch::memory_source(text), options, name);
    std::vector<batch::PromptEntry> entries;
    for (batch::PromptEntry entry; file->next(entry);) entries.push_back(entry);
    return entries;
}

inline std::vector<batch::PromptEntry> entries_of(std::string_view text, batch::PromptFormat format) {
    return entries_of(text, batch::PromptOptions{.format = format});
}

}  // namespace t2i::test
