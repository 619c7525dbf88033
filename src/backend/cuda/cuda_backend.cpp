#include "backend/cuda/cuda_backend.h"

#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cuda/driver.h"
#include "backend/cuda/status.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

std::int64_t padded(std::int64_t width) {
    static_assert(Matmuls::granule == Convolutions::granule);
    return Convolutions::padded(width);
}

std::size_t bytes_of(std::int64_t elements, DType dtype) {
    return static_cast<std::size_t>(elements) * size_of(dtype);
}

// A bias as a library reads it.
struct PreparedBias {
    const float* from;
    DType dtype;
    bool is_exact;     // the same numbers
    DeviceBlock data;  // [padded N]
};

// linear: [padded N, padded K]; conv2d: [padded Cout, KH, KW, padded Cin]. The padding is zero.
struct CudaWeight final : PackedWeight {
    DeviceBlock data;
    mutable std::vector<PreparedBias> biases;  // of the layers that use this weight: one, unless they share it
};

const CudaWeight& cuda_weight(const PackedWeight* weight) {
    const auto* w = dynamic_cast<const CudaWeight*>(weight);
    T2I_CHECK(w, "the weight was packed by another backend");
    return *w;
}

class Graph final : public Recording {
  public:
    Graph(std::shared_ptr<DeviceMemory> memory, cudaGraph_t graph)
        : memory_(std::move(memory)), share_(memory_->recording().share()) {
        check(cudaGraphInstantiate(&executable_, graph, 0), "prepare recorded work");
        const cudaError_t status = cudaGraphUpload(executable_, memory_->stream());
        if (status != cudaSuccess) destroy();
        check(status, "prepare recorded work");
    }
    ~Graph() override { destroy(); }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;
    void replay() override {
        memory_->recording().refuse_waiting("replay");
        check(cudaGraphLaunch(executable_, memory_->stream()), "replay recorded work");
    }

  private:
    void destroy() noexcept {
        // One that still runs is freed when it is done (CUDA Runtime API, cudaGraphExecDestroy).
        if (const cudaError_t status = cudaGraphExecDestroy(executable_); status != cudaSuccess)
            memory_->warn(status, "free recorded work");
    }
    std::shared_ptr<DeviceMemory> memory_;
    RecordingState::Share share_;
    cudaGraphExec_t executable_ = nullptr;
};

// Captures what is queued on the stream while it lives.
class Capture {
  public:
    explicit Capture(DeviceMemory& memory) : session_(memory.recording()), stream_(memory.stream()) {
        // Relaxed: a kernel that is loaded at its first launch must not end the capture. We allocate nothing meanwhile.
        check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "record work");
        is_open_ = true;
    }
    ~Capture() {
        if (is_open_) end();  // an exception is on its way: the status of a broken capture says nothing more
        if (graph_) cudaGraphDestroy(graph_);
    }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    [[nodiscard]] cudaGraph_t finish() {
        session_.finish();
        check(end(), "record work");
        return graph_;
    }

  private:
    cudaError_t end() noexcept {
        is_open_ = false;
        return cudaStreamEndCapture(stream_, &graph_);
    }
    RecordingState::Session session_;
    cudaStream_t stream_;
    bool is_open_ = false;
    cudaGraph_t graph_ = nullptr;
};

}  // namespace

CudaBackend::CudaBackend(const CudaOptions& options)
    : memory_(std::make_shared<DeviceMemory>(options.device, options.log)),
      transfers_(memory_),
      queue_clock_(memory_),
      matmuls_(memory_, options.fast_math),
      fast_math_(options.fast_math),
      workspace_(memory_),
      padded_input_(memory_),
      padded_output_(memory_),
      sums_(memory_) {
    if (!cudnn().about.problem.empty()) return;
    convolutions_ = std::make_unique<Convolutions>(memory_, options.fast_math);
    if (fast_math_) attentions_ = std::make_unique<Attentions>(memory_);
}

std::string CudaBackend::description() const {
    return memory_->name() + " (CUDA " + toolkit_version() + ", cuBLASLt " + cublaslt().about.version +
           (convolutions_ ? ", cuDNN " + cudnn().about.version : ", no cuDNN") + (fast_math_ ? ", fast math)" : ")");
}

bool CudaBackend::supports(Op op, DType dtype) const {
    if (op == Op::conv2d && !convolutions_) return false;
    return DeviceOps::supports(op, dtype);
}

Buffer CudaBackend::allocate(std::size_t bytes) {
    return {memory_->take(bytes), bytes, Device::cuda, [memory = memory_](void* data) { memory->give_back(data); }};
}

