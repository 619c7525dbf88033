// The functions of cuBLASLt that we call, from a library found at run time.
#pragma once

#include <cublasLt.h>

#include "backend/cuda_module.h"

namespace t2i::cuda {

struct CublasLt {
    CudaLibrary about;  // its problem is empty when all functions are there
    decltype(&cublasLtCreate) create = nullptr;
    decltype(&cublasLtDestroy) destroy = nullptr;
    decltype(&cublasLtGetVersion) get_version = nullptr;
    decltype(&cublasLtMatmul) matmul = nullptr;
    decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
    decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
    decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic = nullptr;
    decltype(&cublasLtMatmulAlgoCheck) algo_check = nullptr;
    decltype(&cublasLtMatmulAlgoConfigGetAttribute) algo_get = nullptr;
    decltype(&cublasLtGetStatusName) status_name = nullptr;
};

// A session of cuBLASLt; whoever multiplies names the stream. Throws Error{resource}.
class CublasLtSession {
  public:
    explicit CublasLtSession(const CublasLt& lt);
    ~CublasLtSession() { lt_.destroy(handle_); }
    CublasLtSession(const CublasLtSession&) = delete;
    CublasLtSession& operator=(const CublasLtSession&) = delete;
    [[nodiscard]] cublasLtHandle_t handle() const { return handle_; }

  private:
    const CublasLt& lt_;
    cublasLtHandle_t handle_ = nullptr;
};

// Looked for once.
[[nodiscard]] const CublasLt& cublaslt();
// Throws Error{resource} naming the status and what was asked for.
void check(cublasStatus_t status, const char* doing);

}  // namespace t2i::cuda
