#include "checkpoint/reader.h"

#include <algorithm>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

const CheckpointReader::Entry* find_entry(const CheckpointReader& reader, const std::string& name) {
    const auto& all = reader.entries();
    const auto entry = std::ranges::lower_bound(all, name, {}, &CheckpointReader::Entry::name);
    return entry == all.end() || entry->name != name ? nullptr : &*entry;
}

std::size_t entry_index(const CheckpointReader& reader, const std::string& name, const std::string& where) {
    const auto* entry = find_entry(reader, name);
    if (!entry) throw Error(ErrorCode::input, "tensor " + in_quotes(name) + " is not in the file", where);
    return static_cast<std::size_t>(entry - reader.entries().data());
}

}  // namespace t2i
