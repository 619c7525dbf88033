// One block at a time; its threads take turns in the order of the settings, each until it must wait. A block with threads that
// wait and none that can go on is a deadlock.
#include "kernels/emulation/emulator.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <vector>

#include "kernels/emulation/fiber_stacks.h"
#include "kernels/emulation/memory.h"
#include "kernels/emulation/shared_memory.h"
#include "kernels/emulation/warp.h"

namespace t2i::emulation {
namespace {

namespace context = boost::context;

struct Cancelled {};  // thrown in threads that wait when their block has failed

// A place in the source.
struct Site {
    const char* file = nullptr;
    unsigned line = 0, column = 0;
    explicit Site(std::source_location where) : file(where.file_name()), line(where.line()), column(where.column()) {}
    Site() = default;
    bool operator==(const Site& other) const {
        return line == other.line && column == other.column && std::strcmp(file, other.file) == 0;
    }
    [[nodiscard]] std::string text() const {
        const char* name = std::strrchr(file, '/');
        return std::string(name ? name + 1 : file) + ":" + std::to_string(line);
    }
};

// An index in an extent, x counted fastest.
uint3 position(std::size_t i, const dim3& extent) {
    const auto n = static_cast<unsigned>(i);
    return {n % extent.x, n / extent.x % extent.y, n / extent.x / extent.y};
}
std::size_t volume(const dim3& extent) {
    return std::size_t{extent.x} * extent.y * extent.z;
}
std::string text(const uint3& at) {
    return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + ")";
}

// splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): the same order everywhere.
std::uint64_t next_random(std::uint64_t& state) {
    std::uint64_t z = (state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}
// The numbers below `count` in the order of `settings`.
void arrange(std::vector<std::uint32_t>& order, std::size_t count, const Settings& settings, std::uint64_t seed) {
    order.resize(count);
    std::iota(order.begin(), order.end(), 0U);
    if (settings.order == Order::reverse) std::ranges::reverse(order);
    if (settings.order == Order::shuffled)
        for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[next_random(seed) % i]);
}

enum class State : std::uint8_t { ready, at_barrier, in_warp, ended };

struct Thread {
    context::fiber own, scheduler;  // the one that is left, whichever it is
    State state = State::ready;
    bool has_begun = false, cancelled = false;
    bool leaves = false;         // its fiber is to end
    void* fake_stack = nullptr;  // AddressSanitizer's
    void* history = nullptr;     // ThreadSanitizer's
    context::stack_context stack;
    struct Copy {
        void* to;
        const void* from;
        std::size_t bytes;
        bool wanted;
    };
    std::vector<Copy> copies;              // started, not done
    std::vector<std::size_t> group_sizes;  // of the closed groups among them, oldest first
    std::size_t open_copies = 0;           // in no group yet
};

struct Warp {
    unsigned arrived = 0, mask = 0;
    Site site;
    void* operands[warp_lanes] = {};
};

class Emulator {
  public:
    Settings settings;

    Emulator() = default;
    Emulator(const Emulator&) = delete;
    Emulator& operator=(const Emulator&) = delete;
    ~Emulator() {
        for (std::size_t i = 0; i < threads_.size(); ++i) end_fiber(i);
    }

    void run(const Launch& launch);

    // For the running thread.
    void wait_at_barrier(const Site& site);
    void meet_warp(void* own, unsigned mask, const Site& site, void (*compute)(void* const*, void*), void* context);
    [[noreturn]] void fail(const std::string& what) const;
    [[nodiscard]] Thread& thread() {
        if (current_ == nobody) throw std::logic_error("this works inside of an emulated kernel only");
        return threads_[current_];
    }
    [[nodiscard]] std::size_t thread_index() {
        (void)thread();
        return current_;
    }
    SharedMemory shared;
    [[nodiscard]] std::size_t dynamic_bytes() const { return launch_->dynamic_bytes; }

