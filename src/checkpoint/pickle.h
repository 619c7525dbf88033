// What a Python pickle builds, as plain data. Nothing of it is ever run: a call stays a record of what was called with what, and
// who reads the graph decides which calls he knows.
// Format: CPython's Lib/pickletools.py; the opcodes of protocols 2 to 5 that picklers write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace t2i {

class PickleGraph {
  public:
    using Id = std::uint32_t;  // of a value; values are shared, and may hold themselves
    enum class Kind : std::uint8_t {
        none,
        boolean,     // integer(): 0 or 1
        integer,     // that fits in 64 bits
        big_number,  // any other whole number: text() are its bytes, two's complement, the lowest first
        real,
        text,  // UTF-8 as Python has it, unchecked
        bytes,
        tuple,  // items(): its members; also of a list and a set
        list,
        set,
        dict,        // items(): a key and its value in turn; also Python's classes that are dictionaries, such as OrderedDict
        global,      // a class or a function, by name
        call,        // items(): the function and the tuple of its arguments; what was put into its result later is dropped
        persistent,  // what lies outside; items(): the one value that says where
    };

    [[nodiscard]] Kind kind(Id id) const { return nodes_[id].kind; }
    [[nodiscard]] std::int64_t integer(Id id) const { return nodes_[id].number; }
    [[nodiscard]] std::string_view text(Id id) const;
    [[nodiscard]] std::span<const Id> items(Id id) const;
    // "torch._utils._rebuild_tensor_v2" of a global; empty of anything else.
    [[nodiscard]] std::string global_name(Id id) const;
    // All values are those below this.
    [[nodiscard]] Id count() const { return static_cast<Id>(nodes_.size()); }
    [[nodiscard]] Id root() const { return root_; }
    // Bytes up to and including STOP.
    [[nodiscard]] std::size_t bytes_read() const { return bytes_read_; }

  private:
    friend class PickleMachine;
    // Small, since a pickle makes a value of each byte. number: the value itself, the place of a text in the pickle, the index of
    // the items.
    struct Node {
        Kind kind = Kind::none;
        std::uint32_t bytes = 0;
        std::int64_t number = 0;
    };
    std::string_view pickle_;
    std::vector<Node> nodes_;
    std::vector<std::vector<Id>> items_;
    Id root_ = 0;
    std::size_t bytes_read_ = 0;
};

// Reads one pickle from the front of `bytes`, which outlive the graph: texts stay there. `path` is for messages. Its memory is
// bounded whatever the pickle says. Throws Error{input}: cut short, an opcode that no pickler of checkpoints writes, a broken
// stack, a memo that was never put, more than 2 million values.
// begin: where in the file they begin, for messages.
[[nodiscard]] PickleGraph read_pickle(std::span<const std::byte> bytes, const std::string& path, std::size_t begin = 0);

}  // namespace t2i
