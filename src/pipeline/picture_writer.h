// Encodes and writes pictures on a thread of its own, so that the next ones are made meanwhile.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "core/trace.h"
#include "t2i/picture.h"

namespace t2i {

class PictureWriter {
  public:
    // written: called on the writer's thread for each file that is whole on disk, in order. tracer: may be null; outlives the
    // writer. waiting: pictures that may wait before write() does. Throws Error{resource}: no thread.
    explicit PictureWriter(std::function<void(const std::string& path)> written, Tracer* tracer = nullptr,
                           std::size_t waiting = 64);
    // Ends after the picture that is being written; those that still wait are dropped. Call finish() first.
    ~PictureWriter();
    PictureWriter(const PictureWriter&) = delete;
    PictureWriter& operator=(const PictureWriter&) = delete;

    // Hands a picture over, to be written to `path` (see write_file_atomically). encoding: passes check_encoding(). Throws what
    // failed earlier.
    void write(std::string path, Image image, const PictureEncoding& encoding = {});
    // Waits until everything is written. Throws the first failure; nothing is written after one.
    void finish();

  private:
    struct Job {
        std::string path;
        Image image;
        PictureEncoding encoding;
    };
    void work();
    void rethrow();

    std::function<void(const std::string&)> written_;
    Tracer* tracer_;
    std::size_t waiting_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Job> jobs_;
    bool busy_ = false, stop_ = false;
    std::exception_ptr failure_;
    std::thread thread_;
};

}  // namespace t2i
