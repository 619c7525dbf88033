// A folder or a file that has no name until it is whole.
#pragma once

#include <string>

#include "t2i/error.h"
#include "t2i/log.h"

namespace t2i {

// A folder beside the final one, which commit() gives its name; without commit() nothing is left. It has the same name whenever
// that output is made, so that what a killed process left is found and goes; who makes it holds a lock on it (flock), so that
// nothing of a living one does. A file of the final name may grow in it instead (AtomicFileOptions::temporary_folder).
class NewOutput {
  public:
    // log: hears of a file system without locks. Throws Error{input}: it cannot be made, or another process is making the same.
    NewOutput(std::string final_path, const Log& log);
    ~NewOutput();
    NewOutput(const NewOutput&) = delete;
    NewOutput& operator=(const NewOutput&) = delete;

    [[nodiscard]] const std::string& path() const { return unfinished_; }
    // What went wrong in it, about where it would have been: an error of `work` names no path that is gone.
    template <typename Work>
    void fill(const Work& work) const {
        try {
            work();
        } catch (const Error& error) {
            if (!error.where().starts_with(unfinished_)) throw;
            throw Error(error.code(), error.message(), final_ + error.where().substr(unfinished_.size()));
        }
    }
    // Throws Error{input}: the name has been taken meanwhile, or cannot be given.
    void commit();

  private:
    void take(const Log& log);
    [[nodiscard]] bool lock(const Log& log);

    std::string final_, unfinished_;
    int fd_ = -1;  // of the folder, locked
};

}  // namespace t2i
