#include "e2e/batch_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "e2e/tiny_model.h"
#include "support/place.h"

namespace t2i::test {

namespace fs = std::filesystem;

namespace {

std::string slurp(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Process::Process(std::vector<std::string> arguments, int input, const std::vector<std::string>& environment) {
    std::string name = (fs::temp_directory_path() / "t2i-process-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
    scratch_ = name;
    arguments.insert(arguments.begin(), program().string());
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    const std::string out = (scratch_ / "out").string(), err = (scratch_ / "err").string();
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ > 0) return;
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    ::dup2(input >= 0 ? input : ::open("/dev/null", O_RDONLY), STDIN_FILENO);
    for (const auto& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
    ::execv(argv[0], argv.data());
    ::_exit(127);
}

Process::~Process() {
    if (!has_ended()) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, &status_, 0);
    }
    std::error_code ignored;
    fs::remove_all(scratch_, ignored);
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
    return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), slurp(scratch_ / "out"),
            slurp(scratch_ / "err")};
}

std::string Process::standard_error() const {
    return slurp(scratch_ / "err");
}

std::size_t Process::resident_kib() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string word; status >> word;)
        if (std::size_t kib = 0; word == "VmRSS:" && status >> kib) return kib;
    return 0;
}

std::vector<std::string> batch_arguments(const std::string& file, const std::string& folder,
                                         const std::vector<std::string>& more) {
    std::vector<std::string> all{"batch", file, "-o", folder, "-m", tiny_model().string(), "--steps", "2"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

Outcome run_batch(const std::string& file, const std::string& folder, const std::vector<std::string>& more,
                  const std::vector<std::string>& environment) {
    return Process(batch_arguments(file, folder, more), -1, environment).wait();
}

std::string prompt_lines(int n) {
    std::string lines;
    for (int i = 0; i < n; ++i) {
        std::string prompt = "a red apple";
        for (int word = 0; word < i % 5 * 4; ++word) prompt += " and a pear";
        lines += R"({"prompt": ")" + prompt + " number " + std::to_string(i) + R"(", "id": "p)" + std::to_string(i) +
                 R"(", "seed": )" + std::to_string(i * 7) + (i % 4 == 3 ? R"(, "cfg_scale": 1)" : "") + "}\n";
    }
    return lines;
}

std::map<std::string, std::string> pictures_in(const fs::path& folder) {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.path().extension() == ".png") found[fs::relative(entry.path(), folder).generic_string()] = slurp(entry.path());
    return found;
}

std::size_t lines_in(const fs::path& path) {
    const std::string text = slurp(path);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

std::vector<std::string> leftovers_in(const fs::path& folder) {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.path().filename().string().starts_with('.')) found.push_back(entry.path().string());
    return found;
}

}  // namespace t2i::test