  private:
    void run_block(std::size_t block);
    bool take_turns();  // whether any thread went on
    void resume(std::size_t i);
    void suspend();
    void enter_fiber(std::size_t i);
    void leave_fiber();
    void start(std::size_t i);
    void end_fiber(std::size_t i);
    void cancel_all();
    void open_barrier();
    [[nodiscard]] std::string deadlock() const;
    [[nodiscard]] std::size_t count(State state) const {
        return static_cast<std::size_t>(std::ranges::count(threads_, state, &Thread::state));
    }

    static constexpr std::size_t nobody = SIZE_MAX;
    const Launch* launch_ = nullptr;
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::vector<std::uint32_t> thread_order_, block_order_;
    FiberStacks stacks_;
    std::size_t current_ = nobody, at_barrier_ = 0, ended_ = 0;
    Site barrier_site_;
    std::exception_ptr failure_;
    void* scheduler_fake_stack_ = nullptr;
    void* scheduler_history_ = nullptr;
    const void* scheduler_stack_ = nullptr;
    std::size_t scheduler_stack_size_ = 0;
};

Emulator& emulator() {
    thread_local Emulator own;
    return own;
}

struct Tally {
    std::mutex mutex;
    std::set<const void*> kernels;
    std::size_t launches = 0, blocks = 0;
};
Tally& tally() {
    static auto* const all = new Tally;
    return *all;
}

void Emulator::fail(const std::string& what) const {
    std::string where = std::string(launch_->launcher) + ": ";
    if (current_ != nobody) where += "block " + text(blockIdx) + ", thread " + text(position(current_, launch_->block)) + ": ";
    throw Fault(where + what);
}

// A fiber serves its place in every block, one after another: each turn of the loop is one thread.
void Emulator::start(std::size_t i) {
    Thread& t = threads_[i];
    t.stack = stacks_.at(i);
    t.history = new_history();
    t.own = context::fiber(std::allocator_arg, BorrowedStack{t.stack}, [this, i](context::fiber&& scheduler) {
        enter_stack(nullptr, &scheduler_stack_, &scheduler_stack_size_);
        threads_[i].scheduler = std::move(scheduler);
        while (!threads_[i].leaves) {
            try {
                launch_->thread();
            } catch (const Cancelled&) {
            } catch (...) {
                if (!failure_) failure_ = std::current_exception();
            }
            threads_[i].state = State::ended;
            ++ended_;
            leave_fiber();
        }
        leave_stack(nullptr, scheduler_stack_, scheduler_stack_size_);
        enter_history(scheduler_history_);
        return std::move(threads_[i].scheduler);
    });
}

void Emulator::end_fiber(std::size_t i) {
    if (!threads_[i].own) return;
    threads_[i].leaves = true;
    enter_fiber(i);
    drop_history(threads_[i].history);
}

void Emulator::enter_fiber(std::size_t i) {
    Thread& t = threads_[i];
    current_ = i;
    scheduler_history_ = this_history();
    leave_stack(&scheduler_fake_stack_, static_cast<const std::byte*>(t.stack.sp) - t.stack.size, t.stack.size);
    enter_history(t.history);
    t.own = std::move(t.own).resume();
    enter_stack(scheduler_fake_stack_, nullptr, nullptr);
    current_ = nobody;
}

void Emulator::leave_fiber() {
    const std::size_t i = current_;
    leave_stack(&threads_[i].fake_stack, scheduler_stack_, scheduler_stack_size_);
    enter_history(scheduler_history_);
    threads_[i].scheduler = std::move(threads_[i].scheduler).resume();
    enter_stack(threads_[i].fake_stack, &scheduler_stack_, &scheduler_stack_size_);
}

void Emulator::resume(std::size_t i) {
    if (!threads_[i].own) start(i);
    threads_[i].has_begun = true;
    threadIdx = position(i, launch_->block);
    enter_fiber(i);
}

void Emulator::suspend() {
    const std::size_t i = current_;
    leave_fiber();
    if (threads_[i].cancelled) throw Cancelled{};
}

void Emulator::wait_at_barrier(const Site& site) {
    Thread& t = thread();
    if (at_barrier_ == 0) barrier_site_ = site;
    if (!(barrier_site_ == site)) fail("at the barrier " + site.text() + " while others wait at " + barrier_site_.text());
    t.state = State::at_barrier;
    ++at_barrier_;
    suspend();
}

void Emulator::open_barrier() {
    at_barrier_ = 0;
    for (Thread& t : threads_) t.state = State::ready;
}

void Emulator::meet_warp(void* own, unsigned mask, const Site& site, void (*compute)(void* const*, void*), void* context) {
    Thread& t = thread();
    Warp& warp = warps_[current_ / warp_lanes];
    const unsigned bit = 1U << (current_ % warp_lanes);
    if (warp.arrived == 0) {
        warp.mask = mask;
        warp.site = site;
    }
    if (!(mask & bit)) fail("not in the mask of its own warp operation, " + site.text());
    if (warp.mask != mask || !(warp.site == site))
        fail("at the warp operation " + site.text() + " while other lanes are at " + warp.site.text() + ", or with another mask");
    warp.operands[current_ % warp_lanes] = own;
    warp.arrived |= bit;
    if (warp.arrived != mask) {
        t.state = State::in_warp;
        suspend();
        return;
    }
    compute(warp.operands, context);
    const std::size_t first = current_ / warp_lanes * warp_lanes;
    for (std::size_t i = first; i < std::min(first + warp_lanes, threads_.size()); ++i)
        if (mask & (1U << (i - first))) threads_[i].state = State::ready;
    warp = {};
}

bool Emulator::take_turns() {
    bool any = false;
    for (const std::uint32_t i : thread_order_) {
        if (threads_[i].state != State::ready) continue;
        any = true;
        resume(i);
        if (failure_) return any;
    }
    return any;
}

std::string Emulator::deadlock() const {
    std::string what = "block " + text(blockIdx) + " cannot go on: of " + std::to_string(threads_.size()) + " threads " +
                       std::to_string(at_barrier_) + " wait at a barrier";
    if (at_barrier_ > 0) what += " (" + barrier_site_.text() + ")";
    what += ", " + std::to_string(count(State::in_warp)) + " wait for their warp";
    for (const Warp& warp : warps_)
        if (warp.arrived != 0) {
            what += " (" + warp.site.text() + ")";
            break;
        }
    return what + ", " + std::to_string(ended_) + " have ended";
}

// Lets every thread that has begun unwind, so that nothing on its stack leaks.
void Emulator::cancel_all() {
    for (std::size_t i = 0; i < threads_.size(); ++i) {
        threads_[i].cancelled = true;
        while (threads_[i].has_begun && threads_[i].state != State::ended) resume(i);
    }
}

void Emulator::run_block(std::size_t block) {
    blockIdx = position(block, launch_->grid);
    for (Thread& t : threads_) {
        t.state = State::ready;
        t.has_begun = t.cancelled = false;
        t.copies.clear();
        t.group_sizes.clear();
        t.open_copies = 0;
    }
    std::ranges::fill(warps_, Warp{});
    at_barrier_ = ended_ = 0;
    failure_ = nullptr;
    shared.begin_block();
    arrange(thread_order_, threads_.size(), settings, settings.seed + block);
    while (ended_ < threads_.size()) {
        const bool any = take_turns();
        if (!failure_ && !any) {
            if (at_barrier_ == threads_.size()) open_barrier();
            else failure_ = std::make_exception_ptr(Fault(std::string(launch_->launcher) + ": " + deadlock()));
        }
        if (!failure_) continue;
        const std::exception_ptr failure = failure_;
        cancel_all();
        std::rethrow_exception(failure);
    }
    if (!shared.is_intact()) fail("block " + text(blockIdx) + " wrote outside of its shared memory");
}

void Emulator::run(const Launch& launch) {
    if (launch_) throw std::logic_error("a kernel cannot launch a kernel here");
    launch_ = &launch;
    struct Leave {
        Emulator& self;
        ~Leave() { self.launch_ = nullptr; }
    } leave{*this};
    const std::size_t blocks = volume(launch.grid), threads = volume(launch.block);
    if (blocks == 0 || launch.grid.x > 0x7FFFFFFFU || launch.grid.y > 65535 || launch.grid.z > 65535)
        fail("a grid of " + text({launch.grid.x, launch.grid.y, launch.grid.z}) + " blocks");
    if (threads == 0 || threads > most_threads || launch.block.z > 64) fail("a block of " + std::to_string(threads) + " threads");
    if (launch.dynamic_bytes > most_shared_bytes) fail(std::to_string(launch.dynamic_bytes) + " bytes of shared memory");
    blockDim = launch.block;
    gridDim = launch.grid;
    for (std::size_t i = threads; i < threads_.size(); ++i) end_fiber(i);
    threads_.resize(threads);
    warps_.resize((threads + warp_lanes - 1) / warp_lanes);
    shared.begin_launch(launch.dynamic_bytes, settings.fill);
    arrange(block_order_, blocks, settings, settings.seed);
    for (const std::uint32_t block : block_order_) run_block(block);
    if (const auto problem = damage()) fail(*problem);
    const std::lock_guard lock(tally().mutex);
    tally().kernels.insert(launch.kernel);
    ++tally().launches;
    tally().blocks += blocks;
}

void perform(const Thread::Copy& copy) {
    if (copy.wanted) std::memcpy(copy.to, copy.from, copy.bytes);
    else std::memset(copy.to, 0, copy.bytes);
}

}  // namespace

void use(const Settings& settings) {
    emulator().settings = settings;
}

void run(const Launch& launch) {
    emulator().run(launch);
}

Counts counts() {
    const std::lock_guard lock(tally().mutex);
    return {tally().kernels.size(), tally().launches, tally().blocks};
}

int lane() {
    return static_cast<int>(emulator().thread_index() % warp_lanes);
}

void wait_at_barrier(std::source_location where) {
    emulator().wait_at_barrier(Site(where));
}

void meet_warp(void* own, unsigned mask, std::source_location where, void (*compute)(void* const*, void*), void* context) {
    emulator().meet_warp(own, mask, Site(where), compute, context);
}

void fault(const char* what) {
    emulator().fail(what);
}

void* dynamic_shared_memory() {
    (void)emulator().thread();
    if (emulator().dynamic_bytes() == 0) fault("launched without dynamic shared memory");
    return emulator().shared.dynamic_part();
}

void* static_shared_memory(const void* key, std::size_t bytes, std::size_t alignment) {
    (void)emulator().thread();
    void* part = emulator().shared.static_part(key, bytes, alignment);
    if (!part) fault("more shared memory than there is");
    return part;
}

void check_aligned(const void* p, std::size_t bytes, const char* what) {
    if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0)
        emulator().fail(std::string(what) + " of " + std::to_string(bytes) +
                        " bytes at an address that is not a multiple of them");
}

