#include "checkpoint/torch_file.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#include "checkpoint/bytes.h"
#include "checkpoint/mapped_file.h"
#include "checkpoint/pickle.h"
#include "checkpoint/stored_dtype.h"
#include "checkpoint/torch_objects.h"
#include "checkpoint/zip.h"
#include "core/nearest.h"

namespace t2i {

namespace {

[[noreturn]] void fail(const std::string& problem, const std::string& path) {
    throw Error(ErrorCode::input, problem, path);
}

// The bytes of each storage, by its key.
struct StorageBytes {
    std::size_t offset = 0, bytes = 0;
};

// find: StorageBytes of a key; throws when there are none.
template <typename Find>
TorchLayout layout_of(TorchObjects&& objects, bool is_swapped, const std::string& path, const Find& find) {
    TorchLayout layout{.weights = std::move(objects.weights)};
    for (TorchTensor& t : objects.tensors) {
        const std::size_t element = t.storage.element_bytes;
        const auto elements = static_cast<std::size_t>(t.shape.elements());
        const StorageBytes place = find(t);
        // What lies inside of the storage lies inside of the file, once the storage does.
        if ((t.storage.first + t.storage.elements) > place.bytes / element)
            fail("tensor " + in_quotes(t.name) + ": storage " + in_quotes(t.storage.key) + " should have " +
                     std::to_string(t.storage.elements) + " elements, but is " + std::to_string(place.bytes) + " bytes long",
                 path);
        // A complex number is two that are swapped each; untyped bytes are not swapped at all, as torch.load does.
        const std::size_t group = !is_swapped ? 1 : t.storage.dtype.starts_with('C') ? element / 2 : element;
        if (group > 1 && element != t.element_bytes)
            fail("tensor " + in_quotes(t.name) + ": its bytes are in another order, as those of " + std::string(t.storage.dtype),
                 path);
        layout.entries.push_back({std::move(t.name), std::string(t.dtype), t.shape, elements * t.element_bytes, path});
        layout.places.push_back({.offset = place.offset + static_cast<std::size_t>(t.storage.first) * element +
                                           (elements == 0 ? 0 : static_cast<std::size_t>(t.first) * t.element_bytes),
                                 .element_bytes = t.element_bytes,
                                 .strides = std::move(t.strides),
                                 .swapped_bytes = group});
    }
    return layout;
}

std::span<const std::byte> content(std::span<const std::byte> file, const ZipEntry& entry, const std::string& path) {
    if (entry.is_compressed)
        fail("zip archive: entry " + in_quotes(entry.name) +
                 " is compressed, which torch.save does not do; unpack the archive and pack it again with zip -0 -r",
             path);
    return file.subspan(entry.offset, entry.bytes);
}

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The folder in the archive that holds everything, with its slash.
std::string find_root(std::span<const ZipEntry> entries, const std::string& path) {
    constexpr std::string_view pickle = "data.pkl";
    std::string root;
    bool is_found = false;
    for (const ZipEntry& entry : entries) {
        const std::size_t slash = entry.name.find('/');
        if (slash == std::string_view::npos || entry.name.substr(slash + 1) != pickle) continue;
        if (is_found) fail("zip archive: two of its folders hold a checkpoint", path);
        is_found = true;
        root = entry.name.substr(0, slash + 1);
    }
    if (!is_found)
        fail("a zip archive" +
                 (entries.empty() ? std::string(" of nothing")
                                  : " (of " + in_quotes(entries.front().name) + (entries.size() > 1 ? ", …)" : ")")) +
                 ", not a PyTorch checkpoint; if a checkpoint is in it, unpack it",
             path);
    if (find_entry(entries, root + "constants.pkl"))
        fail("a TorchScript program, not a checkpoint; in Python: torch.save(torch.jit.load(…).state_dict(), …)", path);
    return root;
}

bool is_big_endian(std::span<const std::byte> file, std::span<const ZipEntry> entries, const std::string& root,
                   const std::string& path) {
    const ZipEntry* entry = find_entry(entries, root + "byteorder");
    if (!entry) return false;  // before PyTorch 2.1
    const std::string_view order = text_of(content(file, *entry, path));
    if (order != "little" && order != "big") fail("its order of bytes is " + in_quotes(order), path);
    return order == "big";
}

}  // namespace

TorchLayout parse_torch_zip(std::span<const std::byte> file, const std::string& path) {
    const std::vector<ZipEntry> entries = parse_zip(file, path);
    const std::string root = find_root(entries, path);
    const PickleGraph graph = read_pickle(content(file, *find_entry(entries, root + "data.pkl"), path), path);
    TorchObjects objects = read_torch_objects(graph, path);
    const bool is_swapped = is_big_endian(file, entries, root, path);
    return layout_of(std::move(objects), is_swapped, path, [&](const TorchTensor& t) -> StorageBytes {
        const ZipEntry* entry = find_entry(entries, root + "data/" + std::string(t.storage.key));
        if (!entry) fail("tensor " + in_quotes(t.name) + ": storage " + in_quotes(t.storage.key) + " is missing", path);
        return {entry->offset, content(file, *entry, path).size()};
    });
}

namespace {

// The five pickles at the front of a stream, of which three matter.
class Stream {
  public:
    Stream(std::span<const std::byte> file, const std::string& path) : file_(file), path_(path) {}

