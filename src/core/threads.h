// Threads that the system may refuse: a limit on processes, of the user or of a container, or no memory for their stacks.
#pragma once

#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "t2i/error.h"

namespace t2i {

// A thread that runs work(). Throws Error{resource} when there is none to be had; nothing has begun then.
template <typename Work>
[[nodiscard]] std::thread start_thread(Work work) {
    try {
        return std::thread(std::move(work));
    } catch (const std::system_error& error) {
        throw Error(ErrorCode::resource, std::string("no thread can be started: ") + error.code().message());
    }
}

// The result of work(), which runs on a thread of its own. Throws as start_thread().
template <typename Work>
[[nodiscard]] auto start_async(Work work) {
    try {
        return std::async(std::launch::async, std::move(work));
    } catch (const std::system_error& error) {
        throw Error(ErrorCode::resource, std::string("no thread can be started: ") + error.code().message());
    }
}

}  // namespace t2i
