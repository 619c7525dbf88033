#include "backend/emulated/emulated_backend.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "backend/gpu/device_ops.h"
#include "backend/gpu/recording_state.h"
#include "backend/kernel_arguments.h"
#include "backend/ref/arguments.h"
#include "core/number_text.h"
#include "core/out_of_memory.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/emulation/emulator.h"
#include "t2i/error.h"

namespace t2i {

// Of kernels/cuda/cuda_kernels.h.
void cuda::check_launch(cudaError_t status, const char* launcher) {
    if (status != cudaSuccess)
        throw Error(ErrorCode::resource, std::string("emulated GPU: ") + cudaGetErrorString(status) + " (" + launcher + ")");
}

namespace {

using emulation::Order;

using ref::in;
using ref::out;

ref::In bias_of(const float* bias) {
    return bias ? ref::In{bias} : ref::In{};
}
ref::Function product_function(Activation a) {
    T2I_CHECK(a != Activation::silu, "SiLU is not a product's to apply");
    return function(a);
}

// Rounded to the compute dtype, as f32, in memory of the emulated GPU.
struct EmulatedWeight final : PackedWeight {
    Buffer values;
    mutable std::set<std::string> planned;  // the calls with this weight that were made outside of a recording
};

const EmulatedWeight& emulated_weight(const PackedWeight* weight) {
    const auto* packed = dynamic_cast<const EmulatedWeight*>(weight);
    T2I_CHECK(packed != nullptr, "a weight packed by another backend");
    return *packed;
}
const float* values(const PackedWeight* weight) {
    return static_cast<const float*>(emulated_weight(weight).values.data());
}

std::string text(const TensorView& t) {
    return t.shape.text() + " " + std::string(name_of(t.dtype));
}

// The host memory that allocate_staging gave, while it is there. It may be given back by any thread.
class StagingMemory {
  public:
    void add(const void* begin, std::size_t bytes) {
        const std::lock_guard lock(mutex_);
        blocks_[static_cast<const std::byte*>(begin)] = bytes;
    }
    void remove(const void* begin) {
        const std::lock_guard lock(mutex_);
        blocks_.erase(static_cast<const std::byte*>(begin));
    }
    [[nodiscard]] bool holds(const void* begin, std::size_t bytes) const {
        const std::lock_guard lock(mutex_);
        const auto* from = static_cast<const std::byte*>(begin);
        const auto next = blocks_.upper_bound(from);
        if (next == blocks_.begin()) return false;
        const auto& [block, block_bytes] = *std::prev(next);
        return from + bytes <= block + block_bytes;
    }

  private:
    mutable std::mutex mutex_;
    std::map<const std::byte*, std::size_t> blocks_;
};

// What a stream has captured, done again at each replay.
class EmulatedGraph final : public Recording {
  public:
    EmulatedGraph(std::shared_ptr<const cuda::RecordingState> state, const emulation::Settings& settings,
                  std::vector<emulation::Stream::Work> nodes, std::vector<Buffer> scratch)
        : state_(std::move(state)), settings_(settings), nodes_(std::move(nodes)), scratch_(std::move(scratch)) {}
    void replay() override {
        state_->refuse_waiting("replay");
        emulation::use(settings_);
        for (const auto& node : nodes_) node();
    }

  private:
    std::shared_ptr<const cuda::RecordingState> state_;
    emulation::Settings settings_;
    std::vector<emulation::Stream::Work> nodes_;
    std::vector<Buffer> scratch_;  // of the nodes
};

emulation::Settings settings_of(std::string_view name) {
    constexpr std::string_view plain = "emulated";
    const auto refuse = [&] {
        return Error(ErrorCode::invalid_argument,
                     "no backend '" + std::string(name) + "'; there are emulated, emulated:reverse and emulated:N",
                     Field{"device"});
    };
    if (name == plain) return {};
    if (name.substr(0, plain.size() + 1) != "emulated:") throw refuse();
    const std::string_view order = name.substr(plain.size() + 1);
    // In one of the orders what is uninitialised is no NaN, which some functions drop, but a large number.
    if (order == "reverse") return {.order = Order::reverse, .fill = 0x7E};
    const auto seed = parse_number<std::uint64_t>(order);
    if (!seed) throw refuse();
    return {.order = Order::shuffled, .seed = *seed};
}

class EmulatedBackend final : public cuda::DeviceOps {
  public:
    explicit EmulatedBackend(const emulation::Settings& settings) : settings_(settings) {}