    TorchLayout read() {
        const PickleGraph magic = next();
        constexpr std::string_view magic_number = "\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";
        if (magic.kind(magic.root()) != Kind::big_number || magic.text(magic.root()) != magic_number)
            fail("a Python pickle, not a checkpoint of torch.save", path_);
        const PickleGraph protocol = next();
        if (protocol.kind(protocol.root()) != Kind::integer || protocol.integer(protocol.root()) != 1001)
            fail("a checkpoint of an unknown version of PyTorch's old format", path_);
        static_cast<void>(next());  // of the machine; elements are written lowest byte first on all
        const PickleGraph graph = next(), keys = next();
        TorchObjects objects = read_torch_objects(graph, path_);
        const auto storages = find_storages(graph, keys);
        return layout_of(std::move(objects), false, path_, [&](const TorchTensor& t) -> StorageBytes {
            const auto storage = storages.find(t.storage.key);
            if (storage == storages.end())
                fail("tensor " + in_quotes(t.name) + ": storage " + in_quotes(t.storage.key) + " is missing", path_);
            return storage->second;
        });
    }

  private:
    using Kind = PickleGraph::Kind;

    PickleGraph next() {
        PickleGraph graph = read_pickle(file_.subspan(position_), path_, position_);
        position_ += graph.bytes_read();
        return graph;
    }

    // Behind the pickles: of each key a number of elements and so many elements.
    std::map<std::string_view, StorageBytes> find_storages(const PickleGraph& graph, const PickleGraph& keys) {
        std::map<std::string_view, std::size_t> element_bytes;
        for (const TorchStorage& storage : read_torch_storages(graph, path_)) element_bytes[storage.key] = storage.element_bytes;
        std::map<std::string_view, StorageBytes> found;
        if (keys.kind(keys.root()) != Kind::list) fail("pickle: no list of storages", path_);
        for (const PickleGraph::Id id : keys.items(keys.root())) {
            const auto storage = keys.kind(id) == Kind::text ? element_bytes.find(keys.text(id)) : element_bytes.end();
            if (storage == element_bytes.end()) fail("pickle: a storage that no tensor has", path_);
            ByteReader in(file_.subspan(position_), path_, "storage", position_);
            const auto elements = in.number<std::uint64_t>();
            if (elements > in.left() / storage->second)
                fail("cut short: storage " + in_quotes(storage->first) + " of " + std::to_string(elements) + " elements" +
                         fetch_again,
                     path_);
            const std::size_t offset = position_ + in.position(), bytes = static_cast<std::size_t>(elements) * storage->second;
            if (!found.emplace(storage->first, StorageBytes{offset, bytes}).second)
                fail("pickle: storage " + in_quotes(storage->first) + " appears twice", path_);
            position_ = offset + bytes;
        }
        return found;
    }

