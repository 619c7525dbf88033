#include "backend/cuda/matmuls.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/cuda/driver.h"
#include "backend/cuda/matmul_search.h"
#include "backend/cuda/status.h"
#include "core/log.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

// NVIDIA advises 32 MiB for Hopper (cuBLAS documentation, "cublasSetWorkspace"); smaller cards need less.
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
constexpr int heuristics_asked = 16;

cudaDataType_t data_type(DType t) {
    return t == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

cublasLtEpilogue_t epilogue(const Matmul& p) {
    switch (p.activation) {
        case Activation::relu:
            return p.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
        case Activation::gelu_tanh:
            return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
        default:
            return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    }
}

// All that an algorithm's choice may depend on.
std::string key_of(const Matmul& p, bool fast_math) {
    std::string key = "n" + std::to_string(p.n) + " k" + std::to_string(p.k) + " " + std::string(name_of(p.in)) + ">" +
                      std::string(name_of(p.out_type)) + " epilogue " + std::to_string(static_cast<int>(epilogue(p)));
    if (fast_math) key += " fast m" + std::to_string(p.m);
    return key;
}

}  // namespace

// The descriptors of one product. cuBLASLt stores matrices by columns: row-major out [m, n] is its matrix D [n, m], and
// D = Aᵀ·B with A = weight, [k, n] to it, and B = x, [k, m].
class Matmuls::Plan {
  public:
    Plan(const CublasLt& lt, const Matmul& p) : lt_(lt) {
        try {
            make(p);
        } catch (...) {
            destroy();
            throw;
        }
    }
    ~Plan() { destroy(); }
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;

  private:
    void make(const Matmul& p) {
        const auto n = static_cast<std::uint64_t>(p.n), m = static_cast<std::uint64_t>(p.m), k = static_cast<std::uint64_t>(p.k);
        // Products of f32 stay in f32: this compute type rounds no input to TF32 (CUBLAS_COMPUTE_32F_FAST_TF32 would).
        check(lt_.desc_create(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describe a product");
        set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(CUBLAS_OP_T));
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(epilogue(p)));
        if (p.bias) {
            set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
            set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(data_type(p.out_type)));
        }
        check(lt_.layout_create(&a, data_type(p.in), k, n, p.k), "describe a weight");
        check(lt_.layout_create(&b, data_type(p.in), k, m, p.k), "describe activations");
        check(lt_.layout_create(&d, data_type(p.out_type), n, m, p.n), "describe a result");
    }
    template <typename T>
    void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
        check(lt_.desc_set(operation, attribute, &value, sizeof value), "describe a product");
    }
    void destroy() noexcept {
        if (operation) lt_.desc_destroy(operation);
        for (const cublasLtMatrixLayout_t layout : {a, b, d})
            if (layout) lt_.layout_destroy(layout);
    }
    const CublasLt& lt_;
};

bool Matmuls::Choice::operator==(const Choice& other) const {
    return std::memcmp(&algorithm, &other.algorithm, sizeof algorithm) == 0;
}

Matmuls::Matmuls(std::shared_ptr<DeviceMemory> memory, bool fast_math)
    : memory_(std::move(memory)),
      lt_(cublaslt()),
      session_(lt_),
      fast_math_(fast_math),
      cache_(AlgorithmCache::path_for("cublaslt", memory_->name(), driver_version(), lt_.about.version),
             [log = memory_->log()](const std::string& line) { log_warning(log, line); }) {
    workspace_ = DeviceBlock(memory_, workspace_bytes);
}

void Matmuls::run(const Plan& plan, const Matmul& p, const Choice& choice) const {
    const float one = 1, zero = 0;
    check(lt_.matmul(session_.handle(), plan.operation, &one, p.weight, plan.a, p.x, plan.b, &zero, p.out, plan.d, p.out, plan.d,
                     &choice.algorithm, workspace_.data(), workspace_bytes, memory_->stream()),
          "multiply matrices");
}

bool Matmuls::multiply(const Matmul& p) {
    T2I_CHECK(p.n % granule == 0 && p.k % granule == 0, "widths of a product must be padded");
    for (const void* pointer : {p.x, p.weight, p.bias, static_cast<const void*>(p.out)})
        T2I_CHECK(reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0, "a product's memory must be aligned to 16 bytes");
    if (p.m == 0) return true;
    const std::optional<Choice>& choice = choice_for(p);
    if (choice) run(Plan(lt_, p), p, *choice);
    return choice.has_value();
}

