#include "app/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

#include "core/check.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

std::atomic<int> seen{0};
std::atomic<int> pipe_end{-1};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

constexpr std::array handled{SIGINT, SIGTERM, SIGHUP};
std::array<struct sigaction, handled.size()> before{};
std::array<int, 2> wake{-1, -1};

void on_signal(int /*number*/) {
    if (seen.fetch_add(1) > 0) ::_exit(128 + SIGINT);  // as shells report it
    const char byte = 1;
    static_cast<void>(::write(pipe_end.load(), &byte, 1) == 1);
}

}  // namespace

Signals::Signals() {
    T2I_CHECK(wake[0] < 0, "signals have one owner");
    if (::pipe2(wake.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw Error(ErrorCode::resource, "no file descriptor is left");
    seen = 0;
    pipe_end = wake[1];
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;  // only poll() is to notice
    for (std::size_t i = 0; i < handled.size(); ++i) {
        ::sigaction(handled[i], nullptr, &before[i]);
        if (before[i].sa_handler != SIG_IGN) ::sigaction(handled[i], &action, nullptr);
    }
}

Signals::~Signals() {
    for (std::size_t i = 0; i < handled.size(); ++i) ::sigaction(handled[i], &before[i], nullptr);
    for (int& fd : wake) {
        ::close(fd);
        fd = -1;
    }
}

bool Signals::requested() const {
    return seen.load() > 0;
}

int Signals::fd() const {
    return wake[0];
}

}  // namespace t2i::app