    std::span<const std::byte> file_;
    const std::string& path_;
    std::size_t position_ = 0;
};

}  // namespace

TorchLayout parse_torch_stream(std::span<const std::byte> file, const std::string& path) {
    return Stream(file, path).read();
}

namespace {

bool is_in_order(const Shape& shape, std::span<const std::int64_t> strides) {
    std::int64_t expected = 1;
    for (int i = shape.rank(); i-- > 0;) {
        if (shape[i] != 1 && strides[static_cast<std::size_t>(i)] != expected) return false;
        expected *= shape[i];
    }
    return true;
}

// Copies elements into order, row-major.
void gather(const std::byte* from, const TorchPlace& place, const Shape& shape, std::byte* to) {
    const std::size_t element = place.element_bytes;
    std::vector<std::int64_t> index(static_cast<std::size_t>(shape.rank()), 0);
    const std::int64_t count = shape.elements();
    std::int64_t offset = 0;
    for (std::int64_t done = 0; done < count; ++done, to += element) {
        std::memcpy(to, from + static_cast<std::size_t>(offset) * element, element);
        for (int i = shape.rank(); i-- > 0;) {
            const auto at = static_cast<std::size_t>(i);
            offset += place.strides[at];
            if (++index[at] < shape[i]) break;
            offset -= place.strides[at] * shape[i];
            index[at] = 0;
        }
    }
}

class TorchReader final : public CheckpointReader {
  public:
    TorchReader(MappedFile file, TorchLayout layout) : file_(std::move(file)), layout_(std::move(layout)) {}

    [[nodiscard]] const std::vector<Entry>& entries() const override { return layout_.entries; }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const override { return metadata_; }
    [[nodiscard]] std::string weights() const override { return layout_.weights; }
    [[nodiscard]] TensorView tensor(const std::string& name) const override {
        const std::size_t i = index_of(name);
        const Entry& entry = layout_.entries[i];
        const TorchPlace& place = layout_.places[i];
        const DType dtype = dtype_of(entry);
        if (entry.shape.elements() != 0 && (place.swapped_bytes > 1 || !is_in_order(entry.shape, place.strides)))
            return in_order(entry, place, dtype);
        // TensorView has no read-only form; the mapping itself refuses writes.
        return {const_cast<std::byte*>(mapped(place)), dtype, Device::host, entry.shape};
    }
    void release(const std::string& name) const override {
        const std::size_t i = index_of(name);
        file_.drop_pages(mapped(layout_.places[i]), layout_.entries[i].bytes);
        const std::lock_guard lock(mutex_);
        ordered_.erase(name);
    }

  private:
    [[nodiscard]] std::size_t index_of(const std::string& name) const { return entry_index(*this, name, file_.path()); }
    [[nodiscard]] const std::byte* mapped(const TorchPlace& place) const { return file_.bytes().data() + place.offset; }
    [[nodiscard]] TensorView in_order(const Entry& entry, const TorchPlace& place, DType dtype) const {
        const std::lock_guard lock(mutex_);
        if (const auto kept = ordered_.find(entry.name); kept != ordered_.end()) return kept->second;
        Tensor tensor = Tensor::host(entry.shape, dtype);
        auto* to = static_cast<std::byte*>(tensor.view.data);
        gather(mapped(place), place, entry.shape, to);
        for (std::size_t i = 0; place.swapped_bytes > 1 && i < entry.bytes; i += place.swapped_bytes)
            std::reverse(to + i, to + i + place.swapped_bytes);
        return ordered_.emplace(entry.name, std::move(tensor)).first->second;
    }

    MappedFile file_;
    TorchLayout layout_;
    std::map<std::string, std::string> metadata_;  // torch.save writes none
    mutable std::mutex mutex_;
    mutable std::map<std::string, Tensor> ordered_;  // of mutex_
};

}  // namespace

std::unique_ptr<CheckpointReader> open_torch_zip(const std::string& path) {
    MappedFile file(path);
    TorchLayout layout = parse_torch_zip(file.bytes(), path);
    return std::make_unique<TorchReader>(std::move(file), std::move(layout));
}

std::unique_ptr<CheckpointReader> open_torch_stream(const std::string& path) {
    MappedFile file(path);
    TorchLayout layout = parse_torch_stream(file.bytes(), path);
    return std::make_unique<TorchReader>(std::move(file), std::move(layout));
}

}  // namespace t2i
