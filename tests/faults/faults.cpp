// A library that stands before the C library's (LD_PRELOAD) and fails chosen calls of the program, so that a test sees what a
// strange file system or a poor machine does, without one and without root.
//
// $T2I_FAULTS: rules "CALL=ERROR", separated by ';'. "CALL=ERROR@N": from the N-th such call on. "CALL=ERROR/TEXT": where the
// path (of rename the new one) holds the text. $T2I_FAULTS_LOG: a file that gets a line for each call that was failed.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

namespace {

constexpr std::array<std::pair<std::string_view, int>, 11> errors{{{"ENOSYS", ENOSYS},
                                                                   {"ENOLCK", ENOLCK},
                                                                   {"EOPNOTSUPP", EOPNOTSUPP},
                                                                   {"EINVAL", EINVAL},
                                                                   {"EPERM", EPERM},
                                                                   {"EAGAIN", EAGAIN},
                                                                   {"EXDEV", EXDEV},
                                                                   {"ENAMETOOLONG", ENAMETOOLONG},
                                                                   {"EILSEQ", EILSEQ},
                                                                   {"EIO", EIO},
                                                                   {"ENOSPC", ENOSPC}}};

struct Rule {
    std::string call, text;
    int error = 0;
    long from = 1;
    std::atomic<long> seen{0};
};

[[noreturn]] void refuse(const std::string& rule) {
    std::fprintf(stderr, "faults: what is \"%s\"?\n", rule.c_str());
    std::abort();
}

void add_rule(std::deque<Rule>& rules, const std::string& text) {
    Rule& rule = rules.emplace_back();
    const auto equals = text.find('=');
    if (equals == std::string::npos) refuse(text);
    rule.call = text.substr(0, equals);
    std::string error = text.substr(equals + 1);
    if (const auto slash = error.find('/'); slash != std::string::npos) {
        rule.text = error.substr(slash + 1);
        error.resize(slash);
    }
    if (const auto at = error.find('@'); at != std::string::npos) {
        rule.from = std::atol(error.c_str() + at + 1);
        error.resize(at);
    }
    for (const auto& [name, number] : errors)
        if (error == name) rule.error = number;
    if (rule.error == 0 || rule.from < 1) refuse(text);
}

std::deque<Rule>& all_rules() {
    static std::deque<Rule> rules = [] {
        std::deque<Rule> found;
        const char* text = std::getenv("T2I_FAULTS");
        std::string rest = text ? text : "";
        while (!rest.empty()) {
            const auto end = rest.find(';');
            add_rule(found, rest.substr(0, end));
            rest = end == std::string::npos ? "" : rest.substr(end + 1);
        }
        return found;
    }();
    return rules;
}

template <typename Function>
Function* real(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// The error that a call is to fail with; 0: none.
int fault(const char* call, const std::string& path) {
    for (Rule& rule : all_rules()) {
        if (rule.call != call || path.find(rule.text) == std::string::npos || ++rule.seen < rule.from) continue;
        if (const char* log = std::getenv("T2I_FAULTS_LOG")) {
            const std::string line = std::string(call) + " " + path + "\n";
            const int fd = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            if (fd < 0 || ::write(fd, line.data(), line.size()) < 0) std::abort();
            ::close(fd);
        }
        return rule.error;
    }
    return 0;
}

std::string path_of(int fd) {
    std::array<char, 4096> path{};
    const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path.data(), path.size());
    return n > 0 ? std::string(path.data(), static_cast<std::size_t>(n)) : std::string();
}

bool fails(const char* call, const std::string& path) {
    const int error = fault(call, path);
    if (error != 0) errno = error;
    return error != 0;
}

}  // namespace

extern "C" {

int flock(int fd, int operation) noexcept {
    return fails("flock", path_of(fd)) ? -1 : real<int(int, int)>("flock")(fd, operation);
}

int fsync(int fd) {
    struct stat about{};
    const bool is_folder = ::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
    return fails(is_folder ? "fsync_folder" : "fsync", path_of(fd)) ? -1 : real<int(int)>("fsync")(fd);
}

int fdatasync(int fd) {
    return fails("fdatasync", path_of(fd)) ? -1 : real<int(int)>("fdatasync")(fd);
}

int fchmod(int fd, mode_t mode) noexcept {
    return fails("fchmod", path_of(fd)) ? -1 : real<int(int, mode_t)>("fchmod")(fd, mode);
}

int rename(const char* from, const char* to) noexcept {
    return fails("rename", to) ? -1 : real<int(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
    using Rename = int(int, const char*, int, const char*, unsigned);
    return fails("rename", to) ? -1 : real<Rename>("renameat2")(from_folder, from, to_folder, to, flags);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*), void* argument) noexcept {
    using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    const int error = fault("pthread_create", "");
    return error != 0 ? error : real<Create>("pthread_create")(thread, attributes, work, argument);
}

}  // extern "C"
