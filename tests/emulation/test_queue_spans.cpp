// Spans of a backend with a queue, on one whose clock the test turns.
#include "backend/gpu/device_ops.h"
#include "ops/exec_context.h"
#include "support/catch.h"

using namespace t2i;

namespace {

// Timestamp k is k milliseconds after `start`.
class Queue final : public cuda::DeviceOps {
  public:
    Tracer::Clock::time_point start = Tracer::Clock::now();
    bool records = false;
    [[nodiscard]] Timestamp timestamp() override { return records ? 0 : ++last_; }
    [[nodiscard]] Tracer::Clock::time_point time_of(Timestamp timestamp) override {
        return start + std::chrono::milliseconds(timestamp);
    }

    [[nodiscard]] std::string_view name() const override { return "queue"; }
    [[nodiscard]] std::string description() const override { return "a queue"; }
    [[nodiscard]] Buffer allocate(std::size_t bytes) override { return Buffer::host(bytes); }
    void copy(const TensorView&, const TensorView&) override {}
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_linear(const TensorView&, DType) override { return nullptr; }
    [[nodiscard]] std::unique_ptr<PackedWeight> pack_conv2d(const TensorView&, DType, const Conv2dUse&) override {
        return nullptr;
    }

  protected:
    [[nodiscard]] cudaStream_t stream() const override { return nullptr; }
    void multiply(const cuda::MatmulArgs&) override {}
    void convolve(const cuda::ConvolutionArgs&) override {}
    [[nodiscard]] void* workspace(std::size_t) override { return nullptr; }

  private:
    Timestamp last_ = 0;
};

}  // namespace

TEST_CASE("a queue is asked when it came to both ends of a span, and not while it records") {
    Queue queue;
    Tracer tracer;
    tracer.keep_spans();
    Arena scratch([&](std::size_t bytes) { return queue.allocate(bytes); });
    const ExecContext ctx{queue, scratch, &tracer};
    {
        const TraceSpan step(ctx, "step", std::size_t{7});  // timestamps 1 and 4
        {
            const TraceSpan block(ctx, "block");
        }  // 2 and 3
        queue.records = true;
        {
            const TraceSpan recorded(ctx, "recorded");
        }
        queue.records = false;
    }
    CHECK(tracer.spans().size() == 3);  // of handing over
    tracer.settle();
    auto spans = tracer.spans();
    std::erase_if(spans, [](const Tracer::Span& span) { return span.thread != Tracer::queue_thread; });
    REQUIRE(spans.size() == 2);
    CHECK(spans[0].name == "block");
    CHECK(spans[0].duration_ms == Approx(1));
    CHECK(spans[1].name == "step");
    CHECK(spans[1].index == 7);
    CHECK(spans[1].duration_ms == Approx(3));
    CHECK(spans[0].start_ms - spans[1].start_ms == Approx(1));
}

TEST_CASE("without a tracer that keeps spans a queue is not asked for timestamps") {
    Queue queue;
    Tracer tracer;
    Arena scratch([&](std::size_t bytes) { return queue.allocate(bytes); });
    const ExecContext ctx{queue, scratch, &tracer};
    {
        const TraceSpan step(ctx, "step");
    }
    CHECK(queue.timestamp() == 1);
}
