// The table of a zip archive whose entries are used where they lie in the file: what torch.save writes.
// Format: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3 (zip64).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

struct ZipEntry {
    std::string_view name;              // bytes of the archive, in whatever encoding
    std::size_t offset = 0, bytes = 0;  // of its content, from the start of the file; as it is stored
    bool is_compressed = false;
};

// The entries in order of name, found by the central directory. `file` is a whole archive and outlives what is returned; nothing
// is copied out of it. Every entry lies inside the file, and no two share a byte. Throws Error{input} naming `path` and what is
// wrong: cut short, no central directory, entries that overlap, share a name, are encrypted or lie in another volume.
[[nodiscard]] std::vector<ZipEntry> parse_zip(std::span<const std::byte> file, const std::string& path);

// The entry of this name; null: there is none. `entries` as parse_zip() returns them.
[[nodiscard]] const ZipEntry* find_entry(std::span<const ZipEntry> entries, std::string_view name);

}  // namespace t2i
