// A CUDA stream of the emulated GPU.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace t2i::emulation {

// Does what it is handed at once, in order. While it captures it keeps that instead, to be done later, as
// cudaStreamBeginCapture makes a stream do.
class Stream {
  public:
    using Work = std::function<void()>;
    void submit(Work work) {
        if (captured_) captured_->push_back(std::move(work));
        else work();
    }
    [[nodiscard]] bool is_capturing() const { return captured_.has_value(); }
    void begin_capture() { captured_.emplace(); }
    [[nodiscard]] std::vector<Work> end_capture() { return *std::exchange(captured_, std::nullopt); }

  private:
    std::optional<std::vector<Work>> captured_;  // nothing: it does not capture
};

}  // namespace t2i::emulation

// What cudaStream_t points to; a null one does everything at once.
struct CUstream_st : t2i::emulation::Stream {};
