#include "t2i/pipeline.h"

#include <algorithm>

#include "pipeline/engine.h"
#include "pipeline/parameters.h"
#include "t2i/error.h"

namespace t2i {

struct Pipeline::Impl {
    explicit Impl(const PipelineOptions& options) : engine(options) {}
    Engine engine;

    std::vector<std::int32_t> tokenize(const std::string& prompt, const char* flag, const OnWarning& warning) const;
};

Pipeline::Pipeline(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pipeline::Pipeline(Pipeline&&) noexcept = default;
Pipeline& Pipeline::operator=(Pipeline&&) noexcept = default;
Pipeline::~Pipeline() = default;

Pipeline Pipeline::load(const PipelineOptions& options) {
    return Pipeline(std::make_unique<Impl>(options));
}

const ModelInfo& Pipeline::info() const {
    return impl_->engine.info();
}

StageTimes Pipeline::last_times() const {
    return impl_->engine.times();
}

std::vector<std::int32_t> Pipeline::Impl::tokenize(const std::string& prompt, const char* flag, const OnWarning& warning) const {
    const Tokens tokens = engine.tokenize(prompt, flag);
    if (!tokens.cut.empty() && warning)
        warning(std::string(flag) + " is longer than the model's " + std::to_string(engine.folder().max_prompt_tokens) +
                " tokens; cut: \"" + tokens.cut + "\"");
    return tokens.ids;
}

void Pipeline::generate(const GenerateRequest& request, const Callbacks& callbacks) {
    Engine& engine = impl_->engine;
    const ResolvedRequest r = engine.resolve(request);
    engine.times() = {};
    PictureJob job;
    if (r.guided) job.negative = impl_->tokenize(r.negative_prompt, "--negative-prompt", callbacks.warning);
    job.prompt = impl_->tokenize(r.prompt, "--prompt", callbacks.warning);
    if (callbacks.warning && !engine.knows_a_word(r.prompt))
        callbacks.warning(engine.folder().name + " has learnt no word of this prompt; `t2i inspect` lists what it can draw");

    const int steps = static_cast<int>(r.plan.steps.size());
    int together = engine.batch_size();
    for (int first = 0; first < r.count;) {
        const int count = std::min(together, r.count - first);
        std::vector<PictureJob> jobs(static_cast<std::size_t>(count), job);
        for (int i = 0; i < count; ++i) jobs[static_cast<std::size_t>(i)].seed = r.seed + static_cast<std::uint64_t>(first + i);
        const auto hand_out = [&, first](std::size_t index, Engine::Picture picture) {
            const int i = first + static_cast<int>(index);
            Image image{.width = r.width,
                        .height = r.height,
                        .rgb = std::move(picture.rgb),
                        .seed = r.seed + static_cast<std::uint64_t>(i),
                        .parameters = {},
                        .latents = std::move(picture.latents)};
            image.parameters = parameters_text(r, engine.info(), image.seed);
            if (callbacks.image) callbacks.image(i, std::move(image));
        };
        const auto progress = [&](int done) { return !callbacks.progress || callbacks.progress({first, r.count, done, steps}); };
        try {
            engine.make(r, jobs, {hand_out, progress});
            first += count;
        } catch (const Error& error) {
            engine.flush();  // what was finished before is kept
            if (error.code() != ErrorCode::resource || count == 1) throw;
            engine.drop_caches();
            together = count / 2;
            if (callbacks.warning)
                callbacks.warning(std::string(error.what()) + "; trying " + std::to_string(together) + " pictures at a time");
        }
    }
    engine.flush();
}

std::vector<Image> Pipeline::generate(const GenerateRequest& request) {
    std::vector<Image> images;
    generate(request, {.image = [&](int, Image image) { images.push_back(std::move(image)); }, .progress = {}, .warning = {}});
    return images;
}

}  // namespace t2i
