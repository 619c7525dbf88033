#include "backend/cuda/cudnn.h"

#include <cuda_runtime_api.h>

#include "backend/cuda_support/library_functions.h"
#include "core/out_of_memory.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

Cudnn load() {
    Cudnn dnn;
    dnn.about.name = "cuDNN";
    const std::string cuda_major = std::to_string(CUDART_VERSION / 1000);
    dnn.about.package = "nvidia-cudnn-cu" + cuda_major;
    const LibraryRoots roots = library_roots();
    // cuDNN opens the run-time compiler and cuBLASLt by their sonames: loaded from where we found them, they are found there.
    static_cast<void>(load_library("libnvrtc.so." + cuda_major, roots));
    static_cast<void>(load_library("libcublasLt.so." + cuda_major, roots));
    LibraryFunctions library(dnn.about, "libcudnn.so.9", roots);
    library.find(dnn.get_version, "cudnnGetVersion");
    library.find(dnn.create, "cudnnCreate");
    library.find(dnn.destroy, "cudnnDestroy");
    library.find(dnn.set_stream, "cudnnSetStream");
    library.find(dnn.error_string, "cudnnGetErrorString");
    library.find(dnn.descriptor_create, "cudnnBackendCreateDescriptor");
    library.find(dnn.descriptor_destroy, "cudnnBackendDestroyDescriptor");
    library.find(dnn.set, "cudnnBackendSetAttribute");
    library.find(dnn.get, "cudnnBackendGetAttribute");
    library.find(dnn.finalize, "cudnnBackendFinalize");
    library.find(dnn.execute, "cudnnBackendExecute");
    if (library.are_complete()) dnn.about.version = LibraryFunctions::version_text(dnn.get_version());  // 91900
    return dnn;
}

}  // namespace

const Cudnn& cudnn() {
    static const Cudnn found = load();
    return found;
}

CudnnSession::CudnnSession(const Cudnn& dnn, cudaStream_t stream) : dnn_(dnn) {
    if (!dnn.about.problem.empty()) throw Error(ErrorCode::resource, "cuDNN is missing: " + dnn.about.problem, Field{"device"});
    check(dnn.create(&handle_), "start cuDNN");
    if (const cudnnStatus_t status = dnn.set_stream(handle_, stream); status != CUDNN_STATUS_SUCCESS) {
        dnn.destroy(handle_);
        check(status, "start cuDNN");
    }
}

void check(cudnnStatus_t status, const char* doing) {
    if (status == CUDNN_STATUS_SUCCESS) return;
    const std::string line = std::string("cuDNN: ") + cudnn().error_string(status) + " (" + doing + ")";
    if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
        status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        throw OutOfMemory(line);
    throw Error(ErrorCode::resource, line);
}

}  // namespace t2i::cuda