Buffer CudaBackend::allocate_staging(std::size_t bytes) {
    memory_->recording().refuse_allocation(bytes);
    auto block = std::make_shared<PinnedBlock>(memory_, bytes);
    void* data = block->data();
    return {data, bytes, Device::host, [block = std::move(block)](void*) mutable { block.reset(); }};
}

void CudaBackend::copy(const TensorView& from, const TensorView& to) {
    if (to.device == Device::cuda) {
        if (from.device == Device::cuda) transfers_.within_gpu(from.data, to.data, from.bytes());
        else transfers_.to_gpu(from.data, to.data, from.bytes());
        return;
    }
    memory_->recording().refuse_host_read(from.bytes());
    if (from.device == Device::cuda) transfers_.to_host(from.data, to.data, from.bytes());
    else std::memcpy(to.data, from.data, from.bytes());
}

void CudaBackend::copy_queued(const TensorView& from, const TensorView& to) {
    if (from.device != Device::cuda || to.device != Device::host) {
        copy(from, to);
        return;
    }
    memory_->recording().refuse_host_read(from.bytes());
    transfers_.to_host_queued(from.data, to.data, from.bytes());
}

Fence CudaBackend::fence() {
    memory_->recording().refuse_waiting("fence");
    return transfers_.fence();
}

void CudaBackend::wait(Fence fence) {
    memory_->recording().refuse_waiting("wait");
    transfers_.wait(fence);
}

std::unique_ptr<Recording> CudaBackend::record(std::function<void()> work) {
    Capture capture(*memory_);
    work();
    return std::make_unique<Graph>(memory_, capture.finish());
}

void CudaBackend::begin_range(const char* name) {
    nvtxRangePushA(name);
}

void CudaBackend::end_range() {
    nvtxRangePop();
}

void* CudaBackend::workspace(std::size_t bytes) {
    return workspace_.reserve(bytes);
}

void CudaBackend::copy_rows(const void* from, std::int64_t from_width, void* to, std::int64_t to_width, std::int64_t rows,
                            DType dtype) {
    const std::int64_t width = std::min(from_width, to_width);
    if (to_width > from_width) check(cudaMemsetAsync(to, 0, bytes_of(rows * to_width, dtype), memory_->stream()), "pad a matrix");
    check(cudaMemcpy2DAsync(to, bytes_of(to_width, dtype), from, bytes_of(from_width, dtype), bytes_of(width, dtype),
                            static_cast<std::size_t>(rows), cudaMemcpyDeviceToDevice, memory_->stream()),
          "copy a matrix");
}

CudaBackend::BiasView CudaBackend::prepared_bias(const PackedWeight& weight, const float* bias, DType dtype) {
    const std::int64_t n = weight.shape[0], np = padded(n);
    const bool is_aligned = reinterpret_cast<std::uintptr_t>(bias) % 16 == 0;
    if (!bias || (dtype == DType::f32 && n == np && is_aligned)) return {bias, true};
    auto& known = cuda_weight(&weight).biases;
    auto found = std::ranges::find_if(known, [&](const PreparedBias& b) { return b.from == bias && b.dtype == dtype; });
    if (found == known.end()) {
        memory_->recording().refuse_unplanned("the bias of a weight " + weight.shape.text());
        PreparedBias prepared{bias, dtype, dtype == DType::f32, DeviceBlock(memory_, bytes_of(np, dtype))};
        check(cudaMemsetAsync(prepared.data.data(), 0, prepared.data.bytes(), memory_->stream()), "pad a bias");
        if (dtype == DType::bf16) {
            std::vector<float> values(static_cast<std::size_t>(n));
            transfers_.to_host(bias, values.data(), values.size() * sizeof(float));
            prepared.is_exact = std::ranges::all_of(values, [](float v) { return to_f32(to_bf16(v)) == v; });
        }
        known.push_back(std::move(prepared));
        found = known.end() - 1;
    }
    // Made again at each call that is not recorded: the memory may hold other numbers by now.
    if (memory_->recording().is_active()) return {found->data.data(), found->is_exact};
    const TensorView from{const_cast<float*>(bias), DType::f32, Device::cuda, {n}},
        to{found->data.data(), dtype, Device::cuda, {n}};
    if (dtype == DType::f32) transfers_.within_gpu(from.data, to.data, from.bytes());
    else cast(from, to);
    return {found->data.data(), found->is_exact};
}

