#include "core/arena.h"

#include <algorithm>

namespace t2i {

TensorView Arena::take(Shape shape, DType dtype) {
    constexpr std::size_t alignment = 64;
    const auto bytes = bytes_of(shape, dtype);
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    while (block_ < blocks_.size() && used_ + rounded > blocks_[block_].bytes()) {
        ++block_;
        used_ = 0;
    }
    if (block_ == blocks_.size()) {
        blocks_.push_back(allocate_(std::max(rounded, min_block_bytes)));
        used_ = 0;
    }
    const Buffer& block = blocks_[block_];
    TensorView view{static_cast<std::byte*>(block.data()) + used_, dtype, block.device(), shape};
    used_ += rounded;
    std::size_t in_use = used_;
    for (std::size_t i = 0; i < block_; ++i) in_use += blocks_[i].bytes();
    peak_ = std::max(peak_, in_use);
    return view;
}

}  // namespace t2i
