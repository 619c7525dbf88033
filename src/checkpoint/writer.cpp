#include "checkpoint/writer.h"

namespace t2i {

void write_planned(AtomicFile& file, const PlannedTensor& tensor, const WriteTensor& write_tensor) {
    std::size_t left = bytes_of(tensor.dtype, tensor.shape.elements());
    write_tensor(tensor, [&](std::span<const std::byte> bytes) {
        T2I_CHECK(bytes.size() <= left, "more bytes than tensor " + tensor.name + " has");
        left -= bytes.size();
        file.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    });
    T2I_CHECK(left == 0, "fewer bytes than tensor " + tensor.name + " has");
}

}  // namespace t2i
