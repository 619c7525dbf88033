#include "checkpoint/torch_objects.h"

#include <algorithm>
#include <array>
#include <set>

#include "core/escape.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "t2i/error.h"

namespace t2i {

namespace {

using Id = PickleGraph::Id;
using Kind = PickleGraph::Kind;

constexpr int deepest = 32;                     // dictionaries in dictionaries
constexpr std::size_t most_visits = 2'000'000;  // values may be shared many times over
constexpr std::size_t longest_name = 1000;      // bytes
constexpr std::size_t most_tensors = 200'000;   // a few hundred in a model, three times as many with an optimizer's state

struct DTypeRow {
    std::string_view torch, name;
    std::size_t bytes;
};
// Classes in the module torch, or torch.cuda in old files.
constexpr std::array<DTypeRow, 13> storages{{
    {"DoubleStorage", "F64", 8},
    {"FloatStorage", "F32", 4},
    {"HalfStorage", "F16", 2},
    {"BFloat16Storage", "BF16", 2},
    {"LongStorage", "I64", 8},
    {"IntStorage", "I32", 4},
    {"ShortStorage", "I16", 2},
    {"CharStorage", "I8", 1},
    {"ByteStorage", "U8", 1},
    {"BoolStorage", "BOOL", 1},
    {"ComplexFloatStorage", "C64", 8},
    {"ComplexDoubleStorage", "C128", 16},
    {"storage.UntypedStorage", "U8", 1},
}};
// In the module torch.
constexpr std::array<DTypeRow, 20> dtypes{{
    {"float64", "F64", 8},
    {"float32", "F32", 4},
    {"float16", "F16", 2},
    {"bfloat16", "BF16", 2},
    {"float8_e4m3fn", "F8_E4M3", 1},
    {"float8_e5m2", "F8_E5M2", 1},
    {"float8_e4m3fnuz", "F8_E4M3FNUZ", 1},
    {"float8_e5m2fnuz", "F8_E5M2FNUZ", 1},
    {"float8_e8m0fnu", "F8_E8M0", 1},
    {"int64", "I64", 8},
    {"int32", "I32", 4},
    {"int16", "I16", 2},
    {"int8", "I8", 1},
    {"uint64", "U64", 8},
    {"uint32", "U32", 4},
    {"uint16", "U16", 2},
    {"uint8", "U8", 1},
    {"bool", "BOOL", 1},
    {"complex64", "C64", 8},
    {"complex32", "C32", 4},
}};

// What trainings note beside weights: numbers, lists of options, sizes, paths. Nothing of it is needed.
constexpr std::array<std::string_view, 16> notes{
    "argparse.Namespace",
    "torch.Size",
    "torch.device",
    "builtins.set",
    "__builtin__.set",
    "builtins.frozenset",
    "builtins.bytearray",
    "_codecs.encode",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.dtype",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
    "pathlib.WindowsPath",
};

// What makes a tensor of a storage; what wraps one, and where it is among the arguments.
constexpr std::array<std::string_view, 3> makers{"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
                                                 "torch._utils._rebuild_tensor_v3"};
constexpr std::array<std::string_view, 2> wrappers{"torch._utils._rebuild_parameter",
                                                   "torch._utils._rebuild_parameter_with_state"};
// Called with another function and its arguments.
constexpr std::array<std::string_view, 2> callers{"torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"};

template <typename Rows>
bool holds(const Rows& rows, std::string_view name) {
    return std::ranges::find(rows, name) != rows.end();
}

template <typename Rows>
const DTypeRow* find_dtype(const Rows& rows, std::string_view torch) {
    const auto row = std::ranges::find(rows, torch, &DTypeRow::torch);
    return row == rows.end() ? nullptr : &*row;
}

[[noreturn]] void fail(const std::string& problem, const std::string& path) {
    throw Error(ErrorCode::input, problem, path);
}

[[noreturn]] void refuse(const std::string& name, const std::string& path) {
    fail("holds more than tensors: " + in_quotes(name) +
             ", which is never run here; ask its maker for the tensors alone (a state_dict, or safetensors)",
         path);
}

// The members of a persistent value: ("storage", class, key, location, elements[, view]).
TorchStorage storage_of(const PickleGraph& graph, Id id, const std::string& path) {
    const auto broken = [&] { fail("pickle: a storage that is none", path); };
    if (graph.kind(id) != Kind::persistent) broken();
    const Id what = graph.items(id)[0];
    if (graph.kind(what) != Kind::tuple) broken();
    const auto parts = graph.items(what);
    const auto is = [&](std::size_t i, Kind kind) { return parts.size() > i && graph.kind(parts[i]) == kind; };
    if (!is(0, Kind::text) || !is(1, Kind::global)) broken();
    const std::string class_name = graph.global_name(parts[1]);
    if (graph.text(parts[0]) == "module") refuse(class_name, path);
    if (graph.text(parts[0]) != "storage" || !is(2, Kind::text) || !is(4, Kind::integer) || graph.integer(parts[4]) < 0) broken();
    std::string_view name = class_name;
    for (const std::string_view room : {"torch.cuda.", "torch."})
        if (name.starts_with(room)) {
            name.remove_prefix(room.size());
            break;
        }
    const DTypeRow* dtype = name.size() == class_name.size() ? nullptr : find_dtype(storages, name);
    if (!dtype) refuse(class_name, path);
    TorchStorage storage{.key = graph.text(parts[2]),
                         .dtype = dtype->name,
                         .element_bytes = dtype->bytes,
                         .elements = static_cast<std::uint64_t>(graph.integer(parts[4]))};
    if (!is(5, Kind::tuple)) return storage;
    const auto view = graph.items(parts[5]);  // (key, first, elements)
    if (view.size() != 3 || graph.kind(view[1]) != Kind::integer || graph.kind(view[2]) != Kind::integer ||
        graph.integer(view[1]) < 0 || graph.integer(view[2]) < 0)
        broken();
    const auto first = static_cast<std::uint64_t>(graph.integer(view[1])),
               elements = static_cast<std::uint64_t>(graph.integer(view[2]));
    if (first > storage.elements || elements > storage.elements - first) fail("pickle: a view leads out of its storage", path);
    storage.first = first;
    storage.elements = elements;
    return storage;
}

// A call whose result is a tensor, with what wraps it taken off.
struct Making {
    std::string maker;
    std::vector<Id> arguments;
};

// Nothing: the value is no tensor.
std::optional<Making> making_of(const PickleGraph& graph, Id id) {
    constexpr int most_wraps = 8;
    for (int i = 0; i < most_wraps && graph.kind(id) == Kind::call; ++i) {
        const auto call = graph.items(id);
        std::string name = graph.global_name(call[0]);
        auto arguments = graph.items(call[1]);
        if (holds(callers, name) && arguments.size() > 2 && graph.kind(arguments[2]) == Kind::tuple) {
            name = graph.global_name(arguments[0]);
            arguments = graph.items(arguments[2]);
        }
        // More than any of them takes: the rest is nobody's.
        if (holds(makers, name))
            return Making{name, {arguments.begin(), arguments.begin() + std::min<std::ptrdiff_t>(std::ssize(arguments), 16)}};
        if (!holds(wrappers, name) || arguments.empty()) return std::nullopt;
        id = arguments[0];
    }
    return std::nullopt;
}

// Walks the dictionaries and lists from the top.
class Walk {
  public:
    Walk(const PickleGraph& graph, const std::string& path) : graph_(graph), path_(path) {}

