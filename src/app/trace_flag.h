// --trace FILE, for the commands that run a model.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "core/trace.h"

namespace t2i::app {

class TraceFlag {
  public:
    void add_to(CLI::App& app);
    // What to hand to the pipeline: null without the flag. Throws Error{input} when the file could not be written later.
    [[nodiscard]] Tracer* tracer();
    // True when the trace goes to standard output, which then carries nothing else.
    [[nodiscard]] bool takes_output() const;
    [[nodiscard]] const std::string& path() const { return path_; }  // empty without the flag
    // Writes the file if the flag was given. Throws Error{input}.
    void write() const;

  private:
    std::string path_;
    Tracer tracer_;
};

}  // namespace t2i::app