// cuBLASLt reads a bias in the dtype of the result (cublasLt.h, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE). One that bf16 does not
// hold exactly is added in f32 and the result rounded by a kernel of ours, unless fast_math lets the bias be rounded.
// The library's GELU is approximate: near enough for a result in bf16, not for one in f32.
CudaBackend::Fusion CudaBackend::best_fusion(const MatmulArgs& a) {
    Fusion fusion{.stored = a.out.dtype, .adds_bias = true, .activates = true};
    if (!fast_math_ && !prepared_bias(*a.weight, a.bias, a.out.dtype).is_exact) fusion.stored = DType::f32;
    if (fusion.stored != a.out.dtype || (a.activation == Activation::gelu_tanh && fusion.stored == DType::f32))
        fusion.activates = false;
    return fusion;
}

bool CudaBackend::multiply(const MatmulArgs& a, const Fusion& fusion) {
    const CudaWeight& weight = cuda_weight(a.weight);
    const std::int64_t n = weight.shape[0], k = weight.shape[1], np = padded(n), kp = padded(k), m = a.x.shape.rows();
    const DType in = weight.compute, stored = fusion.stored;
    Matmul p{.x = a.x.data,
             .weight = weight.data.data(),
             .bias = fusion.adds_bias ? prepared_bias(weight, a.bias, stored).data : nullptr,
             .out = a.out.data,
             .m = m,
             .n = np,
             .k = kp,
             .in = in,
             .out_type = stored,
             .activation = fusion.activates ? a.activation : Activation::none};
    if (kp != k) {
        void* x = padded_input_.reserve(bytes_of(m * kp, in));
        copy_rows(a.x.data, k, x, kp, m, in);
        p.x = x;
    }
    if (np != n) p.out = padded_output_.reserve(bytes_of(m * np, stored));
    else if (stored != a.out.dtype) p.out = sums_.reserve(bytes_of(m * n, stored));
    if (!matmuls_.multiply(p)) return false;
    void* result = p.out;
    if (np != n) {
        result = stored == a.out.dtype ? a.out.data : sums_.reserve(bytes_of(m * n, stored));
        copy_rows(p.out, np, result, n, m, stored);
    }
    const bool is_done =
        stored == a.out.dtype && (fusion.adds_bias || !a.bias) && (fusion.activates || a.activation == Activation::none);
    if (!is_done)
        finish_convolution({result, DType::f32, Device::cuda, {m, n}}, fusion.adds_bias ? nullptr : a.bias,
                           fusion.activates ? Activation::none : a.activation, a.out.reshaped({m, n}));
    return true;
}

void CudaBackend::multiply(const MatmulArgs& a) {
    if (a.x.shape.rows() == 0 || multiply(a, best_fusion(a))) return;
    if (!multiply(a, {.stored = DType::f32, .adds_bias = false, .activates = false}))
        throw Error(ErrorCode::resource,
                    "cuBLASLt " + cublaslt().about.version + " has no algorithm for a product " + a.weight->shape.text() +
                        " in " + std::string(name_of(a.weight->compute)) + " on " + memory_->name() +
                        (fast_math_ ? "" : " that gives a row the same result beside any others (fast_math does without that)"));
}

// cuDNN has more engines ready for a convolution with a bias than for one without.
const void* CudaBackend::zero_bias(const PackedWeight& weight, DType dtype) {
    auto& known = cuda_weight(&weight).biases;
    auto found = std::ranges::find_if(known, [&](const PreparedBias& b) { return !b.from && b.dtype == dtype; });
    if (found == known.end()) {
        memory_->recording().refuse_unplanned("conv2d without a bias, of a weight " + weight.shape.text());
        known.push_back({nullptr, dtype, true, DeviceBlock(memory_, bytes_of(padded(weight.shape[0]), dtype))});
        found = known.end() - 1;
        check(cudaMemsetAsync(found->data.data(), 0, found->data.bytes(), memory_->stream()), "clear a bias");
    }
    return found->data.data();
}

bool CudaBackend::convolve(const ConvolutionArgs& a, const void* residual) {
    if (!convolutions_) throw Error(ErrorCode::resource, "convolutions need cuDNN: " + cudnn().about.problem, Field{"device"});
    const CudaWeight& weight = cuda_weight(a.weight);
    Convolution c{.x = a.x,
                  .filter = weight.data.data(),
                  .filter_shape = weight.shape,
                  .stride = a.stride,
                  .padding = a.padding,
                  .activation = a.activation,
                  .bias_type = a.out.dtype,
                  .residual = residual,
                  .out = a.out};
    if (a.bias) {
        // As in multiply: a bias goes in as bf16 where nothing is lost or allowed to be.
        c.bias = static_cast<const float*>(prepared_bias(weight, a.bias, DType::f32).data);
        const BiasView small = prepared_bias(weight, a.bias, a.out.dtype);
        const bool takes_small = small.is_exact || fast_math_;
        if (!takes_small) c.bias_type = DType::f32;
        c.fused_bias = takes_small ? small.data : c.bias;
    } else {
        c.fused_bias = zero_bias(weight, a.out.dtype);
    }
    return convolutions_->convolve(c, [this](const TensorView& sums, const float* bias, Activation activation,
                                             const TensorView& out) { finish_convolution(sums, bias, activation, out); });
}

