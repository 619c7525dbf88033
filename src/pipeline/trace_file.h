// Spans as a trace file that chrome://tracing and Perfetto (ui.perfetto.dev) open.
#pragma once

#include <string>

#include "core/trace.h"

namespace t2i {

// The JSON object format of Chrome's Trace Event Format: one complete event ("ph": "X") a span, with `ts` and `dur` in
// microseconds since the tracer was made, `args` with the index and shape where a span has them, and the names of the
// process and its threads.
[[nodiscard]] std::string trace_json(const Tracer& tracer, const std::string& process_name);

// Writes it whole or not at all. Throws Error{input} naming the path.
void write_trace_file(const std::string& path, const Tracer& tracer, const std::string& process_name);

}  // namespace t2i
