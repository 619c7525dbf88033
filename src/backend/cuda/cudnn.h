// The functions of cuDNN that we call, from a library found at run time.
#pragma once

#include <cudnn_graph.h>

#include "backend/cuda_module.h"

namespace t2i::cuda {

struct Cudnn {
    CudaLibrary about;  // its problem is empty when all functions are there
    decltype(&cudnnGetVersion) get_version = nullptr;
    decltype(&cudnnCreate) create = nullptr;
    decltype(&cudnnDestroy) destroy = nullptr;
    decltype(&cudnnSetStream) set_stream = nullptr;
    decltype(&cudnnGetErrorString) error_string = nullptr;
    decltype(&cudnnBackendCreateDescriptor) descriptor_create = nullptr;
    decltype(&cudnnBackendDestroyDescriptor) descriptor_destroy = nullptr;
    decltype(&cudnnBackendSetAttribute) set = nullptr;
    decltype(&cudnnBackendGetAttribute) get = nullptr;
    decltype(&cudnnBackendFinalize) finalize = nullptr;
    decltype(&cudnnBackendExecute) execute = nullptr;
};

// A session of cuDNN whose work goes to one stream. Throws Error{resource}.
class CudnnSession {
  public:
    CudnnSession(const Cudnn& dnn, cudaStream_t stream);
    ~CudnnSession() { dnn_.destroy(handle_); }
    CudnnSession(const CudnnSession&) = delete;
    CudnnSession& operator=(const CudnnSession&) = delete;
    [[nodiscard]] cudnnHandle_t handle() const { return handle_; }

  private:
    const Cudnn& dnn_;
    cudnnHandle_t handle_ = nullptr;
};

// Looked for once.
[[nodiscard]] const Cudnn& cudnn();
// Throws Error{resource} naming the status and what was asked for.
void check(cudnnStatus_t status, const char* doing);

}  // namespace t2i::cuda