void CudaBackend::convolve(const ConvolutionArgs& a) {
    T2I_CHECK(convolve(a, nullptr), "a convolution without a residual has a plan or throws");
}

void CudaBackend::attention(const AttentionArgs& a) {
    const auto ours = [&] { DeviceOps::attention(a); };
    if (!attentions_ || !attentions_->attend(a, ours)) ours();
}

void CudaBackend::conv2d(const Conv2dArgs& a) {
    const auto* bias = a.bias ? static_cast<const float*>(a.bias->data) : nullptr;
    if (a.residual && convolve({a.x, a.weight, bias, a.stride, a.padding, a.activation, a.out}, a.residual->data)) return;
    DeviceOps::conv2d(a);
}

std::unique_ptr<PackedWeight> CudaBackend::pack_linear(const TensorView& weight, DType compute) {
    memory_->recording().refuse_packing("pack_linear");
    const std::int64_t n = weight.shape[0], k = weight.shape[1], np = padded(n), kp = padded(k);
    auto packed = std::make_unique<CudaWeight>();
    packed->shape = weight.shape;
    packed->compute = compute;
    // Copied as it is and converted there: the GPU does that faster than the host. Types that no kernel reads are converted
    // first.
    Tensor readable;
    TensorView source = weight;
    if (weight.dtype == DType::f64 || weight.dtype == DType::f8_e4m3 || weight.dtype == DType::f8_e5m2) {
        readable = Tensor::host(weight.shape);
        convert_to_f32(weight.data, weight.dtype, static_cast<std::size_t>(weight.elements()), readable.as<float>().data());
        source = readable.view;
    }
    DeviceBlock values(memory_, source.bytes());
    transfers_.to_gpu(source.data, values.data(), source.bytes());
    DType dtype = source.dtype;
    const auto convert = [&](DType to) {
        DeviceBlock converted(memory_, bytes_of(n * k, to));
        cast({values.data(), dtype, Device::cuda, weight.shape}, {converted.data(), to, Device::cuda, weight.shape});
        values = std::move(converted);
        dtype = to;
    };
    if (dtype != compute && dtype != DType::f32) convert(DType::f32);
    if (dtype != compute) convert(compute);
    if (np == n && kp == k) {
        packed->data = std::move(values);
        return packed;
    }
    packed->data = DeviceBlock(memory_, bytes_of(np * kp, compute));
    check(cudaMemsetAsync(packed->data.data(), 0, packed->data.bytes(), memory_->stream()), "pad a weight");
    copy_rows(values.data(), k, packed->data.data(), kp, n, compute);
    return packed;
}

std::unique_ptr<PackedWeight> CudaBackend::pack_conv2d(const TensorView& weight, DType compute, const Conv2dUse&) {
    memory_->recording().refuse_packing("pack_conv2d");
    const Shape& s = weight.shape;
    const std::int64_t outs = s[0], ins = s[1], taps = s[2] * s[3], padded_ins = padded(ins);
    std::vector<float> values(static_cast<std::size_t>(s.elements()));
    convert_to_f32(weight.data, weight.dtype, values.size(), values.data());
    std::vector<std::byte> filter(bytes_of(padded(outs) * taps * padded_ins, compute));  // zeros
    std::size_t from = 0;
    for (std::int64_t o = 0; o < outs; ++o)
        for (std::int64_t i = 0; i < ins; ++i)
            for (std::int64_t t = 0; t < taps; ++t, ++from) {
                const auto to = bytes_of((o * taps + t) * padded_ins + i, compute);
                const bf16 rounded = to_bf16(values[from]);
                if (compute == DType::bf16) std::memcpy(filter.data() + to, &rounded, sizeof rounded);
                else std::memcpy(filter.data() + to, &values[from], sizeof(float));
            }
    auto packed = std::make_unique<CudaWeight>();
    packed->shape = s;
    packed->compute = compute;
    packed->data = DeviceBlock(memory_, filter.size());
    transfers_.to_gpu(filter.data(), packed->data.data(), filter.size());
    return packed;
}

}  // namespace t2i::cuda