    TorchObjects run() {
        check_calls();
        if (!is_container(graph_.root())) fail("holds no dictionary of tensors", path_);
        visit(graph_.root(), "", 0);
        auto& tensors = found_.tensors;
        if (tensors.empty()) fail("holds no tensors", path_);
        std::ranges::sort(tensors, {}, &TorchTensor::name);
        const auto twice = std::ranges::adjacent_find(tensors, {}, &TorchTensor::name);
        if (twice != tensors.end()) fail("tensor " + in_quotes(twice->name) + " appears twice", path_);
        found_.weights = choose_weights();
        return std::move(found_);
    }

  private:
    [[nodiscard]] bool is_container(Id id) const {
        const Kind kind = graph_.kind(id);
        return kind == Kind::dict || kind == Kind::list || kind == Kind::tuple;
    }

    // Whatever was called, wherever its result went.
    void check_calls() const {
        for (Id id = 0; id < graph_.count(); ++id) {
            if (graph_.kind(id) != Kind::call) continue;
            const auto call = graph_.items(id);
            const std::string name = graph_.global_name(call[0]);
            if (name.empty()) fail("pickle: a call of what has no name", path_);
            if (holds(notes, name) || holds(makers, name) || holds(wrappers, name)) continue;
            if (!holds(callers, name)) refuse(name, path_);
            const auto arguments = graph_.items(call[1]);
            const std::string called = arguments.empty() ? "" : graph_.global_name(arguments[0]);
            if (!holds(makers, called) && !holds(wrappers, called)) refuse(called.empty() ? name : called, path_);
        }
    }

