#include "backend/cuda/transfers.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/status.h"
#include "core/out_of_memory.h"

namespace t2i::cuda {

namespace {

// Large enough that a copy's fixed cost does not count, small enough to stay in the last-level cache of most CPUs.
constexpr std::size_t upload_bytes = std::size_t{4} << 20;
constexpr std::size_t most_fences = 4096;

bool is_pinned(const void* memory) {
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, memory), "look at host memory");
    return attributes.type == cudaMemoryTypeHost;
}

}  // namespace

PinnedBlock::PinnedBlock(std::shared_ptr<const DeviceMemory> memory, std::size_t bytes) : memory_(std::move(memory)) {
    const cudaError_t status = cudaHostAlloc(&data_, bytes == 0 ? 1 : bytes, cudaHostAllocPortable);
    if (status == cudaErrorMemoryAllocation) {
        static_cast<void>(cudaGetLastError());
        throw OutOfMemory("no " + std::to_string(bytes >> 20) +
                          " MiB of host memory can be pinned for copies to and from the GPU");
    }
    check(status, "take pinned host memory");
}

PinnedBlock::~PinnedBlock() {
    if (data_) memory_->warn(cudaFreeHost(data_), "give pinned host memory back");
}

Transfers::Transfers(std::shared_ptr<DeviceMemory> memory) : memory_(std::move(memory)) {
    for (Upload& upload : uploads_) upload.memory = PinnedBlock(memory_, upload_bytes);
    check(cudaStreamCreateWithFlags(&to_host_stream_, cudaStreamNonBlocking), "create a stream");
}

Transfers::~Transfers() {
    // Copies still read the pinned memory that goes now, and the blocks that go back in the order of the work's stream.
    cudaError_t status = cudaStreamSynchronize(to_host_stream_);
    if (status == cudaSuccess) status = cudaDeviceSynchronize();
    if (status == cudaSuccess) status = cudaStreamDestroy(to_host_stream_);
    memory_->warn(status, "free a stream");
}

void Transfers::to_gpu(const void* from, void* to, std::size_t bytes) {
    if (memory_->recording().is_active()) {
        if (!is_pinned(from)) memory_->recording().refuse_pageable_copy(bytes);
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, memory_->stream()), "record a copy to the GPU");
        return;
    }
    for (std::size_t done = 0; done < bytes;) {
        Upload& upload = uploads_[next_upload_];
        next_upload_ = (next_upload_ + 1) % uploads_.size();
        const std::size_t part = std::min(upload_bytes, bytes - done);
        upload.free.synchronize();
        std::memcpy(upload.memory.data(), static_cast<const std::byte*>(from) + done, part);
        check(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, upload.memory.data(), part, cudaMemcpyHostToDevice,
                              memory_->stream()),
              "copy to the GPU");
        upload.free.record(memory_->stream());
        done += part;
    }
}

void Transfers::to_host(const void* from, void* to, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, memory_->stream()), "copy from the GPU");
    check(cudaStreamSynchronize(memory_->stream()), "copy from the GPU");
}

void Transfers::within_gpu(const void* from, void* to, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, memory_->stream()), "copy on the GPU");
}

void Transfers::to_host_queued(const void* from, void* to, std::size_t bytes) {
    DeviceStaging& staging = downloads_[next_download_];
    next_download_ = (next_download_ + 1) % downloads_.size();
    check(cudaStreamWaitEvent(memory_->stream(), staging.free.get(), 0), "order copies from the GPU");
    if (staging.memory.bytes() < bytes) staging.memory = DeviceBlock(memory_, bytes);
    within_gpu(from, staging.memory.data(), bytes);
    staging.filled.record(memory_->stream());
    check(cudaStreamWaitEvent(to_host_stream_, staging.filled.get(), 0), "order copies from the GPU");
    check(cudaMemcpyAsync(to, staging.memory.data(), bytes, cudaMemcpyDeviceToHost, to_host_stream_), "copy from the GPU");
    staging.free.record(to_host_stream_);
}

Fence Transfers::fence() {
    if (fences_.size() == most_fences) wait(fences_.front().fence);  // of someone who never waits
    // After the work's stream, and after the copies out: the second stream waits for the first, the fence for the second.
    work_done_.record(memory_->stream());
    check(cudaStreamWaitEvent(to_host_stream_, work_done_.get(), 0), "put a fence into the GPU's work");
    if (spare_events_.empty()) spare_events_.emplace_back();
    Event done = std::move(spare_events_.back());
    spare_events_.pop_back();
    done.record(to_host_stream_);
    fences_.push_back({++last_fence_, std::move(done)});
    return last_fence_;
}

void Transfers::wait(Fence fence) {
    while (!fences_.empty() && fences_.front().fence <= fence) {
        // Events of one stream happen in order, so the last one up to the fence stands for all.
        const bool is_last = fences_.size() == 1 || fences_[1].fence > fence;
        if (is_last) fences_.front().done.synchronize();
        spare_events_.push_back(std::move(fences_.front().done));
        fences_.pop_front();
    }
}

}  // namespace t2i::cuda
