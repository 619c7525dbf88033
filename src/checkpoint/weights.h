// Takes tensors out of a checkpoint by name with the shape the model expects, and notices what is missing or left over.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "checkpoint/reader.h"

namespace t2i {

class Scope;

class WeightStore {
  public:
    explicit WeightStore(std::unique_ptr<CheckpointReader> reader, std::string where);  // where: file or folder, for messages
    [[nodiscard]] Scope root();
    [[nodiscard]] const CheckpointReader& reader() const { return *reader_; }
    // Tensors to ignore if present (buffers that are recomputed), e.g. "pos_embed.pos_embed".
    void ignore(const std::string& name) { used_.insert(name); }
    // Renames at the door: maps a canonical name to the checkpoint's name (identity by default).
    void rename(std::function<std::string(const std::string&)> to_checkpoint_name) { rename_ = std::move(to_checkpoint_name); }
    // One line about the tensors that were never taken and are not to be ignored: how many, and the first few by name. Empty:
    // there are none.
    [[nodiscard]] std::string left_over() const;

  private:
    friend class Scope;
    std::unique_ptr<CheckpointReader> reader_;
    std::string where_;
    std::set<std::string> used_;
    std::function<std::string(const std::string&)> rename_;
};

// A dotted prefix: root / "transformer_blocks" / 3 / "attn1".
class Scope {
  public:
    Scope(WeightStore& store, std::string prefix) : store_(&store), prefix_(std::move(prefix)) {}
    [[nodiscard]] Scope operator/(const std::string& name) const;
    [[nodiscard]] Scope operator/(std::int64_t index) const { return *this / std::to_string(index); }
    [[nodiscard]] bool has(const std::string& name) const;
    // The mapped tensor. Throws Error{input}: missing (with the nearest name there is), wrong shape (both shapes), a
    // dtype that holds no real numbers or that nothing here can unpack, or a NaN or Inf inside (with its index; of block types
    // that of the block's first element). Types for storage alone (core/dtype.h) come as they are: convert_to_f32.
    [[nodiscard]] TensorView take(const std::string& name, const Shape& expected) const;
    // The same, converted to an owned f32 tensor: for biases, norms and small tables.
    [[nodiscard]] Tensor take_f32(const std::string& name, const Shape& expected) const;
    // take() without a look at the values, for whoever sees all of them anyway: check_finite() follows.
    [[nodiscard]] TensorView take_unchecked(const std::string& name, const Shape& expected) const;
    // Throws as take() does about a NaN or Inf in what take_unchecked() gave.
    void check_finite(const std::string& name, const TensorView& view) const;
    // What take() finds in the file's header, without the values: for a tensor that will be taken later.
    void expect(const std::string& name, const Shape& expected) const;
    // The tensor was read: its memory may go. Views of it are not read any more; it can be taken again.
    void release(const std::string& name) const;
    [[nodiscard]] const std::string& prefix() const { return prefix_; }

  private:
    [[nodiscard]] std::string full_name(const std::string& name) const;
    WeightStore* store_;
    std::string prefix_;
};

}  // namespace t2i
