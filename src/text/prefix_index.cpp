#include "text/prefix_index.h"

#include <algorithm>

namespace t2i {

PrefixIndex::PrefixIndex(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::erase_if(entries_, [](const Entry& e) { return e.text.empty(); });
    // std::string compares bytes as unsigned, as narrow() does.
    std::ranges::stable_sort(entries_, {}, &Entry::text);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (i + 1 < entries_.size() && entries_[i + 1].text == entries_[i].text) continue;
        if (kept != i) entries_[kept] = std::move(entries_[i]);
        ++kept;
    }
    entries_.resize(kept);
}

std::int32_t PrefixIndex::find(std::string_view text) const {
    const auto entry = std::ranges::lower_bound(entries_, text, {}, [](const Entry& e) { return std::string_view(e.text); });
    return entry != entries_.end() && entry->text == text ? entry->id : -1;
}

void PrefixIndex::narrow(unsigned char byte, std::size_t at, std::size_t& low, std::size_t& high) const {
    const auto key = [at](const Entry& e) {
        return e.text.size() == at ? -1 : static_cast<int>(static_cast<unsigned char>(e.text[at]));
    };
    const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(low),
               end = entries_.begin() + static_cast<std::ptrdiff_t>(high);
    const auto first = std::ranges::lower_bound(begin, end, static_cast<int>(byte), {}, key);
    low = static_cast<std::size_t>(first - entries_.begin());
    high = static_cast<std::size_t>(std::ranges::upper_bound(first, end, static_cast<int>(byte), {}, key) - entries_.begin());
}

}  // namespace t2i
