#include "support/process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "support/place.h"

namespace t2i::test {

Process::Process(std::vector<std::string> arguments, const ProcessOptions& options) {
    arguments.insert(arguments.begin(),
                     options.name.empty() ? program().string() : (program().parent_path() / options.name).string());
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    const auto open_new = [&](const char* name) {
        return ::open((scratch_ / name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    };
    const int out = open_new("out"), err = open_new("err");
    if (out < 0 || err < 0) throw std::runtime_error("the program's output has no place");
    pid_ = ::fork();
    if (pid_ != 0) {
        ::close(out);
        ::close(err);
        if (pid_ < 0) throw std::runtime_error("fork failed");
        return;
    }
    ::dup2(options.output >= 0 ? options.output : out, STDOUT_FILENO);
    ::dup2(options.error >= 0 ? options.error : err, STDERR_FILENO);
    ::dup2(options.input >= 0 ? options.input : ::open("/dev/null", O_RDONLY), STDIN_FILENO);
    if (!options.folder.empty() && ::chdir(options.folder.c_str()) != 0) ::_exit(126);
    for (const auto& variable : options.environment) ::putenv(const_cast<char*>(variable.c_str()));
    if (options.in_child) options.in_child();
    ::execv(argv[0], argv.data());
    ::_exit(127);
}

Process::~Process() {
    if (!has_ended()) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, &status_, 0);
    }
}

bool Process::has_ended() {
    if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
    return ended_;
}

void Process::signal(int number) const {
    ::kill(pid_, number);
}

bool Process::wait_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(4);
    while (!condition()) {
        if (has_ended() || std::chrono::steady_clock::now() > deadline) return condition();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

Outcome Process::wait() {
    if (!ended_) ::waitpid(pid_, &status_, 0);
    ended_ = true;
    return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), file_text(scratch_ / "out"),
            file_text(scratch_ / "err")};
}

std::string Process::standard_error() const {
    return file_text(scratch_ / "err");
}

std::size_t Process::resident_kib() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string word; status >> word;)
        if (std::size_t kib = 0; word == "VmRSS:" && status >> kib) return kib;
    return 0;
}

}  // namespace t2i::test
