// The structs of the C API in whatever version the program was compiled with.
#pragma once

#include "t2i/pipeline.h"
#include "t2i/t2i.h"

namespace t2i::c_api {

// Null is as good as a struct of defaults. Throw Error{invalid_argument} about the field "size".
[[nodiscard]] PipelineOptions options_of(const t2i_options* options);
[[nodiscard]] t2i_callbacks callbacks_of(const t2i_callbacks* callbacks);
// Null is not.
[[nodiscard]] GenerateRequest request_of(const t2i_request* request);

}  // namespace t2i::c_api
