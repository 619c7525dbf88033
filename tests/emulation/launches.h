// Running kernels on the emulator from a test.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/emulation/emulator.h"

namespace t2i::test {

// In which orders everything is run.
inline const std::vector<emulation::Settings>& all_orders() {
    using emulation::Order;
    static const std::vector<emulation::Settings> orders{
        {}, {.order = Order::reverse, .fill = 0x7E}, {.order = Order::shuffled, .seed = 5}};
    return orders;
}

// Elements in the emulated GPU's memory.
template <typename T>
class OnGpu {
  public:
    explicit OnGpu(std::size_t count)
        : memory_(static_cast<T*>(emulation::allocate(count * sizeof(T))), emulation::release), count_(count) {}
    explicit OnGpu(const std::vector<T>& values) : OnGpu(values.size()) {
        std::memcpy(data(), values.data(), count_ * sizeof(T));
    }
    [[nodiscard]] T* data() const { return memory_.get(); }
    [[nodiscard]] std::vector<T> values() const { return {data(), data() + count_}; }

  private:
    std::unique_ptr<T, void (*)(void*)> memory_;
    std::size_t count_;
};

enum class Verdict : unsigned char { fine, differs, stopped };

// What a suite would say of a kernel: `run` is called in each order and gives what the kernel wrote. differs: from one order to
// another or from `expected`; stopped: by the emulator or by AddressSanitizer. In a process of its own, as the latter ends it.
inline Verdict judge(const std::vector<float>& expected, const std::function<std::vector<float>()>& run) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        int code = 0;
        if (!std::freopen("/dev/null", "w", stderr)) code = 9;
        try {
            for (const auto& order : all_orders()) {
                emulation::use(order);
                const auto got = run();
                if (got.size() != expected.size() || std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) != 0)
                    code = 10;
            }
        } catch (const emulation::Fault&) {
            code = 11;
        }
        _exit(code);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) throw std::runtime_error("no process for a test");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Verdict::fine;
    return WIFEXITED(status) && WEXITSTATUS(status) == 10 ? Verdict::differs : Verdict::stopped;
}

}  // namespace t2i::test
