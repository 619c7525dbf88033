// What makes pictures in batches, as the scheduler sees it: an Engine, or what a test puts in its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "pipeline/request.h"
#include "t2i/pipeline.h"

namespace t2i {

// One picture of a batch.
struct PictureJob {
    std::vector<std::int32_t> prompt, negative;  // ids; negative is not read where the settings do not guide
    std::uint64_t seed = 0;
    std::shared_ptr<const StartPicture> start{};  // what it begins with, where the settings say that it does
};

// Its members are for one thread at a time, except where they say so.
class BatchMaker {
  public:
    struct Picture {
        std::vector<std::uint8_t> rgb;  // [height, width, 3]
    };
    struct Callbacks {
        std::function<void(std::size_t index, Picture picture)> picture;  // index: within the jobs it was made from
        std::function<bool(int step)> progress;                           // false stops with Error{cancelled}; may be empty
        // What the decoder read, before picture(): one picture's latents [1, C, h, w] f32 or codes [1, h, w] i32 in host memory,
        // for the time of the call. Empty: nothing is copied from the device.
        std::function<void(std::size_t index, const TensorView& grid)> grid{};
        // Ids of the prompts that wait, those that come first in front: a text encoder that must be read from its file reads them
        // along. Called at most once, before the first step; may take a moment to see `enough` of them. May be empty.
        std::function<std::vector<std::vector<std::int32_t>>(std::size_t enough)> waiting{};
    };

    BatchMaker() = default;
    BatchMaker(const BatchMaker&) = delete;
    BatchMaker& operator=(const BatchMaker&) = delete;
    virtual ~BatchMaker() = default;

    // Makes one picture a job, all in one batch, with the plan, guidance and size of `settings`; jobs should have the same
    // number of conditioning rows, so that nothing of a picture depends on its neighbours. On a backend with a queue the pictures
    // are handed out while the next batch runs, or by flush(); else before it returns. After an exception the batch before is
    // handed out by flush(), unless the exception came from there. Throws Error: input (NaN, naming the step), resource
    // (OutOfMemory; nothing of the batch was handed out), cancelled.
    virtual void make(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) = 0;
    // Hands out what is still in the queue. Throws as make() does.
    virtual void flush() = 0;
    // Frees everything but the weights. Nothing may be in the queue.
    virtual void drop_caches() = 0;
    // Of everything made so far.
    [[nodiscard]] virtual StageTimes times() const = 0;
    // Rows of text that the model reads for this picture, padding included; 0 where it reads labels. From any thread.
    [[nodiscard]] virtual std::size_t conditioning_rows(const PictureJob& job) const = 0;
};

}  // namespace t2i
