#include "backend/cpu/bf16_matmul.h"

#include <omp.h>

#include <algorithm>

namespace t2i::cpu {
namespace {

using dnnl::memory;

// oneDNN plans and runs a primitive with as many threads as OpenMP would give the caller; ours belong to one thread of
// our own pool.
class OneThread {
  public:
    OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
    ~OneThread() { omp_set_num_threads(before_); }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

  private:
    int before_;
};

memory::desc matrix(std::int64_t rows, std::int64_t columns, memory::data_type type,
                    memory::format_tag layout) {
    return {memory::dims{rows, columns}, type, layout};
}

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, std::int64_t rows, std::int64_t k,
                                      std::int64_t columns, const memory::desc& weights) {
    using Type = memory::data_type;
    using Layout = memory::format_tag;
    dnnl::primitive_attr attributes;
    // The library's own scratchpad belongs to the thread that made the primitive.
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto x = matrix(rows, k, Type::bf16, Layout::ab),
               sums = matrix(rows, columns, Type::f32, Layout::ab);
#if DNNL_VERSION_MAJOR >= 3
    return {engine, x, weights, sums, attributes};
#else
    return {dnnl::matmul::desc(x, weights, sums), attributes, engine};
#endif
}

}  // namespace

bool multiplies_bf16() {
    // The values are sets of features: a later instruction set includes the bits of those before it.
    const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

const Bf16Matmul::Shape& Bf16Matmul::shape(std::int64_t columns, std::int64_t k) {
    const auto found = shapes_.find({columns, k});
    if (found != shapes_.end()) return found->second;
    const OneThread one_thread;
    Shape s;
    const auto any = matrix(k, columns, memory::data_type::bf16, memory::format_tag::any);
    s.tall = describe(engine_, tall_rows, k, columns, any);
    s.low = describe(engine_, short_rows, k, columns, s.tall.weights_desc());
    s.tall_primitive = dnnl::matmul(s.tall);
    s.low_primitive = dnnl::matmul(s.low);
    return shapes_.emplace(std::array{columns, k}, std::move(s)).first->second;
}

Bf16Matmul::WeightTile Bf16Matmul::pack(const std::uint16_t* weight, std::int64_t columns, std::int64_t k) {
    const Shape& s = shape(columns, k);
    WeightTile tile{s.tall_primitive,
                    s.low_primitive,
                    memory(s.tall.weights_desc(), engine_),
                    s.tall.scratchpad_desc(),
                    s.low.scratchpad_desc(),
                    k,
                    columns};
    // [columns, K] row-major is [K, columns] column-major. oneDNN only reads through this pointer.
    const memory plain(matrix(k, columns, memory::data_type::bf16, memory::format_tag::ba), engine_,
                       const_cast<std::uint16_t*>(weight));
    dnnl::stream stream(engine_);
    dnnl::reorder(plain, tile.weights).execute(stream, const_cast<memory&>(plain), tile.weights);
    stream.wait();
    return tile;
}

std::size_t Bf16Matmul::scratch_bytes(const WeightTile& tile) {
    return std::max(tile.tall_scratch.get_size(), tile.low_scratch.get_size());
}

void Bf16Matmul::run(const WeightTile& tile, const std::uint16_t* x, std::int64_t rows, float* sums,
                     void* scratch) const {
    const OneThread one_thread;
    const bool tall = rows == tall_rows;
    const auto source = matrix(rows, tile.k, memory::data_type::bf16, memory::format_tag::ab);
    const auto target = matrix(rows, tile.columns, memory::data_type::f32, memory::format_tag::ab);
    dnnl::stream stream(engine_);
    (tall ? tile.tall : tile.low)
        .execute(stream, {{DNNL_ARG_SRC, memory(source, engine_, const_cast<std::uint16_t*>(x))},
                          {DNNL_ARG_WEIGHTS, tile.weights},
                          {DNNL_ARG_DST, memory(target, engine_, sums)},
                          {DNNL_ARG_SCRATCHPAD,
                           memory(tall ? tile.tall_scratch : tile.low_scratch, engine_, scratch)}});
    stream.wait();
}

}  // namespace t2i::cpu
