#include "checkpoint/pickle.h"

#include <algorithm>
#include <array>
#include <bit>

#include "checkpoint/bytes.h"
#include "core/number_text.h"

namespace t2i {

namespace {

constexpr std::size_t most_values = 2'000'000;                        // torch makes about 25 of a tensor
constexpr std::size_t longest_text = 0xFFFFFFFF, longest_name = 500;  // bytes; of classes and functions

// pickletools' names.
enum Opcode : std::uint8_t {
    op_mark = '(',
    op_stop = '.',
    op_pop = '0',
    op_pop_mark = '1',
    op_dup = '2',
    op_binbytes = 'B',
    op_short_binbytes = 'C',
    op_binfloat = 'G',
    op_binint = 'J',
    op_binint1 = 'K',
    op_binint2 = 'M',
    op_none = 'N',
    op_binpersid = 'Q',
    op_reduce = 'R',
    op_binstring = 'T',
    op_short_binstring = 'U',
    op_binunicode = 'X',
    op_empty_list = ']',
    op_append = 'a',
    op_build = 'b',
    op_global = 'c',
    op_dict = 'd',
    op_appends = 'e',
    op_binget = 'h',
    op_long_binget = 'j',
    op_list = 'l',
    op_binput = 'q',
    op_long_binput = 'r',
    op_setitem = 's',
    op_tuple = 't',
    op_empty_tuple = ')',
    op_setitems = 'u',
    op_empty_dict = '}',
    op_proto = 0x80,
    op_newobj = 0x81,
    op_tuple1 = 0x85,
    op_tuple2 = 0x86,
    op_tuple3 = 0x87,
    op_newtrue = 0x88,
    op_newfalse = 0x89,
    op_long1 = 0x8A,
    op_long4 = 0x8B,
    op_short_binunicode = 0x8C,
    op_binunicode8 = 0x8D,
    op_binbytes8 = 0x8E,
    op_empty_set = 0x8F,
    op_additems = 0x90,
    op_frozenset = 0x91,
    op_newobj_ex = 0x92,
    op_stack_global = 0x93,
    op_memoize = 0x94,
    op_frame = 0x95,
};

// Classes of the standard library whose objects are dictionaries.
constexpr std::array<std::string_view, 5> dictionaries{"collections.OrderedDict", "collections.defaultdict",
                                                       "collections.Counter", "builtins.dict", "__builtin__.dict"};

}  // namespace

std::string_view PickleGraph::text(Id id) const {
    return pickle_.substr(static_cast<std::size_t>(nodes_[id].number), nodes_[id].bytes);
}

std::span<const PickleGraph::Id> PickleGraph::items(Id id) const {
    return items_[static_cast<std::size_t>(nodes_[id].number)];
}

std::string PickleGraph::global_name(Id id) const {
    if (kind(id) != Kind::global) return {};
    const auto parts = items(id);
    return std::string(text(parts[0])) + "." + std::string(text(parts[1]));
}

// The stack machine of a pickle: each opcode puts a value on the stack, or changes the one at its top.
class PickleMachine {
  public:
    using Id = PickleGraph::Id;
    using Kind = PickleGraph::Kind;

    PickleMachine(std::span<const std::byte> bytes, const std::string& path, std::size_t begin)
        : in_(bytes, path, "pickle", begin) {
        graph_.pickle_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    PickleGraph run() {
        for (std::uint8_t opcode = next(); opcode != op_stop; opcode = next())
            if (!constant(opcode) && !memo(opcode) && !container(opcode) && !object(opcode))
                in_.fail("opcode 0x" + hex_text(opcode, 2) + " at byte " + std::to_string(in_.position() - 1) +
                         ", which torch.save does not write");
        graph_.root_ = pop();
        graph_.bytes_read_ = in_.position();
        return std::move(graph_);
    }

  private:
    std::uint8_t next() { return in_.number<std::uint8_t>(); }

    Id add(Kind kind, std::int64_t number = 0, std::size_t bytes = 0) {
        if (graph_.nodes_.size() >= most_values) in_.fail("more than " + std::to_string(most_values) + " values");
        graph_.nodes_.push_back({kind, static_cast<std::uint32_t>(bytes), number});
        return static_cast<Id>(graph_.nodes_.size() - 1);
    }
    Id add(Kind kind, std::vector<Id> items) {
        count_members(items.size());
        const Id id = add(kind, static_cast<std::int64_t>(graph_.items_.size()));
        graph_.items_.push_back(std::move(items));
        return id;
    }
    Id add_text(Kind kind, std::uint64_t bytes) {
        if (bytes > longest_text) in_.fail("a text of " + std::to_string(bytes) + " bytes");
        const auto begin = static_cast<std::int64_t>(in_.position());
        in_.skip(static_cast<std::size_t>(bytes));
        return add(kind, begin, static_cast<std::size_t>(bytes));
    }
    bool push(Id id) {
        if (stack_.size() >= most_values) in_.fail("more than " + std::to_string(most_values) + " values");
        stack_.push_back(id);
        return true;
    }
    Id pop() {
        if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) broken();
        const Id id = stack_.back();
        stack_.pop_back();
        return id;
    }
    std::vector<Id> pop(std::size_t count) {
        std::vector<Id> items(count);
        for (std::size_t i = count; i-- > 0;) items[i] = pop();
        return items;
    }
    std::vector<Id> pop_to_mark() {
        if (marks_.empty()) broken();
        std::vector<Id> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
        stack_.resize(marks_.back());
        marks_.pop_back();
        return items;
    }
    Id top() {
        const Id id = pop();
        stack_.push_back(id);
        return id;
    }
    [[noreturn]] void broken() { in_.fail("broken at byte " + std::to_string(in_.position() - 1)); }