const std::optional<Matmuls::Choice>& Matmuls::choice_for(const Matmul& p) {
    const std::string key = key_of(p, fast_math_);
    const auto known = choices_.find(key);
    if (known != choices_.end()) return known->second;
    memory_->recording().refuse_unplanned("linear " + key);  // kept or not: what is legal does not depend on a file
    if (const auto kept = cache_.find(key)) {
        Choice choice;
        static_assert(sizeof choice.algorithm == sizeof kept->algorithm);
        std::memcpy(&choice.algorithm, kept->algorithm.data(), sizeof choice.algorithm);
        choice.workspace_bytes = kept->workspace_bytes;
        if (suits(choice, p)) return choices_.emplace(key, choice).first->second;
    }
    const std::optional<Choice> choice = search(p);
    if (choice) {
        AlgorithmCache::Entry entry;
        std::memcpy(entry.algorithm.data(), &choice->algorithm, sizeof choice->algorithm);
        entry.workspace_bytes = choice->workspace_bytes;
        cache_.put(key, entry);
    }
    return choices_.emplace(key, choice).first->second;
}

// Does the algorithm take this product, without cutting its sums?
bool Matmuls::suits(const Choice& choice, const Matmul& p) const {
    const Plan plan(lt_, p);
    cublasLtMatmulHeuristicResult_t result{};
    if (lt_.algo_check(session_.handle(), plan.operation, plan.a, plan.b, plan.d, plan.d, &choice.algorithm, &result) !=
        CUBLAS_STATUS_SUCCESS)
        return false;
    if (result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > workspace_bytes) return false;
    if (fast_math_) return true;
    std::int32_t splits = 0;
    std::uint32_t scheme = 0;
    std::size_t written = 0;
    if (lt_.algo_get(&choice.algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof splits, &written) !=
            CUBLAS_STATUS_SUCCESS ||
        lt_.algo_get(&choice.algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme, &written) !=
            CUBLAS_STATUS_SUCCESS)
        return false;
    // Whatever is not plainly "one part" is refused.
    return (splits == 0 || splits == 1) && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

// cuBLASLt's proposals for each number of rows, in its order, each once.
std::vector<Matmuls::Choice> Matmuls::candidates(const Matmul& p, const std::vector<std::int64_t>& rows) const {
    cublasLtMatmulPreference_t preference = nullptr;
    check(lt_.preference_create(&preference), "search a product's algorithm");
    const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, cublasStatus_t (*)(cublasLtMatmulPreference_t)>
        owner(preference, lt_.preference_destroy);
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
        check(lt_.preference_set(preference, attribute, &value, sizeof value), "search a product's algorithm");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                 CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        set(attribute, std::uint32_t{16});
    if (!fast_math_) set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});

    std::vector<Choice> found;
    for (const std::int64_t m : rows) {
        Matmul q = p;
        q.m = m;
        const Plan plan(lt_, q);
        std::array<cublasLtMatmulHeuristicResult_t, heuristics_asked> results{};
        int count = 0;
        const cublasStatus_t status = lt_.get_heuristic(session_.handle(), plan.operation, plan.a, plan.b, plan.d, plan.d,
                                                        preference, heuristics_asked, results.data(), &count);
        if (status == CUBLAS_STATUS_NOT_SUPPORTED) continue;
        check(status, "search a product's algorithm");
        for (int i = 0; i < count; ++i) {
            const auto& result = results[static_cast<std::size_t>(i)];
            const Choice choice{.algorithm = result.algo, .workspace_bytes = result.workspaceSize};
            if (result.state == CUBLAS_STATUS_SUCCESS && std::find(found.begin(), found.end(), choice) == found.end())
                found.push_back(choice);
        }
    }
    return found;
}

std::optional<Matmuls::Choice> Matmuls::search(const Matmul& p) {
    const TrialData data(memory_, p, fast_math_);
    std::vector<Choice> fitting;
    for (const Choice& choice : candidates(p, data.timed_rows()))
        if (std::ranges::all_of(data.all_rows(), [&](std::int64_t m) {
                Matmul q = p;
                q.m = m;
                return suits(choice, q);
            }))
            fitting.push_back(choice);
    const auto run_rows = [&](std::size_t i, std::int64_t begin, std::int64_t count) {
        const Matmul q = data.matmul(begin, count);
        run(Plan(lt_, q), q, fitting[i]);
    };
    const auto order = by_time(data, fitting.size(), run_rows);
    for (const std::size_t i : order)
        if (fast_math_ || rows_stand_alone(data, i, run_rows)) return fitting[i];
    return std::nullopt;
}

}  // namespace t2i::cuda
