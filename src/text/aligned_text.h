// A text that remembers which bytes of the prompt its own came from, through normalisation and splitting.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

struct AlignedText {
    std::string text{};                 // UTF-8
    std::vector<std::size_t> origin{};  // for every byte of text, the prompt's byte that it came from

    AlignedText() = default;
    // The prompt itself.
    explicit AlignedText(std::string_view prompt) : text(prompt), origin(prompt.size()) {
        for (std::size_t i = 0; i < origin.size(); ++i) origin[i] = i;
    }

    // Text that all stems from one place of the prompt.
    void append(std::string_view more, std::size_t from) {
        text.append(more);
        for (std::size_t i = 0; i < more.size(); ++i) origin.push_back(from);  // GCC 12 warns of insert()'s and resize()'s bounds
    }
    void append(const AlignedText& more) {
        text.append(more.text);
        origin.insert(origin.end(), more.origin.begin(), more.origin.end());
    }
    // Bytes [begin, end).
    [[nodiscard]] AlignedText slice(std::size_t begin, std::size_t end) const {
        AlignedText part;
        part.text = text.substr(begin, end - begin);
        part.origin.assign(origin.begin() + static_cast<std::ptrdiff_t>(begin),
                           origin.begin() + static_cast<std::ptrdiff_t>(end));
        return part;
    }
};

}  // namespace t2i
