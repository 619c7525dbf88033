#include "support/run_t2i.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "support/fixture.h"
#include "support/place.h"

namespace t2i::test {

namespace {

std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

[[noreturn]] void exec_child(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                             const std::string& folder, const std::string& out, const std::string& err) {
    const int out_fd = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err_fd = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(out_fd, STDOUT_FILENO);
    ::dup2(err_fd, STDERR_FILENO);
    if (!folder.empty() && ::chdir(folder.c_str()) != 0) ::_exit(126);
    for (const auto& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
    std::vector<char*> argv;
    for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
}

// Runs the program; `meanwhile` is called with its process and the file that collects its standard error.
template <typename Meanwhile>
Outcome run_with(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                 const std::string& folder, Meanwhile meanwhile) {
    const TempFolder scratch;
    const std::string out = scratch / "out", err = scratch / "err";
    std::vector<std::string> argv{program().string()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const pid_t pid = ::fork();
    if (pid < 0) throw std::runtime_error("fork failed");
    if (pid == 0) exec_child(argv, environment, folder, out, err);
    meanwhile(pid, err);
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) throw std::runtime_error("waitpid failed");
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(out), slurp(err)};
}

}  // namespace

Outcome run_t2i(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                const std::string& folder) {
    return run_with(arguments, environment, folder, [](pid_t, const std::string&) {});
}

Outcome interrupt_t2i(const std::vector<std::string>& arguments) {
    return run_with(arguments, {}, {}, [](pid_t pid, const std::string& err) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (slurp(err).find('\n') == std::string::npos && std::chrono::steady_clock::now() < deadline)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        ::kill(pid, SIGINT);
    });
}

}  // namespace t2i::test