    // Values can be put in many times over through the memo: what they take is bounded as the values are.
    void count_members(std::size_t count) {
        members_ += count;
        if (members_ > 2 * most_values) in_.fail("more than " + std::to_string(2 * most_values) + " members");
    }
    void extend(Id id, Kind kind, const std::vector<Id>& items) {
        if (graph_.kind(id) == Kind::call) return;  // an object of a class of its own, that takes members
        if (graph_.kind(id) != kind || (kind == Kind::dict && items.size() % 2 != 0)) broken();
        count_members(items.size());
        auto& all = graph_.items_[static_cast<std::size_t>(graph_.nodes_[id].number)];
        all.insert(all.end(), items.begin(), items.end());
    }
    Id number_of(std::size_t bytes) {
        if (bytes > sizeof(std::int64_t)) return add_text(Kind::big_number, bytes);
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{next()} << (8 * i);
        const std::size_t unused_bits = 64 - 8 * bytes;  // its sign fills them
        if (bytes == 0) return add(Kind::integer);
        return add(Kind::integer, static_cast<std::int64_t>(value << unused_bits) >> unused_bits);
    }

    bool constant(std::uint8_t opcode) {
        switch (opcode) {
            case op_proto:
                if (const auto protocol = next(); protocol < 2 || protocol > 5)
                    in_.fail("protocol " + std::to_string(protocol) + " is not read; torch.save writes 2");
                return true;
            case op_frame:
                in_.skip(sizeof(std::uint64_t));
                return true;
            case op_none:
                return push(add(Kind::none));
            case op_newtrue:
                return push(add(Kind::boolean, 1));
            case op_newfalse:
                return push(add(Kind::boolean, 0));
            case op_binint:
                return push(add(Kind::integer, in_.number<std::int32_t>()));
            case op_binint1:
                return push(add(Kind::integer, next()));
            case op_binint2:
                return push(add(Kind::integer, in_.number<std::uint16_t>()));
            case op_long1:
                return push(number_of(next()));
            case op_long4:
                return push(number_of(in_.number<std::uint32_t>()));
            case op_binfloat:
                in_.skip(sizeof(double));
                return push(add(Kind::real));
            default:
                return text(opcode);
        }
    }
    bool text(std::uint8_t opcode) {
        switch (opcode) {
            case op_short_binunicode:
            case op_short_binstring:
                return push(add_text(Kind::text, next()));
            case op_binunicode:
            case op_binstring:
                return push(add_text(Kind::text, in_.number<std::uint32_t>()));
            case op_binunicode8:
                return push(add_text(Kind::text, in_.number<std::uint64_t>()));
            case op_short_binbytes:
                return push(add_text(Kind::bytes, next()));
            case op_binbytes:
                return push(add_text(Kind::bytes, in_.number<std::uint32_t>()));
            case op_binbytes8:
                return push(add_text(Kind::bytes, in_.number<std::uint64_t>()));
            default:
                return false;
        }
    }

    bool memo(std::uint8_t opcode) {
        switch (opcode) {
            case op_binput:
                put(next());
                return true;
            case op_long_binput:
                put(in_.number<std::uint32_t>());
                return true;
            case op_memoize:
                put(memo_.size());
                return true;
            case op_binget:
                return push(get(next()));
            case op_long_binget:
                return push(get(in_.number<std::uint32_t>()));
            default:
                return false;
        }
    }
    static constexpr Id no_value = 0xFFFFFFFF;
    void put(std::size_t index) {
        if (index >= most_values) in_.fail("memo " + std::to_string(index) + ": more than " + std::to_string(most_values));
        if (index >= memo_.size()) memo_.resize(index + 1, no_value);
        memo_[index] = top();
    }
    Id get(std::size_t index) {
        if (index >= memo_.size() || memo_[index] == no_value) in_.fail("memo " + std::to_string(index) + " was never put");
        return memo_[index];
    }

