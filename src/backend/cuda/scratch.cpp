#include "backend/cuda/scratch.h"

namespace t2i::cuda {

std::byte* Scratch::reserve(std::size_t bytes) {
    const RecordingState& recording = memory_->recording();
    if (block_.bytes() < bytes) {
        recording.refuse_allocation(bytes);
        if (!recording.has_recordings()) outgrown_.clear();
        else if (is_recorded_) outgrown_.push_back(std::move(block_));
        is_recorded_ = false;
        block_ = {};  // given back first: old and new at once may not fit
        block_ = DeviceBlock(memory_, bytes);
    }
    is_recorded_ = is_recorded_ || recording.is_active();
    return static_cast<std::byte*>(block_.data());
}

}  // namespace t2i::cuda
