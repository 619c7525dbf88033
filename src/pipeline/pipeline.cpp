#include "t2i/pipeline.h"

#include <mutex>
#include <utility>
#include <variant>

#include "core/bounded_queue.h"
#include "core/nearest.h"
#include "pipeline/engine.h"
#include "pipeline/parameters.h"
#include "pipeline/pipeline_access.h"
#include "pipeline/scheduler.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// What the scheduler's thread tells the one that called generate().
using Event = std::variant<JobPicture, JobProgress, std::string, JobEnd>;
// That many events, of which a picture weighs the most, wait before the engine does.
constexpr std::size_t waiting_events = 64, waiting_event_bytes = std::size_t{64} << 20;
using Events = BoundedQueue<Event>;

std::size_t bytes_of(const JobPicture& made) {
    return made.picture.rgb.size();
}

// The words that have a nearest one, with it: "; nearest to "aple": apple, maple".
std::string nearest_text(const std::vector<UnknownWord>& words) {
    constexpr std::size_t most_words = 3;
    std::string text;
    std::size_t count = 0;
    for (const UnknownWord& word : words) {
        if (word.nearest.empty()) continue;
        if (++count > most_words) break;
        text += "; nearest to " + in_quotes(word.word);
        for (std::size_t i = 0; i < word.nearest.size(); ++i) text += (i == 0 ? ": " : ", ") + word.nearest[i];
    }
    return text;
}

// What a person should know of a prompt before it is drawn; empty: nothing.
std::string doubt_text(const Engine& engine, const ResolvedRequest& r) {
    const ModelFolder& folder = engine.folder();
    const Engine::Doubt doubt = engine.doubt_about(r.prompt, r.clean_caption);
    if (doubt == Engine::Doubt::cleaned_away) return folder.name + " reads an empty prompt: its cleaning left nothing of it";
    // A model that does not list what stands between things would have half a sentence called unknown.
    if (doubt == Engine::Doubt::none && folder.vocabulary.learnt.phrases.empty()) return {};
    const std::string nearest = nearest_text(engine.unknown_words(r.prompt, r.clean_caption));
    if (doubt == Engine::Doubt::none)
        return nearest.empty() ? nearest : folder.name + " has not learnt every word of this prompt" + nearest;
    return folder.name + " has learnt no word of this prompt" +
           (nearest.empty() ? "; its vocabulary lists what it can draw" : nearest);
}

}  // namespace

struct Pipeline::Impl {
    Impl(const PipelineOptions& options, const EngineHooks& hooks)
        : engine(options, hooks), scheduler(engine, {.batch_size = engine.batch_size()}) {}
    Engine engine;
    Scheduler scheduler;
    std::mutex times_mutex;
    StageTimes last_times;  // of times_mutex

    [[nodiscard]] std::vector<std::int32_t> tokenize(const std::string& prompt, const char* field, bool clean,
                                                     const OnWarning& warning) const;
    [[nodiscard]] Job job_of(const ResolvedRequest& request, const OnWarning& warning) const;
    void pass_on(Events& events, const Ticket& ticket, const ResolvedRequest& r, const Callbacks& callbacks);
};

