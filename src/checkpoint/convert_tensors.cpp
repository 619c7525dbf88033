#include "checkpoint/convert_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>

#include "checkpoint/stored_dtype.h"
#include "core/blocks.h"
#include "core/nearest.h"
#include "core/threads.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr std::int64_t piece_values = std::int64_t{1} << 18U;  // that one thread converts at a time; whole blocks of any type

// Relative positions of T5 and the shifts of PixArt's blocks are added, not multiplied by: an error there stays whole.
bool is_added(const std::string& name) {
    return name.ends_with("scale_shift_table") || name.ends_with("relative_attention_bias.weight");
}

// What turns a text's features into what every block reads: few weights, and their error is in all blocks at once. Left alone, it
// takes two thirds of what 8-bit blocks change in the bundled model's latents away.
bool is_read_everywhere(const std::string& name) {
    return name.starts_with("caption_projection.");
}

DType block_type(const CheckpointReader::Entry& entry, DType wanted) {
    if (entry.shape.rank() < 2 || is_added(entry.name)) return DType::f32;
    if (is_read_everywhere(entry.name)) return DType::f16;
    const auto takes = [&](DType t) { return entry.shape.rank() == 2 && entry.shape.columns() % block_of(t).elements == 0; };
    return takes(wanted) ? wanted : takes(DType::q8_0) ? DType::q8_0 : DType::f16;
}

// Two sums of squares and a maximum, of one piece.
struct Sums {
    double values = 0, differences = 0, largest = 0;
};

// f32, f16 and bf16 by their own rounding, block types by pack_blocks().
void pack(const float* from, std::size_t count, DType dtype, std::byte* to) {
    if (is_block_type(dtype)) return pack_blocks(from, count, dtype, to);
    if (dtype == DType::f32) {
        std::memcpy(to, from, count * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint16_t bits = dtype == DType::f16 ? to_f16(from[i]).bits : to_bf16(from[i]).bits;
        std::memcpy(to + i * sizeof bits, &bits, sizeof bits);
    }
}

class Piece {
  public:
    void convert(const TensorView& view, std::int64_t begin, std::int64_t end, DType to) {
        const auto count = static_cast<std::size_t>(end - begin);
        values_.resize(count);
        back_.resize(count);
        bytes_.resize(bytes_of(to, end - begin));
        convert_to_f32(static_cast<const std::byte*>(view.data) + bytes_of(view.dtype, begin), view.dtype, count, values_.data());
        for (std::size_t i = 0; i < count; ++i)
            if (!std::isfinite(values_[i]))
                throw Error(ErrorCode::input, "NaN or Inf at value " + std::to_string(begin + static_cast<std::int64_t>(i)));
        pack(values_.data(), count, to, bytes_.data());
        convert_to_f32(bytes_.data(), to, count, back_.data());
        sums_ = {};
        for (std::size_t i = 0; i < count; ++i) {
            if (!std::isfinite(back_[i]))
                throw Error(ErrorCode::input, std::to_string(values_[i]) + " is too large for " + std::string(name_of(to)));
            const double value = values_[i], difference = static_cast<double>(back_[i]) - value;
            sums_.values += value * value;
            sums_.differences += difference * difference;
            sums_.largest = std::max(sums_.largest, std::abs(difference));
        }
    }
    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
    [[nodiscard]] const Sums& sums() const { return sums_; }

  private:
    std::vector<float> values_, back_;
    std::vector<std::byte> bytes_;
    Sums sums_;
};

// work(i) for each i below n, each on a thread of its own but the first; the first failure is thrown when all have ended.
template <typename Work>
void at_once(std::size_t n, const Work& work) {
    std::vector<std::exception_ptr> failures(n);
    const auto guarded = [&](std::size_t i) {
        try {
            work(i);
        } catch (...) {
            failures[i] = std::current_exception();
        }
    };
    std::vector<std::thread> threads;
    threads.reserve(n);
    for (std::size_t i = 1; i < n; ++i) {
        try {
            threads.push_back(start_thread([&guarded, i] { guarded(i); }));
        } catch (const Error&) {  // none to be had: this one does it
            guarded(i);
        }
    }
    guarded(0);
    for (auto& thread : threads) thread.join();
    for (const auto& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

void copy_as_it_is(const TensorView& view, const ByteSink& sink) {
    sink({static_cast<const std::byte*>(view.data), view.bytes()});
}

}  // namespace

DType converted_type(const CheckpointReader::Entry& entry, std::optional<DType> wanted, Container container) {
    const DType stored = dtype_of(entry);
    const bool in_gguf = container == Container::gguf;
    if (!holds_reals(stored)) return stored;
    if (in_gguf && entry.shape.rank() < 2) return DType::f32;
    if (wanted) return is_block_type(*wanted) ? block_type(entry, *wanted) : *wanted;
    if (in_gguf && (stored == DType::f8_e4m3 || stored == DType::f8_e5m2)) return DType::f16;  // holds both exactly
    if (!in_gguf && is_block_type(stored)) return DType::f32;
    return stored;
}

ConversionError convert_tensor(const CheckpointReader& reader, const Conversion& conversion, int threads, const ByteSink& sink) {
    const TensorView view = reader.tensor(conversion.source);
    const DType to = conversion.target.dtype;
    if (view.dtype == to) {
        copy_as_it_is(view, sink);
        return {};
    }
    const std::int64_t count = view.elements();
    std::vector<Piece> pieces(static_cast<std::size_t>(std::max(threads, 1)));
    Sums all;
    try {
        for (std::int64_t begin = 0; begin < count;) {
            const std::int64_t left = (count - begin + piece_values - 1) / piece_values;
            const auto now = static_cast<std::size_t>(std::min(left, static_cast<std::int64_t>(pieces.size())));
            at_once(now, [&](std::size_t i) {
                const std::int64_t from = begin + static_cast<std::int64_t>(i) * piece_values;
                pieces[i].convert(view, from, std::min(count, from + piece_values), to);
            });
            for (std::size_t i = 0; i < now; ++i) {
                sink(pieces[i].bytes());
                all.values += pieces[i].sums().values;
                all.differences += pieces[i].sums().differences;
                all.largest = std::max(all.largest, pieces[i].sums().largest);
            }
            begin += static_cast<std::int64_t>(now) * piece_values;
        }
    } catch (const Error& error) {
        if (!error.where().empty()) throw;
        throw Error(ErrorCode::input, "tensor " + in_quotes(conversion.source) + ": " + error.what(),
                    reader.entries()[entry_index(reader, conversion.source, {})].file);
    }
    return {.relative = all.values > 0 ? std::sqrt(all.differences / all.values) : 0, .largest = all.largest};
}

}  // namespace t2i
