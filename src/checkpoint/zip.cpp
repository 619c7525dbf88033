#include "checkpoint/zip.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "checkpoint/bytes.h"
#include "core/nearest.h"

namespace t2i {

namespace {

constexpr std::uint32_t local_signature = 0x04034B50, central_signature = 0x02014B50, end_signature = 0x06054B50,
                        end64_signature = 0x06064B50, locator64_signature = 0x07064B50;
constexpr std::size_t end_bytes = 22, locator64_bytes = 20, local_bytes = 30, longest_comment = 65535;
constexpr std::uint64_t most_entries = 1'000'000;  // a checkpoint with its optimizer's state has a few thousand
constexpr std::uint16_t zip64_field = 1, is_encrypted = 1;
constexpr std::uint32_t in_zip64 = 0xFFFFFFFF;

[[noreturn]] void fail(const std::string& problem, const std::string& path) {
    throw Error(ErrorCode::input, "zip archive: " + problem, path);
}

ByteReader reader_at(std::span<const std::byte> file, std::uint64_t offset, const std::string& path) {
    if (offset > file.size()) fail("it points to byte " + std::to_string(offset) + ", behind its end", path);
    const auto begin = static_cast<std::size_t>(offset);
    return {file.subspan(begin), path, "zip archive", begin};
}

struct Directory {
    std::uint64_t offset = 0, bytes = 0, entries = 0;
};

// The last record that says it ends where the file does. Torch writes no comment behind it.
std::size_t find_end(std::span<const std::byte> file, const std::string& path) {
    for (std::size_t behind = 0; behind <= longest_comment && behind + end_bytes <= file.size(); ++behind) {
        ByteReader record = reader_at(file, file.size() - end_bytes - behind, path);
        if (record.number<std::uint32_t>() != end_signature) continue;
        record.skip(16);
        if (record.number<std::uint16_t>() == behind) return file.size() - end_bytes - behind;
    }
    fail(std::string("no central directory at its end: cut short, or still being written") + fetch_again, path);
}

Directory find_directory(std::span<const std::byte> file, const std::string& path) {
    const std::size_t end = find_end(file, path);
    ByteReader record = reader_at(file, end, path);
    record.skip(4);
    const bool is_part = record.number<std::uint32_t>() != 0;  // two numbers of volumes
    record.skip(2);
    Directory d;
    d.entries = record.number<std::uint16_t>();
    d.bytes = record.number<std::uint32_t>();
    d.offset = record.number<std::uint32_t>();
    std::size_t limit = end;
    if (end >= locator64_bytes) {
        ByteReader locator = reader_at(file, end - locator64_bytes, path);
        if (locator.number<std::uint32_t>() == locator64_signature) {
            locator.skip(4);
            const auto offset64 = locator.number<std::uint64_t>();
            ByteReader record64 = reader_at(file, offset64, path);
            if (record64.number<std::uint32_t>() != end64_signature) fail("its zip64 record is missing", path);
            record64.skip(28);
            d.entries = record64.number<std::uint64_t>();
            d.bytes = record64.number<std::uint64_t>();
            d.offset = record64.number<std::uint64_t>();
            limit = static_cast<std::size_t>(offset64);
        }
    }
    if (is_part) fail("it is a part of several", path);
    if (d.entries > most_entries) fail(std::to_string(d.entries) + " entries, which no checkpoint has", path);
    if (d.offset > limit || d.bytes > limit - d.offset) fail("its central directory leads out of the file", path);
    return d;
}

struct RawEntry {
    ZipEntry entry{};
    std::uint64_t header = 0, stored = 0, unpacked = 0;
    std::uint16_t method = 0;
};

// Numbers that do not fit in 32 bits follow in an extra field, in this order.
void read_zip64(ByteReader extra, RawEntry& raw, const std::string& path) {
    while (extra.left() >= 4) {
        const auto id = extra.number<std::uint16_t>();
        const auto bytes = extra.number<std::uint16_t>();
        if (id != zip64_field) {
            extra.skip(bytes);
            continue;
        }
        for (std::uint64_t* number : {&raw.unpacked, &raw.stored, &raw.header})
            if (*number == in_zip64) *number = extra.number<std::uint64_t>();
        return;
    }
    if (raw.unpacked == in_zip64 || raw.stored == in_zip64 || raw.header == in_zip64)
        fail("entry " + in_quotes(raw.entry.name) + " lacks its sizes", path);
}

RawEntry read_central(ByteReader& directory, const std::string& path) {
    if (directory.number<std::uint32_t>() != central_signature) directory.fail("its central directory is broken");
    directory.skip(4);
    RawEntry raw;
    const auto flags = directory.number<std::uint16_t>();
    raw.method = directory.number<std::uint16_t>();
    directory.skip(8);
    raw.stored = directory.number<std::uint32_t>();
    raw.unpacked = directory.number<std::uint32_t>();
    const auto name_bytes = directory.number<std::uint16_t>(), extra_bytes = directory.number<std::uint16_t>(),
               comment_bytes = directory.number<std::uint16_t>();
    directory.skip(8);
    raw.header = directory.number<std::uint32_t>();
    raw.entry.name = directory.text(name_bytes);
    const std::string_view extra = directory.text(extra_bytes);
    directory.skip(comment_bytes);
    read_zip64({std::as_bytes(std::span(extra)), path, "zip archive"}, raw, path);
    if (flags & is_encrypted) fail("entry " + in_quotes(raw.entry.name) + " is encrypted", path);
    return raw;
}

// Where its content is: behind its local header, whose name and extra field have lengths of their own.
void find_content(std::span<const std::byte> file, RawEntry& raw, const std::string& path) {
    const auto bad = [&](const std::string& problem) { fail("entry " + in_quotes(raw.entry.name) + " " + problem, path); };
    if (raw.header > file.size() || file.size() - raw.header < local_bytes) bad("leads out of the file");
    ByteReader local = reader_at(file, raw.header, path);
    if (local.number<std::uint32_t>() != local_signature) bad("has no header");
    local.skip(22);
    const auto name_bytes = local.number<std::uint16_t>(), extra_bytes = local.number<std::uint16_t>();
    if (local.text(name_bytes) != raw.entry.name) bad("has another name in its header");
    local.skip(extra_bytes);
    if (raw.stored > local.left()) bad("leads out of the file");
    raw.entry.offset = static_cast<std::size_t>(raw.header) + local.position();
    raw.entry.bytes = static_cast<std::size_t>(raw.stored);
    raw.entry.is_compressed = raw.method != 0;
    if (!raw.entry.is_compressed && raw.stored != raw.unpacked) bad("has two sizes");
}

void check_apart(std::vector<RawEntry>& raws, std::uint64_t directory, const std::string& path) {
    std::sort(raws.begin(), raws.end(), [](const RawEntry& a, const RawEntry& b) { return a.header < b.header; });
    for (std::size_t i = 0; i < raws.size(); ++i) {
        const std::uint64_t end = raws[i].entry.offset + raws[i].entry.bytes;
        if (i + 1 < raws.size() && end > raws[i + 1].header)
            fail("entries " + in_quotes(raws[i].entry.name) + " and " + in_quotes(raws[i + 1].entry.name) + " overlap", path);
        if (end > directory) fail("entry " + in_quotes(raws[i].entry.name) + " leads into the central directory", path);
    }
}

}  // namespace

std::vector<ZipEntry> parse_zip(std::span<const std::byte> file, const std::string& path) {
    const Directory d = find_directory(file, path);
    ByteReader directory(file.subspan(static_cast<std::size_t>(d.offset), static_cast<std::size_t>(d.bytes)), path,
                         "zip archive");
    std::vector<RawEntry> raws;
    for (std::uint64_t i = 0; i < d.entries; ++i) {
        raws.push_back(read_central(directory, path));
        find_content(file, raws.back(), path);
    }
    check_apart(raws, d.offset, path);
    std::vector<ZipEntry> entries;
    entries.reserve(raws.size());
    for (const RawEntry& raw : raws) entries.push_back(raw.entry);
    std::sort(entries.begin(), entries.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
    const auto twice =
        std::adjacent_find(entries.begin(), entries.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name == b.name; });
    if (twice != entries.end()) fail("entry " + in_quotes(twice->name) + " appears twice", path);
    return entries;
}

const ZipEntry* find_entry(std::span<const ZipEntry> entries, std::string_view name) {
    const auto entry =
        std::lower_bound(entries.begin(), entries.end(), name, [](const ZipEntry& e, std::string_view n) { return e.name < n; });
    return entry == entries.end() || entry->name != name ? nullptr : &*entry;
}

}  // namespace t2i