Pipeline::Pipeline(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pipeline::Pipeline(Pipeline&&) noexcept = default;
Pipeline& Pipeline::operator=(Pipeline&&) noexcept = default;
Pipeline::~Pipeline() = default;

Pipeline Pipeline::load(const PipelineOptions& options) {
    return PipelineAccess::load(options, {});
}

Pipeline PipelineAccess::load(const PipelineOptions& options, const EngineHooks& hooks) {
    return Pipeline(std::make_unique<Pipeline::Impl>(options, hooks));
}

const ModelInfo& Pipeline::info() const {
    return impl_->engine.info();
}

std::vector<VocabularyEntry> Pipeline::vocabulary() const {
    const ModelFolder& folder = impl_->engine.folder();
    std::vector<VocabularyEntry> all;
    for (const auto& [name, items] : folder.vocabulary.entries) all.push_back({name, items});
    if (!folder.classes.empty()) {
        VocabularyEntry& classes = all.emplace_back(VocabularyEntry{"classes", {}});
        for (const ClassLabel& label : folder.classes) classes.items.push_back(label.names);
    }
    return all;
}

std::vector<UnknownWord> Pipeline::unknown_words(const std::string& prompt) const {
    return impl_->engine.unknown_words(prompt, false);
}

const std::string& Pipeline::model_hash() const {
    return impl_->engine.hashes().model;
}

StageTimes Pipeline::last_times() const {
    const std::lock_guard lock(impl_->times_mutex);
    return impl_->last_times;
}

std::vector<std::int32_t> Pipeline::Impl::tokenize(const std::string& prompt, const char* field, bool clean,
                                                   const OnWarning& warning) const {
    const Tokens tokens = engine.tokenize(prompt, field, clean);
    if (!tokens.cut.empty() && warning)
        warning(std::string(field) + " is longer than the model's " + std::to_string(engine.folder().max_prompt_tokens) +
                " tokens; cut: " + in_quotes(tokens.cut));
    return tokens.ids;
}

Job Pipeline::Impl::job_of(const ResolvedRequest& r, const OnWarning& warning) const {
    Job job;
    job.settings = std::make_shared<const ResolvedRequest>(r);
    job.start = r.start;
    if (r.guided) job.negative = tokenize(r.negative_prompt, "negative_prompt", r.clean_caption, warning);
    job.prompt = tokenize(r.prompt, "prompt", r.clean_caption, warning);
    if (warning && !r.plan->remark.empty()) warning(r.plan->remark);
    if (warning)
        if (const std::string line = doubt_text(engine, r); !line.empty()) warning(line);
    for (int i = 0; i < r.count; ++i) job.seeds.push_back(r.seed + static_cast<std::uint64_t>(i));
    return job;
}

// Runs the caller's callbacks on the caller's thread until the job has ended.
void Pipeline::Impl::pass_on(Events& events, const Ticket& ticket, const ResolvedRequest& r, const Callbacks& callbacks) {
    while (std::optional<Event> event = events.pop()) {
        if (auto* made = std::get_if<JobPicture>(&*event)) {
            if (!callbacks.image) continue;
            Image image{.width = r.width,
                        .height = r.height,
                        .rgb = std::move(made->picture.rgb),
                        .seed = r.seed + static_cast<std::uint64_t>(made->index),
                        .parameters = {}};
            image.parameters = parameters_text(r, engine.info(), engine.hashes(), image.seed);
            callbacks.image(static_cast<int>(made->index), std::move(image));
        } else if (const auto* progress = std::get_if<JobProgress>(&*event)) {
            if (!callbacks.progress({progress->first, progress->pictures, progress->step, progress->steps}))
                throw Error(ErrorCode::cancelled, "interrupted");
        } else if (const auto* line = std::get_if<std::string>(&*event)) {
            callbacks.warning(*line);
        } else {
            const JobEnd& end = std::get<JobEnd>(*event);
            static_cast<void>(ticket.wait());
            {
                const std::lock_guard lock(times_mutex);
                last_times = end.stats.times;
            }
            if (end.error) std::rethrow_exception(end.error);
            if (end.state == JobState::cancelled) throw Error(ErrorCode::cancelled, "interrupted");
            return;
        }
    }
}

void Pipeline::generate(const GenerateRequest& request, const Callbacks& callbacks) {
    ResolvedRequest r = impl_->engine.resolve(request);
    r.start = read_start(request, r);
    Job job = impl_->job_of(r, callbacks.warning);
    Events events(waiting_events, waiting_event_bytes);  // outlives the job's callbacks: nothing returns before the job has ended
    job.picture = [&events](JobPicture made) {
        const std::size_t bytes = bytes_of(made);
        static_cast<void>(events.push(std::move(made), bytes));
    };
    if (callbacks.progress) job.progress = [&events](const JobProgress& p) { static_cast<void>(events.push(p, 1)); };
    if (callbacks.warning) job.warning = [&events](const std::string& line) { static_cast<void>(events.push(line, 1)); };
    job.finished = [&events](const JobEnd& end) { static_cast<void>(events.push(end, 1)); };
    const Ticket ticket = impl_->scheduler.submit(std::move(job));
    try {
        const std::stop_callback on_stop(callbacks.stop, [&ticket] { ticket.cancel(); });
        impl_->pass_on(events, ticket, r, callbacks);
    } catch (...) {
        ticket.cancel();
        events.abandon();  // the scheduler may wait for room in it
        static_cast<void>(ticket.wait());
        throw;
    }
}

std::vector<Image> Pipeline::generate(const GenerateRequest& request) {
    std::vector<Image> images;
    generate(request, {.image = [&](int, Image image) { images.push_back(std::move(image)); }, .progress = {}, .warning = {}});
    return images;
}

}  // namespace t2i
