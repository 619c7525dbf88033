// The one failure that a smaller batch can cure.
#pragma once

#include "t2i/error.h"

namespace t2i {

// Memory of the host or of a device could not be had.
class OutOfMemory : public Error {
  public:
    explicit OutOfMemory(const std::string& message) : Error(ErrorCode::resource, message) {}
};

}  // namespace t2i
