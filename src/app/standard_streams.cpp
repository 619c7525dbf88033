#include "app/standard_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "app/exit_code.h"
#include "core/escape.h"
#include "core/files.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

bool pipes_signal = false;       // SIGPIPE had its usual meaning
bool output_was_closed = false;  // there was no standard output

}  // namespace

void take_standard_streams() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        if (fd == STDOUT_FILENO) output_was_closed = true;
        // The lowest number that is free is fd. Without a /dev, something that can be neither read nor written.
        if (::open("/dev/null", O_RDWR) < 0 && ::open("/", O_PATH) < 0) std::_Exit(static_cast<int>(ExitCode::resource));
    }
    pipes_signal = std::signal(SIGPIPE, SIG_IGN) != SIG_IGN;
    std::signal(SIGXFSZ, SIG_IGN);
}

bool deliver_output() {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
    pollfd output{STDOUT_FILENO, POLLOUT, 0};
    if (pipes_signal && ::poll(&output, 1, 0) > 0 && (output.revents & POLLERR) != 0) {
        std::signal(SIGPIPE, SIG_DFL);
        std::raise(SIGPIPE);
    }
    return false;
}

std::string output_path(const std::string& flag) {
    return flag == "-" ? "/dev/stdout" : flag;
}

bool is_standard_output(const std::string& path) {
    return own_descriptor(path) == STDOUT_FILENO;
}

void refuse_standard_output(const std::string& flag, const std::string& value, const char* what) {
    if (is_standard_output(output_path(value)))
        throw Error(ErrorCode::invalid_argument, std::string("standard output cannot take ") + what, flag);
}

std::string listed(const std::string& path) {
    return ::isatty(STDOUT_FILENO) == 1 ? escaped(path) : path;
}

void need_output() {
    if (output_was_closed) throw Error(ErrorCode::input, "standard output is closed");
}

void refuse_terminal(const std::string& flag, const char* what) {
    if (output_was_closed) throw Error(ErrorCode::input, std::string("standard output is closed and cannot take ") + what, flag);
    if (::isatty(STDOUT_FILENO) == 1)
        throw Error(ErrorCode::invalid_argument,
                    std::string("standard output is a terminal, which cannot show ") + what + "; send it to a file or a program",
                    flag);
}

}  // namespace t2i::app
