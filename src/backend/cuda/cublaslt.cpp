#include "backend/cuda/cublaslt.h"

#include <cuda_runtime_api.h>

#include "backend/cuda_support/library_functions.h"
#include "core/out_of_memory.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

CublasLt load() {
    CublasLt lt;
    lt.about.name = "cuBLASLt";
    lt.about.package = CUDART_VERSION >= 13000 ? "nvidia-cublas" : "nvidia-cublas-cu12";
    LibraryFunctions library(lt.about, "libcublasLt.so." + std::to_string(CUDART_VERSION / 1000), library_roots());
    library.find(lt.create, "cublasLtCreate");
    library.find(lt.destroy, "cublasLtDestroy");
    library.find(lt.get_version, "cublasLtGetVersion");
    library.find(lt.matmul, "cublasLtMatmul");
    library.find(lt.desc_create, "cublasLtMatmulDescCreate");
    library.find(lt.desc_destroy, "cublasLtMatmulDescDestroy");
    library.find(lt.desc_set, "cublasLtMatmulDescSetAttribute");
    library.find(lt.layout_create, "cublasLtMatrixLayoutCreate");
    library.find(lt.layout_destroy, "cublasLtMatrixLayoutDestroy");
    library.find(lt.preference_create, "cublasLtMatmulPreferenceCreate");
    library.find(lt.preference_destroy, "cublasLtMatmulPreferenceDestroy");
    library.find(lt.preference_set, "cublasLtMatmulPreferenceSetAttribute");
    library.find(lt.get_heuristic, "cublasLtMatmulAlgoGetHeuristic");
    library.find(lt.algo_check, "cublasLtMatmulAlgoCheck");
    library.find(lt.algo_get, "cublasLtMatmulAlgoConfigGetAttribute");
    library.find(lt.status_name, "cublasLtGetStatusName");
    if (library.are_complete()) lt.about.version = LibraryFunctions::version_text(lt.get_version());  // 130100
    return lt;
}

}  // namespace

const CublasLt& cublaslt() {
    static const CublasLt found = load();
    return found;
}

CublasLtSession::CublasLtSession(const CublasLt& lt) : lt_(lt) {
    if (!lt.about.problem.empty()) throw Error(ErrorCode::resource, "cuBLASLt is missing: " + lt.about.problem, Field{"device"});
    check(lt.create(&handle_), "start cuBLASLt");
}

void check(cublasStatus_t status, const char* doing) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    const std::string line = std::string("cuBLASLt: ") + cublaslt().status_name(status) + " (" + doing + ")";
    if (status == CUBLAS_STATUS_ALLOC_FAILED) throw OutOfMemory(line);
    throw Error(ErrorCode::resource, line);
}

}  // namespace t2i::cuda
