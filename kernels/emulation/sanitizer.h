// What AddressSanitizer and ThreadSanitizer must be told of memory and stacks that are ours; nothing where they are off.
#pragma once

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#endif

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#include <sanitizer/tsan_interface.h>
#endif
#endif

namespace t2i::emulation {

// ThreadSanitizer's own idea of a fiber; enter_history comes right before the change of stacks.
#ifdef __SANITIZE_THREAD__
inline void* new_history() {
    return __tsan_create_fiber(0);
}
inline void* this_history() {
    return __tsan_get_current_fiber();
}
inline void drop_history(void* history) {
    __tsan_destroy_fiber(history);
}
inline void enter_history(void* history) {
    __tsan_switch_to_fiber(history, 0);
}
#else
inline void* new_history() {
    return nullptr;
}
inline void* this_history() {
    return nullptr;
}
inline void drop_history(void*) {}
inline void enter_history(void*) {}
#endif

#ifdef __SANITIZE_ADDRESS__
inline void forbid(const void* memory, std::size_t bytes) {
    ASAN_POISON_MEMORY_REGION(memory, bytes);
}
inline void permit(const void* memory, std::size_t bytes) {
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
}
// Before another stack is entered; `saved` null: this one is never entered again.
inline void leave_stack(void** saved, const void* bottom, std::size_t size) {
    __sanitizer_start_switch_fiber(saved, bottom, size);
}
// After; gives the extent of the stack that was left.
inline void enter_stack(void* saved, const void** bottom, std::size_t* size) {
    __sanitizer_finish_switch_fiber(saved, bottom, size);
}
#define T2I_UNCHECKED __attribute__((no_sanitize_address))
#else
inline void forbid(const void*, std::size_t) {}
inline void permit(const void*, std::size_t) {}
inline void leave_stack(void**, const void*, std::size_t) {}
inline void enter_stack(void*, const void**, std::size_t*) {}
#define T2I_UNCHECKED
#endif

}  // namespace t2i::emulation
