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
    // Throws Error{input} when tensors were never taken: names the first few and how many.
    void finish() const;

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
    // dtype that is not F32, F16 or BF16, or a NaN or Inf inside (with its index).
    [[nodiscard]] TensorView take(const std::string& name, const Shape& expected) const;
    // The same, converted to an owned f32 tensor: for biases, norms and small tables.
    [[nodiscard]] Tensor take_f32(const std::string& name, const Shape& expected) const;
    [[nodiscard]] const std::string& prefix() const { return prefix_; }

  private:
    WeightStore* store_;
    std::string prefix_;
};

}  // namespace t2i