    std::string_view name() const override { return "emulated"; }
    std::string description() const override {
        constexpr const char* orders[] = {"in order", "in reverse order", "shuffled"};
        return std::string("the GPU's kernels, emulated (threads ") + orders[static_cast<int>(settings_.order)] + ")";
    }
    Device device() const override { return Device::cuda; }
    Buffer allocate(std::size_t bytes) override {
        recording_->refuse_allocation(bytes);
        return take(bytes);
    }
    Buffer allocate_staging(std::size_t bytes) override {
        recording_->refuse_allocation(bytes);
        auto memory = std::make_shared<Buffer>(Buffer::host(bytes));
        void* const data = memory->data();
        staging_->add(data, bytes);
        return {data, bytes, Device::host, [memory, staging = staging_](void* begin) mutable {
                    staging->remove(begin);
                    memory.reset();
                }};
    }
    void copy(const TensorView& from, const TensorView& to) override {
        T2I_CHECK(from.dtype == to.dtype && from.elements() == to.elements(), "copy of unlike tensors");
        if (to.device == Device::host) recording_->refuse_host_read(from.bytes());
        const bool is_from_host = from.device == Device::host && to.device != Device::host;
        if (is_from_host && !staging_->holds(from.data, from.bytes())) recording_->refuse_pageable_copy(from.bytes());
        const bool is_recorded = recording_->is_active();
        stream_.submit([from, to, is_from_host, is_recorded, staging = staging_] {
            if (is_recorded && is_from_host)
                T2I_CHECK(staging->holds(from.data, from.bytes()), "the staging memory of a recorded copy is gone");
            std::memcpy(to.data, from.data, from.bytes());
        });
    }
    // Everything is done at once, or recorded.
    Fence fence() override {
        recording_->refuse_waiting("fence");
        return 0;
    }
    void wait(Fence) override { recording_->refuse_waiting("wait"); }

    // Captured as on a GPU: the functions are not called again, so what they read from the host is as it was.
    std::unique_ptr<Recording> record(std::function<void()> work) override {
        const cuda::RecordingState::Session session(*recording_);
        stream_.begin_capture();
        std::vector<emulation::Stream::Work> nodes;
        try {
            work();
            nodes = stream_.end_capture();
            session.finish();
        } catch (...) {
            if (stream_.is_capturing()) static_cast<void>(stream_.end_capture());
            recorded_scratch_.clear();
            throw;
        }
        return std::make_unique<EmulatedGraph>(recording_, settings_, std::move(nodes), std::exchange(recorded_scratch_, {}));
    }

    void attention(const AttentionArgs& a) override {
        plan(planned_attention_, "attention of " + text(a.q.matrix) + " with keys " + text(a.k.matrix) + ", batch " +
                                     std::to_string(a.batch) + ", heads " + std::to_string(a.heads) + " of " +
                                     std::to_string(a.q.width / a.heads) + (a.bias ? ", with a bias" : "") +
                                     (a.key_lengths ? ", with key lengths" : ""));
        DeviceOps::attention(a);
    }

    std::unique_ptr<PackedWeight> pack_linear(const TensorView& weight, DType compute) override {
        recording_->refuse_packing("pack_linear");
        return pack(weight, compute);
    }
    std::unique_ptr<PackedWeight> pack_conv2d(const TensorView& weight, DType compute, const Conv2dUse&) override {
        recording_->refuse_packing("pack_conv2d");
        return pack(weight, compute);
    }

