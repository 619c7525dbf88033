#include "batch/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

#include "core/check.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace {

std::atomic<int> signals{0};
std::atomic<int> pipe_end{-1};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

std::array<int, 2> wake{-1, -1};
struct sigaction old_int{}, old_term{};

void on_signal(int /*number*/) {
    if (signals.fetch_add(1) > 0) ::_exit(128 + SIGINT);  // as shells report it
    const char byte = 1;
    static_cast<void>(::write(pipe_end.load(), &byte, 1) == 1);
}

}  // namespace

Interrupt::Interrupt() {
    T2I_CHECK(wake[0] < 0, "signals have one owner");
    if (::pipe2(wake.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw Error(ErrorCode::resource, "no file descriptor is left");
    signals = 0;
    pipe_end = wake[1];
    struct sigaction action{};
    action.sa_handler = on_signal;
    ::sigaction(SIGINT, &action, &old_int);
    ::sigaction(SIGTERM, &action, &old_term);
}

Interrupt::~Interrupt() {
    ::sigaction(SIGINT, &old_int, nullptr);
    ::sigaction(SIGTERM, &old_term, nullptr);
    for (int& fd : wake) {
        ::close(fd);
        fd = -1;
    }
}

bool Interrupt::requested() const {
    return signals.load() > 0;
}

int Interrupt::fd() const {
    return wake[0];
}

}  // namespace t2i::batch
