// The backends of this binary, by name.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/backend.h"
#include "t2i/log.h"

namespace t2i {

struct BackendOptions {
    int threads = 0;         // 0: one per core this process may run on
    bool fast_math = false;  // on a GPU: products may be cut along their sums and chosen by the number of rows, so that a row's
                             // last bits may depend on the rows beside it; attention in bf16 may round its weights
    Log log{};               // warnings of a backend, its destructors' included
};

// What a device's name asks for, as PipelineOptions::device takes it: auto, cuda, cuda:N, cpu, emulated (also with an order of
// its threads, see make_emulated_backend) or ref.
struct DeviceName {
    std::string_view kind;  // auto, cuda, cpu, emulated or ref
    int gpu = 0;            // the N of cuda:N
};
// Throws Error{invalid_argument}: no such name, listing those there are, or an N that is no number.
[[nodiscard]] DeviceName parse_device(std::string_view name);

// `name`: as parse_device takes it; auto is a GPU where one can be used, else the CPU. Throws Error: invalid_argument (see
// parse_device), resource (a GPU that is not there or cannot be used, and why).
[[nodiscard]] std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options = {});
// The backends that work on this machine, best first: "cuda" where a GPU can be used, "cpu", "ref".
[[nodiscard]] std::vector<std::string> backend_names();
// The same with one line each, every GPU that can be used by its own name: {"cuda:0", "NVIDIA H100 …"}, {"cpu", …}, …
[[nodiscard]] std::vector<std::pair<std::string, std::string>> backend_choices();
// Why "cuda" cannot make pictures here, one line; empty: it can.
[[nodiscard]] std::string cuda_unavailable_reason();
// What dtype auto means: bf16 where the hardware multiplies matrices faster in it, else f32.
[[nodiscard]] DType default_compute_dtype(const Backend& backend);
// `name`: auto, f32 or bf16. Throws Error: invalid_argument (another name), resource (bf16 on a CPU that does not multiply it).
[[nodiscard]] DType parse_compute_dtype(std::string_view name, const Backend& backend);

}  // namespace t2i