  protected:
    // Called once for each operation, before its kernels run.
    cudaStream_t stream() const override {
        emulation::use(settings_);
        return &stream_;
    }
    void multiply(const cuda::MatmulArgs& a) override {
        plan(emulated_weight(a.weight).planned,
             "linear of " + text(a.x) + " with " + a.weight->shape.text() + " to " + std::string(name_of(a.out.dtype)), a.bias,
             a.activation);
        const ref::Linear product{.m = a.x.shape.rows(),
                                  .n = a.weight->shape[0],
                                  .k = a.weight->shape[1],
                                  .x = in(a.x),
                                  .weight = values(a.weight),
                                  .bias = bias_of(a.bias),
                                  .function = product_function(a.activation),
                                  .gate = {},
                                  .gate_rows = 1,
                                  .residual = {},
                                  .residual_rows = 1,
                                  .out = out(a.out)};
        stream_.submit([product] { ref::linear(product); });
    }
    void convolve(const cuda::ConvolutionArgs& a) override {
        const Shape &x = a.x.shape, &w = a.weight->shape;
        std::string padding;
        for (const std::int64_t side : a.padding) padding += " " + std::to_string(side);
        plan(emulated_weight(a.weight).planned,
             "conv2d of " + text(a.x) + " with " + w.text() + ", stride " + std::to_string(a.stride) + ", padding" + padding +
                 ", to " + text(a.out),
             a.bias, a.activation);
        ref::Conv2d convolution = ref::conv2d_sizes(x, w, a.stride, a.padding);
        convolution.x = in(a.x);
        convolution.weight = values(a.weight);
        convolution.bias = bias_of(a.bias);
        convolution.function = product_function(a.activation);
        convolution.out = out(a.out);
        stream_.submit([convolution] { ref::conv2d(convolution); });
    }
    // New each time, so that nothing is found there that the operation has not put there. A recorded operation has one of its
    // own, made new at each replay; a GPU's must be large enough by then.
    void* workspace(std::size_t bytes) override {
        if (!recording_->is_active()) {
            workspace_ = {};
            workspace_ = take(bytes);
            most_workspace_bytes_ = std::max(most_workspace_bytes_, bytes);
            return workspace_.data();
        }
        if (bytes > most_workspace_bytes_) recording_->refuse_allocation(bytes);
        recorded_scratch_.push_back(take(bytes));
        void* const data = recorded_scratch_.back().data();
        stream_.submit([data, bytes, fill = settings_.fill] { std::memset(data, fill, bytes); });
        return data;
    }

  private:
    Buffer take(std::size_t bytes) {
        try {
            return {emulation::allocate(bytes, settings_.fill), bytes, Device::cuda, [state = recording_](void* memory) {
                        state->note_release();
                        emulation::release(memory);
                    }};
        } catch (const std::bad_alloc&) {
            throw OutOfMemory("out of memory: " + std::to_string(bytes) + " bytes wanted for the emulated GPU");
        }
    }
    // A call outside of a recording is the plan for those within one. `call` names it; a bias is part of what is prepared.
    void plan(std::set<std::string>& planned, const std::string& call, const void* bias = nullptr,
              Activation activation = Activation::none) {
        const std::string key = call + ", bias at " + std::to_string(reinterpret_cast<std::uintptr_t>(bias)) + ", activation " +
                                std::to_string(static_cast<int>(activation));
        if (!recording_->is_active()) planned.insert(key);
        else if (!planned.contains(key)) recording_->refuse_unplanned(call);
    }
    std::unique_ptr<PackedWeight> pack(const TensorView& weight, DType compute) {
        auto packed = std::make_unique<EmulatedWeight>();
        packed->shape = weight.shape;
        packed->compute = compute;
        const auto count = static_cast<std::size_t>(weight.elements());
        packed->values = take(count * sizeof(float));
        auto* const to = static_cast<float*>(packed->values.data());
        convert_to_f32(weight.data, weight.dtype, count, to);
        if (compute == DType::bf16)
            for (std::size_t i = 0; i < count; ++i) to[i] = to_f32(to_bf16(to[i]));
        return packed;
    }

    emulation::Settings settings_;
    mutable CUstream_st stream_;  // of the order of work alone: launching is no change of the backend
    std::shared_ptr<cuda::RecordingState> recording_ = std::make_shared<cuda::RecordingState>();
    std::shared_ptr<StagingMemory> staging_ = std::make_shared<StagingMemory>();
    std::set<std::string> planned_attention_;
    Buffer workspace_;
    std::size_t most_workspace_bytes_ = 0;  // of those outside of a recording
    std::vector<Buffer> recorded_scratch_;  // of the recording that is made
};

}  // namespace

std::unique_ptr<Backend> make_emulated_backend(std::string_view name) {
    return std::make_unique<EmulatedBackend>(settings_of(name));
}

std::string emulation_summary() {
    const emulation::Counts c = emulation::counts();
    return std::to_string(c.kernels) + " kernels, " + std::to_string(c.launches) + " launches, " + std::to_string(c.blocks) +
           " blocks";
}

}  // namespace t2i