    bool container(std::uint8_t opcode) {
        switch (opcode) {
            case op_mark:
                if (marks_.size() >= most_values) broken();
                marks_.push_back(stack_.size());
                return true;
            case op_empty_tuple:
                return push(add(Kind::tuple, std::vector<Id>{}));
            case op_tuple1:
            case op_tuple2:
            case op_tuple3:
                return push(add(Kind::tuple, pop(opcode - op_tuple1 + std::size_t{1})));
            case op_tuple:
                return push(add(Kind::tuple, pop_to_mark()));
            case op_empty_list:
                return push(add(Kind::list, std::vector<Id>{}));
            case op_list:
                return push(add(Kind::list, pop_to_mark()));
            case op_empty_set:
                return push(add(Kind::set, std::vector<Id>{}));
            case op_frozenset:
                return push(add(Kind::set, pop_to_mark()));
            case op_empty_dict:
                return push(add(Kind::dict, std::vector<Id>{}));
            case op_dict: {
                const std::vector<Id> items = pop_to_mark();
                const Id dict = add(Kind::dict, std::vector<Id>{});
                extend(dict, Kind::dict, items);
                return push(dict);
            }
            default:
                return members(opcode);
        }
    }
    bool members(std::uint8_t opcode) {
        switch (opcode) {
            case op_append: {
                const std::vector<Id> item = pop(1);
                extend(top(), Kind::list, item);
                return true;
            }
            case op_appends: {
                const std::vector<Id> items = pop_to_mark();
                extend(top(), Kind::list, items);
                return true;
            }
            case op_additems: {
                const std::vector<Id> items = pop_to_mark();
                extend(top(), Kind::set, items);
                return true;
            }
            case op_setitem: {
                const std::vector<Id> items = pop(2);
                extend(top(), Kind::dict, items);
                return true;
            }
            case op_setitems: {
                const std::vector<Id> items = pop_to_mark();
                extend(top(), Kind::dict, items);
                return true;
            }
            default:
                return false;
        }
    }

    bool object(std::uint8_t opcode) {
        switch (opcode) {
            case op_pop:
                // A mark at the top is taken away, as CPython does.
                if (!marks_.empty() && stack_.size() == marks_.back()) marks_.pop_back();
                else static_cast<void>(pop());
                return true;
            case op_pop_mark:
                static_cast<void>(pop_to_mark());
                return true;
            case op_dup:
                return push(top());
            case op_global: {
                const Id module_name = line(), name = line();
                return push(global({module_name, name}));
            }
            case op_stack_global:
                return push(global(pop(2)));
            case op_newobj_ex:
                static_cast<void>(pop());  // arguments by name
                return call();
            case op_reduce:
            case op_newobj:
                return call();
            case op_build: {
                static_cast<void>(pop());  // attributes, such as a state dict's _metadata
                const Kind kind = graph_.kind(top());
                if (kind != Kind::call && kind != Kind::dict) broken();
                return true;
            }
            case op_binpersid:
                return push(add(Kind::persistent, pop(1)));
            default:
                return false;
        }
    }
    Id line() {
        const auto begin = static_cast<std::int64_t>(in_.position());
        return add(Kind::text, begin, in_.line().size());
    }
    // Names are looked at each time that they are called.
    Id global(std::vector<Id> names) {
        for (const Id name : names)
            if (graph_.kind(name) != Kind::text || graph_.text(name).size() > longest_name) broken();
        return add(Kind::global, std::move(names));
    }
    bool call() {
        std::vector<Id> items = pop(2);
        if (graph_.kind(items[1]) != Kind::tuple) broken();
        const std::string name = graph_.global_name(items[0]);
        const bool makes_dict = std::find(dictionaries.begin(), dictionaries.end(), name) != dictionaries.end();
        return push(makes_dict ? dictionary(items[1]) : add(Kind::call, std::move(items)));
    }
    // Python 2 gave an OrderedDict its members as a list of pairs; Counter and dict are given a dictionary.
    Id dictionary(Id arguments) {
        std::vector<Id> members;
        for (const Id argument : graph_.items(arguments)) {
            if (graph_.kind(argument) == Kind::dict) std::ranges::copy(graph_.items(argument), std::back_inserter(members));
            if (graph_.kind(argument) != Kind::list) continue;
            for (const Id pair : graph_.items(argument)) {
                const bool is_pair = graph_.kind(pair) == Kind::tuple || graph_.kind(pair) == Kind::list;
                if (!is_pair || graph_.items(pair).size() != 2) broken();
                std::ranges::copy(graph_.items(pair), std::back_inserter(members));
            }
            if (members.size() > 2 * most_values) break;  // add() says so
        }
        return add(Kind::dict, std::move(members));
    }

    ByteReader in_;
    PickleGraph graph_;
    std::vector<Id> stack_, memo_;
    std::vector<std::size_t> marks_;
    std::size_t members_ = 0;
};

PickleGraph read_pickle(std::span<const std::byte> bytes, const std::string& path, std::size_t begin) {
    return PickleMachine(bytes, path, begin).run();
}

}  // namespace t2i
