// Scratch memory for one forward pass: blocks taken in order, given back all at once at a mark.
// Ops never allocate; whoever calls them takes outputs from here.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "core/tensor.h"

namespace t2i {

class Arena {
  public:
    using Allocate = std::function<Buffer(std::size_t bytes)>;
    explicit Arena(Allocate allocate) : allocate_(std::move(allocate)) {}

    // Uninitialised memory for a tensor, valid until the enclosing Mark ends. Grows by whole blocks, so a second
    // pass of the same shapes allocates nothing.
    [[nodiscard]] TensorView take(Shape shape, DType dtype = DType::f32);
    [[nodiscard]] std::size_t peak_bytes() const { return peak_; }

    // RAII: everything taken after the mark is free again when it ends.
    class Mark {
      public:
        explicit Mark(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_) {}
        ~Mark() {
            arena_.block_ = block_;
            arena_.used_ = used_;
        }
        Mark(const Mark&) = delete;
        Mark& operator=(const Mark&) = delete;

      private:
        Arena& arena_;
        std::size_t block_, used_;
    };

  private:
    static constexpr std::size_t min_block_bytes = std::size_t{8} << 20;
    Allocate allocate_;
    std::vector<Buffer> blocks_;
    std::size_t block_ = 0, used_ = 0, peak_ = 0;
};

}  // namespace t2i
