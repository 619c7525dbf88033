#include "backend/cuda/device_memory.h"

#include <cstdint>

#include "backend/cuda/driver.h"
#include "backend/cuda/status.h"
#include "core/log.h"
#include "core/out_of_memory.h"
#include "t2i/error.h"

namespace t2i::cuda {

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

std::string in_mib(std::size_t bytes) {
    return std::to_string((bytes + mib - 1) / mib) + " MiB";
}

const CudaDevice& device_of(int index) {
    const CudaReport& r = report();
    // A missing library is the business of whoever needs it; here only GPUs count.
    if (r.devices.empty()) throw Error(ErrorCode::resource, r.problem, Field{"device"});
    if (index >= static_cast<int>(r.devices.size()))
        throw Error(ErrorCode::resource,
                    "no GPU " + std::to_string(index) + " here; there " +
                        (r.devices.size() == 1 ? "is 1" : "are " + std::to_string(r.devices.size())) + ", counted from 0",
                    Field{"device"});
    const CudaDevice& device = r.devices[static_cast<std::size_t>(index)];
    if (device.code.empty())
        throw Error(ErrorCode::resource,
                    device.name + " needs code for sm_" + std::to_string(10 * device.major + device.minor) +
                        ", this program holds " + r.architectures,
                    Field{"device"});
    return device;
}

}  // namespace

DeviceMemory::DeviceMemory(int device, Log log) : device_(device), log_(std::move(log)) {
    name_ = device_of(device).name;
    make_current();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a stream");
    int has_pools = 0;
    if (cudaDeviceGetAttribute(&has_pools, cudaDevAttrMemoryPoolsSupported, device) != cudaSuccess || has_pools == 0) return;
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    check(cudaMemPoolCreate(&pool_, &properties), "create a memory pool");
    std::uint64_t keep_all = UINT64_MAX;  // else it goes back to the driver at every synchronisation
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all), "set up a memory pool");
}

DeviceMemory::~DeviceMemory() {
    warn(cudaSetDevice(device_), "choose the GPU");
    if (stream_) warn(cudaStreamSynchronize(stream_), "finish the GPU's work");
    if (pool_) warn(cudaMemPoolDestroy(pool_), "free a memory pool");
    if (stream_) warn(cudaStreamDestroy(stream_), "free a stream");
}

void DeviceMemory::make_current() const {
    check(cudaSetDevice(device_), "choose the GPU");
}

cudaError_t DeviceMemory::try_take(std::size_t bytes, void** memory) const {
    const cudaError_t status = pool_ ? cudaMallocFromPoolAsync(memory, bytes, pool_, stream_) : cudaMalloc(memory, bytes);
    if (status == cudaErrorMemoryAllocation) static_cast<void>(cudaGetLastError());  // it is no lasting error; we report it
    return status;
}

void DeviceMemory::warn(cudaError_t status, const char* doing) const noexcept {
    if (status != cudaSuccess) log_warning(log_, std::string("CUDA: ") + cudaGetErrorString(status) + " (" + doing + ")");
}

void* DeviceMemory::take(std::size_t bytes) {
    recording_.refuse_allocation(bytes);
    make_current();
    void* memory = nullptr;
    const std::size_t asked = bytes == 0 ? 1 : bytes;
    cudaError_t status = try_take(asked, &memory);
    if (status == cudaErrorMemoryAllocation && pool_) {
        // What was given back may be kept in pieces that are too small: hand it to the driver and ask once more.
        check(cudaStreamSynchronize(stream_), "finish the GPU's work");
        check(cudaMemPoolTrimTo(pool_, 0), "shrink a memory pool");
        status = try_take(asked, &memory);
    }
    if (status == cudaErrorMemoryAllocation) {
        const auto [free, total] = free_and_total();
        throw OutOfMemory("out of memory on " + name_ + ": " + in_mib(bytes) + " needed, " + in_mib(free) + " of " +
                          in_mib(total) + " free; a smaller engine_batch, or dtype bf16, needs less");
    }
    check(status, "take memory");
    return memory;
}

void DeviceMemory::give_back(void* memory) noexcept {
    recording_.note_release();
    warn(cudaSetDevice(device_), "choose the GPU");
    warn(pool_ ? cudaFreeAsync(memory, stream_) : cudaFree(memory), "give memory back");
}

Backend::Memory DeviceMemory::free_and_total() const {
    make_current();
    Backend::Memory m;
    check(cudaMemGetInfo(&m.free, &m.total), "ask for free memory");
    if (pool_) {
        std::uint64_t reserved = 0, used = 0;
        check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved), "ask a memory pool");
        check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used), "ask a memory pool");
        m.free += static_cast<std::size_t>(reserved - used);  // the pool's spare memory is ours to take
    }
    return m;
}

DeviceBlock::DeviceBlock(std::shared_ptr<DeviceMemory> memory, std::size_t bytes)
    : memory_(std::move(memory)), data_(memory_->take(bytes)), bytes_(bytes) {}

Event::Event(bool times) {
    check(cudaEventCreateWithFlags(&event_, times ? cudaEventDefault : cudaEventDisableTiming), "create an event");
}

Event::~Event() {
    // Fails only where the GPU is lost, and then the stream, which outlives it, says so.
    if (event_) static_cast<void>(cudaEventDestroy(event_));
}

void Event::record(cudaStream_t stream) const {
    check(cudaEventRecord(event_, stream), "mark the GPU's work");
}

void Event::synchronize() const {
    check(cudaEventSynchronize(event_), "wait for the GPU");
}

float elapsed_ms(const Event& from, const Event& to) {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, from.get(), to.get()), "time the GPU's work");
    return ms;
}

}  // namespace t2i::cuda
