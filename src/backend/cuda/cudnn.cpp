#include "backend/cuda/cudnn.h"

#include <cuda_runtime_api.h>

#include "backend/cuda_support/shared_library.h"
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
    const SharedLibrary library = load_library("libcudnn.so.9", roots);
    dnn.about.problem = library.problem;
    if (!library) return dnn;
    const auto find = [&](auto& function, const char* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(library.symbol(name));
        if (!function) dnn.about.problem = library.path + " lacks " + name;
    };
    find(dnn.get_version, "cudnnGetVersion");
    find(dnn.create, "cudnnCreate");
    find(dnn.destroy, "cudnnDestroy");
    find(dnn.set_stream, "cudnnSetStream");
    find(dnn.error_string, "cudnnGetErrorString");
    find(dnn.descriptor_create, "cudnnBackendCreateDescriptor");
    find(dnn.descriptor_destroy, "cudnnBackendDestroyDescriptor");
    find(dnn.set, "cudnnBackendSetAttribute");
    find(dnn.get, "cudnnBackendGetAttribute");
    find(dnn.finalize, "cudnnBackendFinalize");
    find(dnn.execute, "cudnnBackendExecute");
    if (!dnn.about.problem.empty()) return dnn;
    dnn.about.path = library.path;
    const std::size_t v = dnn.get_version();  // 91900
    dnn.about.version = std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
    return dnn;
}

}  // namespace

const Cudnn& cudnn() {
    static const Cudnn found = load();
    return found;
}

CudnnSession::CudnnSession(const Cudnn& dnn, cudaStream_t stream) : dnn_(dnn) {
    if (!dnn.about.problem.empty()) throw Error(ErrorCode::resource, "cuDNN is missing: " + dnn.about.problem, "--device");
    check(dnn.create(&handle_), "start cuDNN");
    if (const cudnnStatus_t status = dnn.set_stream(handle_, stream); status != CUDNN_STATUS_SUCCESS) {
        dnn.destroy(handle_);
        check(status, "start cuDNN");
    }
}

void check(cudnnStatus_t status, const char* doing) {
    if (status == CUDNN_STATUS_SUCCESS) return;
    throw Error(ErrorCode::resource, std::string("cuDNN: ") + cudnn().error_string(status) + " (" + doing + ")");
}

}  // namespace t2i::cuda
