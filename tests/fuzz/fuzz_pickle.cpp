// Any bytes are either a pickle of tensors, each inside its storage, or an Error{input}: without the archive around it, which few
// mutations survive.
#include <cstdint>

#include "checkpoint/pickle.h"
#include "checkpoint/torch_objects.h"
#include "fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        const std::span pickle(reinterpret_cast<const std::byte*>(data), size);
        const t2i::PickleGraph graph = t2i::read_pickle(pickle, "fuzz");
        T2I_CHECK(graph.bytes_read() <= size, "read past the end");
        const t2i::TorchObjects objects = t2i::read_torch_objects(graph, "fuzz");
        T2I_CHECK(!objects.tensors.empty(), "a checkpoint of nothing");
        for (std::size_t i = 1; i < objects.tensors.size(); ++i)
            T2I_CHECK(objects.tensors[i - 1].name < objects.tensors[i].name, "tensors in name order");
        static_cast<void>(t2i::read_torch_storages(graph, "fuzz"));
    });
    return 0;
}
