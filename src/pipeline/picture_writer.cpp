#include "pipeline/picture_writer.h"

#include "core/files.h"
#include "core/threads.h"
#include "ops/exec_context.h"
#include "pipeline/picture_encode.h"
#include "pipeline/picture_format.h"

namespace t2i {

PictureWriter::PictureWriter(std::function<void(const std::string&)> written, Tracer* tracer, std::size_t waiting)
    : written_(std::move(written)), tracer_(tracer), waiting_(waiting), thread_(start_thread([this] { work(); })) {}

PictureWriter::~PictureWriter() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void PictureWriter::rethrow() {
    if (failure_) std::rethrow_exception(failure_);
}

void PictureWriter::write(std::string path, Image image, const PictureEncoding& encoding) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.size() < waiting_ || failure_; });
    rethrow();
    jobs_.push_back({std::move(path), std::move(image), encoding});
    changed_.notify_all();
}

void PictureWriter::finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return (jobs_.empty() && !busy_) || failure_; });
    rethrow();
}

void PictureWriter::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [&] { return !jobs_.empty() || stop_; });
        if (stop_) return;
        const Job job = std::move(jobs_.front());
        jobs_.pop_front();
        busy_ = true;
        lock.unlock();
        std::exception_ptr failure;
        try {
            const Image& image = job.image;
            const TraceSpan span(tracer_, row_of(job.encoding.format).id);
            write_file_atomically(job.path, encode_picture(image.width, image.height, image.rgb, image.parameters, job.encoding));
            written_(job.path);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        busy_ = false;
        if (failure) {
            failure_ = failure;
            jobs_.clear();
            changed_.notify_all();
            return;
        }
        changed_.notify_all();
    }
}

}  // namespace t2i