void check_shared(const void* p, std::size_t bytes, std::size_t alignment, const char* what) {
    check_aligned(p, alignment, what);
    if (!emulator().shared.holds(p, bytes)) emulator().fail(std::string(what) + " outside of the block's shared memory");
}

void start_copy(void* to, const void* from, std::size_t bytes, bool wanted) {
    check_shared(to, bytes, bytes, "an asynchronous copy");
    check_aligned(from, bytes, "an asynchronous copy");
    Thread& t = emulator().thread();
    t.copies.push_back({to, from, bytes, wanted});
    ++t.open_copies;
}

void close_copy_group() {
    Thread& t = emulator().thread();
    t.group_sizes.push_back(t.open_copies);
    t.open_copies = 0;
}

void wait_for_copy_groups(int groups) {
    Thread& t = emulator().thread();
    std::size_t closed = t.group_sizes.size(), copies = 0;
    const std::size_t done = closed > static_cast<std::size_t>(groups) ? closed - static_cast<std::size_t>(groups) : 0;
    for (std::size_t i = 0; i < done; ++i) copies += t.group_sizes[i];
    for (std::size_t i = 0; i < copies; ++i) perform(t.copies[i]);
    t.copies.erase(t.copies.begin(), t.copies.begin() + static_cast<std::ptrdiff_t>(copies));
    t.group_sizes.erase(t.group_sizes.begin(), t.group_sizes.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace t2i::emulation