    void count_visits(std::size_t count) {
        visits_ += count;
        if (visits_ > most_visits) fail("pickle: its values are shared too many times over", path_);
    }
    void visit(Id id, const std::string& name, int depth) {
        count_visits(1);
        if (graph_.kind(id) == Kind::call) {
            if (const auto making = making_of(graph_, id)) add(*making, name);
            return;
        }
        if (!is_container(id)) return;
        if (depth > deepest) fail("pickle: nested more than " + std::to_string(deepest) + " deep", path_);
        const auto items = graph_.items(id);
        count_visits(items.size());
        if (graph_.kind(id) == Kind::dict)
            for (std::size_t i = 0; i + 1 < items.size(); i += 2) visit_member(items[i + 1], key_of(items[i]), name, depth);
        else
            for (std::size_t i = 0; i < items.size(); ++i) visit_member(items[i], std::to_string(i), name, depth);
    }
    void visit_member(Id id, const std::optional<std::string>& key, const std::string& name, int depth) {
        const bool may_hold_tensors = graph_.kind(id) == Kind::call || is_container(id);
        if (!key || !may_hold_tensors) return;
        check_length(name.size() + 1 + key->size(), *key);
        visit(id, name.empty() ? *key : name + "." + *key, depth + 1);
    }
    // Nothing: a key that no name can be made of, such as the class that a training's callback has.
    [[nodiscard]] std::optional<std::string> key_of(Id id) const {
        if (graph_.kind(id) == Kind::integer) return std::to_string(graph_.integer(id));
        if (graph_.kind(id) != Kind::text) return std::nullopt;
        const std::string_view text = graph_.text(id);
        check_length(text.size(), text);
        if (!is_utf8(text)) fail("name " + in_quotes(text) + " is not UTF-8", path_);
        return std::string(text);
    }

    void check_length(std::size_t bytes, std::string_view name) const {
        if (bytes > longest_name)
            fail("name " + in_quotes(name) + ": longer than " + std::to_string(longest_name) + " bytes", path_);
    }

    void add(const Making& making, const std::string& name) {
        if (found_.tensors.size() >= most_tensors) fail("holds more than " + std::to_string(most_tensors) + " tensors", path_);
        if (name.empty()) fail("tensor \"\" has no name", path_);
        TorchTensor tensor{.name = name};
        const auto bad = [&](const std::string& problem) { fail("tensor " + in_quotes(name) + ": " + problem, path_); };
        const auto& a = making.arguments;
        const bool has_dtype = making.maker.ends_with("_v3");
        if (a.size() < (has_dtype ? 7U : 4U)) bad("its pickle lacks arguments");
        tensor.storage = storage_of(graph_, a[0], path_);
        tensor.dtype = tensor.storage.dtype;
        tensor.element_bytes = tensor.storage.element_bytes;
        if (has_dtype) {
            const std::string dtype_name = graph_.global_name(a[6]);
            const DTypeRow* row =
                dtype_name.starts_with("torch.") ? find_dtype(dtypes, std::string_view(dtype_name).substr(6)) : nullptr;
            if (!row) bad("dtype " + in_quotes(dtype_name) + " is not read");
            tensor.dtype = row->name;
            tensor.element_bytes = row->bytes;
        }
        if (is_negated(a, has_dtype ? 7 : 6))
            bad("is stored conjugated or negated; save it as it is (resolve_conj, resolve_neg)");
        const std::vector<std::int64_t> sizes = numbers(a[2], name);
        tensor.strides = numbers(a[3], name);
        if (tensor.strides.size() != sizes.size()) bad("as many strides as sizes are needed");
        if (graph_.kind(a[1]) != Kind::integer || graph_.integer(a[1]) < 0) bad("its offset is none");
        tensor.first = static_cast<std::uint64_t>(graph_.integer(a[1]));
        if (std::ranges::any_of(sizes, [](std::int64_t s) { return s < 0; })) bad("a negative size");
        tensor.shape = Shape(sizes);
        check_inside(tensor, bad);
        found_.tensors.push_back(std::move(tensor));
    }

    [[nodiscard]] bool is_negated(const std::vector<Id>& arguments, std::size_t at) {
        if (arguments.size() <= at || graph_.kind(arguments[at]) != Kind::dict) return false;
        const auto items = graph_.items(arguments[at]);
        count_visits(items.size());  // many tensors may share one of any size
        for (std::size_t i = 1; i < items.size(); i += 2)
            if (graph_.kind(items[i]) == Kind::boolean && graph_.integer(items[i]) != 0) return true;
        return false;
    }

    // Of a tuple, or of a torch.Size of one.
    [[nodiscard]] std::vector<std::int64_t> numbers(Id id, const std::string& name) const {
        const auto broken = [&] { fail("pickle: a shape that is no list of numbers", path_); };
        if (graph_.kind(id) == Kind::call && graph_.global_name(graph_.items(id)[0]) == "torch.Size") {
            const auto arguments = graph_.items(graph_.items(id)[1]);
            if (arguments.size() != 1) broken();
            id = arguments[0];
        }
        if (graph_.kind(id) != Kind::tuple && graph_.kind(id) != Kind::list) broken();
        const auto items = graph_.items(id);
        if (items.size() > Shape::max_rank)  // before they are copied: any number of tensors may share a list of any length
            fail("tensor " + in_quotes(name) + ": " + std::to_string(items.size()) + " dimensions, at most " +
                     std::to_string(Shape::max_rank) + " are supported",
                 path_);
        std::vector<std::int64_t> list;
        for (const Id item : items) {
            if (graph_.kind(item) != Kind::integer) broken();
            list.push_back(graph_.integer(item));
        }
        return list;
    }

