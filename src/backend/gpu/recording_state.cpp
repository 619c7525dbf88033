#include "backend/gpu/recording_state.h"

#include <stdexcept>

namespace t2i::cuda {

namespace {

[[noreturn]] void refuse(const std::string& operation, const char* rule) {
    throw std::logic_error(operation + " within a recording: " + rule);
}

std::string of_bytes(std::size_t bytes) {
    return " of " + std::to_string(bytes) + " bytes";
}

}  // namespace

void RecordingState::refuse_allocation(std::size_t bytes) const {
    if (is_active_) refuse("allocate" + of_bytes(bytes), "memory is taken before, also what an arena grows by");
}

void RecordingState::refuse_packing(std::string_view operation) const {
    if (is_active_) refuse(std::string(operation), "weights are packed before");
}

void RecordingState::refuse_waiting(std::string_view operation) const {
    if (is_active_) refuse(std::string(operation), "nothing is done yet that could be waited for or replayed");
}

void RecordingState::refuse_host_read(std::size_t bytes) const {
    if (is_active_) refuse("copy to the host" + of_bytes(bytes), "nothing is done yet that could be read");
}

void RecordingState::refuse_pageable_copy(std::size_t bytes) const {
    if (is_active_)
        refuse("copy from pageable host memory" + of_bytes(bytes), "only allocate_staging() gives memory that a replay can read");
}

void RecordingState::refuse_unplanned(const std::string& operation) const {
    if (is_active_) refuse(operation, "it has no plan yet, call it once before with the same weight, bias and shapes");
}

RecordingState::Session::Session(RecordingState& state) : state_(state) {
    state_.refuse_waiting("record");
    state_.is_active_ = true;
    state_.has_released_ = false;
}

void RecordingState::Session::finish() const {
    if (state_.has_released_) refuse("giving memory back", "recorded operations may use it");
}

}  // namespace t2i::cuda
