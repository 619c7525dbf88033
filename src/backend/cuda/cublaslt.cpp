#include "backend/cuda/cublaslt.h"

#include <cuda_runtime_api.h>

#include "backend/cuda_support/shared_library.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

CublasLt load() {
    CublasLt lt;
    lt.about.name = "cuBLASLt";
    lt.about.package = CUDART_VERSION >= 13000 ? "nvidia-cublas" : "nvidia-cublas-cu12";
    const SharedLibrary library = load_library("libcublasLt.so." + std::to_string(CUDART_VERSION / 1000), library_roots());
    lt.about.problem = library.problem;
    if (!library) return lt;
    const auto find = [&](auto& function, const char* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(library.symbol(name));
        if (!function) lt.about.problem = library.path + " lacks " + name;
    };
    find(lt.create, "cublasLtCreate");
    find(lt.destroy, "cublasLtDestroy");
    find(lt.get_version, "cublasLtGetVersion");
    find(lt.matmul, "cublasLtMatmul");
    find(lt.desc_create, "cublasLtMatmulDescCreate");
    find(lt.desc_destroy, "cublasLtMatmulDescDestroy");
    find(lt.desc_set, "cublasLtMatmulDescSetAttribute");
    find(lt.layout_create, "cublasLtMatrixLayoutCreate");
    find(lt.layout_destroy, "cublasLtMatrixLayoutDestroy");
    find(lt.preference_create, "cublasLtMatmulPreferenceCreate");
    find(lt.preference_destroy, "cublasLtMatmulPreferenceDestroy");
    find(lt.preference_set, "cublasLtMatmulPreferenceSetAttribute");
    find(lt.get_heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(lt.algo_check, "cublasLtMatmulAlgoCheck");
    find(lt.algo_get, "cublasLtMatmulAlgoConfigGetAttribute");
    find(lt.status_name, "cublasLtGetStatusName");
    if (!lt.about.problem.empty()) return lt;
    lt.about.path = library.path;
    const std::size_t v = lt.get_version();  // 130100, before 12: 11101
    lt.about.version = v >= 100000
                           ? std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100)
                           : std::to_string(v / 1000) + "." + std::to_string(v / 100 % 10) + "." + std::to_string(v % 100);
    return lt;
}

}  // namespace

const CublasLt& cublaslt() {
    static const CublasLt found = load();
    return found;
}

void check(cublasStatus_t status, const char* doing) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw Error(ErrorCode::resource, std::string("cuBLASLt: ") + cublaslt().status_name(status) + " (" + doing + ")");
}

}  // namespace t2i::cuda
