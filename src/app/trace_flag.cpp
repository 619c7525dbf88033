#include "app/trace_flag.h"

#include "app/output_names.h"
#include "pipeline/trace_file.h"
#include "t2i/version.h"

namespace t2i::app {

void TraceFlag::add_to(CLI::App& app) {
    app.add_option("--trace", path_, "write where the time went to this file, for chrome://tracing or ui.perfetto.dev")
        ->type_name("FILE");
}

Tracer* TraceFlag::tracer() {
    if (path_.empty()) return nullptr;
    check_output_folder(path_);
    tracer_.keep_spans();
    return &tracer_;
}

void TraceFlag::write() const {
    if (!path_.empty()) write_trace_file(path_, tracer_, "t2i " T2I_VERSION);
}

}  // namespace t2i::app