    // offset + Σ (size−1)·stride is the last element; without elements nothing is touched.
    template <typename Bad>
    static void check_inside(const TorchTensor& t, const Bad& bad) {
        std::int64_t elements = 1;
        bool is_empty = false, overflows = false;
        for (int i = 0; i < t.shape.rank(); ++i) {
            is_empty |= t.shape[i] == 0;
            overflows |= __builtin_mul_overflow(elements, t.shape[i], &elements);
        }
        std::int64_t bytes = 0;
        if (overflows || __builtin_mul_overflow(elements, static_cast<std::int64_t>(t.element_bytes), &bytes))
            bad("its size overflows 64 bits");
        if (is_empty) return;
        std::uint64_t last = t.first, storage_bytes = 0, end = 0;
        for (int i = 0; i < t.shape.rank(); ++i) {
            const std::int64_t stride = t.strides[static_cast<std::size_t>(i)];
            if (stride < 0) bad("a negative stride");
            std::uint64_t reach = 0;
            overflows |=
                __builtin_mul_overflow(static_cast<std::uint64_t>(t.shape[i] - 1), static_cast<std::uint64_t>(stride), &reach);
            overflows |= __builtin_add_overflow(last, reach, &last);
        }
        overflows |= __builtin_add_overflow(last, std::uint64_t{1}, &last);
        overflows |= __builtin_mul_overflow(last, std::uint64_t{t.element_bytes}, &end);
        overflows |= __builtin_mul_overflow(t.storage.elements, std::uint64_t{t.storage.element_bytes}, &storage_bytes);
        if (overflows || end > storage_bytes)
            bad("shape " + t.shape.text() + " leads out of its storage of " +
                counted(static_cast<std::int64_t>(t.storage.elements), "element"));
    }

    // Of TorchObjects::weights.
    [[nodiscard]] std::string choose_weights() const {
        std::string chosen;
        for (Id at = graph_.root(); graph_.kind(at) == Kind::dict;) {
            std::optional<Id> next;
            std::string next_name;
            int holding = 0;
            bool has_own = false;
            std::size_t best = preferred.size();
            const auto items = graph_.items(at);
            for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
                const auto key = key_of(items[i]);
                has_own |= key && making_of(graph_, items[i + 1]);
                if (!key || graph_.kind(items[i + 1]) != Kind::dict) continue;
                const std::string name = chosen.empty() ? *key : chosen + "." + *key;
                if (!has_below(name)) continue;
                const auto rank = static_cast<std::size_t>(std::ranges::find(preferred, *key) - preferred.begin());
                const bool is_only = ++holding == 1 && looks_like_weights(name);
                if (rank < best || (rank == best && best == preferred.size() && is_only)) {
                    next = items[i + 1];
                    next_name = name;
                    best = rank;
                }
            }
            if (!next || (best == preferred.size() && (holding > 1 || has_own))) break;
            at = *next;
            chosen = next_name;
            if (std::ranges::count(chosen, '.') > deepest) break;
        }
        return chosen;
    }
    [[nodiscard]] bool has_below(const std::string& dictionary) const {
        const auto at = std::ranges::lower_bound(found_.tensors, dictionary + ".", {}, &TorchTensor::name);
        return at != found_.tensors.end() && at->name.starts_with(dictionary + ".");
    }
    // "conv.weight" below it: a name of its own that has a dot.
    [[nodiscard]] bool looks_like_weights(const std::string& dictionary) const {
        const auto at = std::ranges::lower_bound(found_.tensors, dictionary + ".", {}, &TorchTensor::name);
        return at->name.find('.', dictionary.size() + 1) != std::string::npos;
    }

    static constexpr std::array<std::string_view, 4> preferred{"ema", "state_dict", "model", "module"};
    const PickleGraph& graph_;
    const std::string& path_;
    TorchObjects found_;
    std::size_t visits_ = 0;
};

}  // namespace

TorchObjects read_torch_objects(const PickleGraph& graph, const std::string& path) {
    return Walk(graph, path).run();
}

std::vector<TorchStorage> read_torch_storages(const PickleGraph& graph, const std::string& path) {
    std::vector<TorchStorage> all;
    for (Id id = 0; id < graph.count(); ++id)
        if (graph.kind(id) == Kind::persistent) all.push_back(storage_of(graph, id, path));
    return all;
}

}  // namespace t2i
