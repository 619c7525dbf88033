// The backends of this binary, by name.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ops/backend.h"

namespace t2i {

struct BackendOptions {
    int threads = 0;  // 0: one per core this process may run on
};

// Throws Error{usage} listing the names when there is no such backend in this binary.
[[nodiscard]] std::unique_ptr<Backend> make_backend(std::string_view name,
                                                    const BackendOptions& options = {});
// "cpu", "ref": best first.
[[nodiscard]] std::vector<std::string> backend_names();
// What `--dtype auto` means: bf16 where the hardware multiplies bf16 matrices, else f32.
[[nodiscard]] DType default_compute_dtype(const Backend& backend);

}  // namespace t2i
