#include "backend/cuda/attentions.h"

#include "backend/cuda/driver.h"
#include "core/log.h"

namespace t2i::cuda {

namespace {

constexpr std::size_t workspace_limit = std::size_t{256} << 20;
constexpr int timed_calls = 20;
// How much faster cuDNN must be: noise in the timing does not decide.
constexpr float clearly_faster = 0.98F;

const std::byte* begin_of(const Columns& c) {
    return static_cast<const std::byte*>(c.matrix.data) + c.begin * static_cast<std::int64_t>(size_of(c.matrix.dtype));
}

bool is_aligned(const void* data, std::int64_t stride) {
    constexpr std::int64_t elements = 8;  // of 16 bytes
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % elements == 0;
}
bool is_aligned(const Columns& c) {
    return is_aligned(begin_of(c), c.matrix.shape.columns());
}

}  // namespace

Attentions::Attentions(std::shared_ptr<DeviceMemory> memory)
    : memory_(std::move(memory)),
      dnn_(cudnn()),
      session_(dnn_, memory_->stream()),
      cache_(AlgorithmCache::path_for("cudnn-attention", memory_->name(), driver_version(), dnn_.about.version),
             [log = memory_->log()](const std::string& line) { log_warning(log, line); }) {}

void Attentions::run(const Choice& choice, const AttentionArgs& a) {
    choice.plan.execute(session_.handle(),
                        {.q = begin_of(a.q),
                         .k = begin_of(a.k),
                         .v = begin_of(a.v),
                         .scale = a.scale,
                         .out = a.out.data,
                         .logarithms = choice.logarithms.data()},
                        choice.workspace.data());
}

std::optional<Attentions::Choice> Attentions::faster_choice(const AttentionShape& shape, const AttentionArgs& a,
                                                            const std::function<void()>& ours) {
    const auto kept = cache_.find(shape.text());  // 1: cuDNN, 0: ours
    if (kept && kept->algorithm[0] == 0) return std::nullopt;
    std::string why;  // not said: our kernel is no worse an answer
    auto plan = AttentionPlan::find(dnn_, {.handle = session_.handle()}, shape, workspace_limit, why);
    if (!plan) return std::nullopt;
    const std::size_t bytes = plan->workspace_bytes();
    Choice choice{std::move(*plan),
                  DeviceBlock(memory_, static_cast<std::size_t>(shape.batch * shape.heads * shape.queries) * sizeof(float)),
                  bytes > 0 ? DeviceBlock(memory_, bytes) : DeviceBlock()};
    if (!kept) {
        const float theirs_ms = time_ms(memory_->stream(), timed_calls, [&] { run(choice, a); });
        const float ours_ms = time_ms(memory_->stream(), timed_calls, ours);
        const bool is_faster = theirs_ms < clearly_faster * ours_ms;
        AlgorithmCache::Entry entry;
        entry.algorithm[0] = is_faster ? 1 : 0;
        entry.workspace_bytes = bytes;
        cache_.put(shape.text(), entry);
        if (!is_faster) return std::nullopt;
    }
    return choice;
}

bool Attentions::attend(const AttentionArgs& a, const std::function<void()>& ours) {
    const std::int64_t head_size = a.q.width / a.heads;
    if (a.out.dtype != DType::bf16 || a.bias || a.key_lengths || a.out.elements() == 0 || head_size % 8 != 0 ||
        !is_aligned(a.q) || !is_aligned(a.k) || !is_aligned(a.v) || !is_aligned(a.out.data, a.heads * head_size))
        return false;
    const AttentionShape shape{.batch = a.batch,
                               .heads = a.heads,
                               .queries = a.q.matrix.shape.rows() / a.batch,
                               .keys = a.k.matrix.shape.rows() / a.batch,
                               .head_size = head_size,
                               .q_stride = a.q.matrix.shape.columns(),
                               .k_stride = a.k.matrix.shape.columns(),
                               .v_stride = a.v.matrix.shape.columns()};
    auto known = choices_.find(shape);
    if (known == choices_.end()) {
        memory_->recording().refuse_unplanned("attention " + shape.text());
        known = choices_.emplace(shape, faster_choice(shape, a, ours)).first;
    }
    if (!known->second) return false;
    run(*known->second, a);
    return true;
}

}  // namespace t2i::cuda
