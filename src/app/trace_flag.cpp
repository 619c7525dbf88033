#include "app/trace_flag.h"

#include "app/standard_streams.h"
#include "core/files.h"
#include "pipeline/trace_file.h"
#include "t2i/version.h"

namespace t2i::app {

void TraceFlag::add_to(CLI::App& app) {
    app.add_option("--trace", path_,
                   "write where the time went to this file (- for standard output), for chrome://tracing or ui.perfetto.dev")
        ->type_name("FILE");
}

Tracer* TraceFlag::tracer() {
    if (path_.empty()) return nullptr;
    path_ = output_path(path_);
    check_can_be_written(path_);
    tracer_.keep_spans();
    return &tracer_;
}

bool TraceFlag::takes_output() const {
    return !path_.empty() && is_standard_output(output_path(path_));
}

void TraceFlag::write() const {
    if (!path_.empty()) write_trace_file(path_, tracer_, "t2i " T2I_VERSION);
}

}  // namespace t2i::app
