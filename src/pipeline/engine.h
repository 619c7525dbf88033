// A loaded model that makes pictures in batches, and what it keeps between them: encoded texts, loops with their recordings.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/roles.h"
#include "pipeline/denoise.h"
#include "pipeline/model_folder.h"
#include "pipeline/prompts.h"
#include "pipeline/request.h"
#include "t2i/pipeline.h"

namespace t2i {

// One picture of a batch.
struct PictureJob {
    std::vector<std::int32_t> prompt, negative;  // ids; negative is not read where the settings do not guide
    std::uint64_t seed = 0;
};

class Engine {
  public:
    // Throws Error: input (what cannot be read or is wrong, and where), usage (unknown device or dtype), resource.
    explicit Engine(const PipelineOptions& options);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    [[nodiscard]] const ModelFolder& folder() const { return folder_; }
    [[nodiscard]] const ModelInfo& info();  // waits for the weights' hash
    [[nodiscard]] ResolvedRequest resolve(const GenerateRequest& request) const;
    // Pictures made at a time unless the caller knows better.
    [[nodiscard]] int batch_size() const;
    // Throws Error naming `flag`: input (the text is not UTF-8), usage (a class that the model does not know).
    [[nodiscard]] Tokens tokenize(const std::string& prompt, const char* flag) const;
    // Whether a prompt has a word that the model says it has learnt; true where it says nothing, and for an empty prompt.
    [[nodiscard]] bool knows_a_word(const std::string& prompt) const;

    struct Picture {
        std::vector<std::uint8_t> rgb;  // [height, width, 3]
        std::vector<float> latents;     // [channels, height / factor, width / factor]
    };
    struct Callbacks {
        std::function<void(std::size_t index, Picture picture)> picture;  // index: within the jobs it was made from
        std::function<bool(int step)> progress;                           // false stops with Error{interrupted}; may be empty
    };
    // Makes one picture a job, all together, with the plan, guidance and size of `settings`. On a backend with a queue the
    // pictures are handed out while the next batch runs, or by flush(); else before it returns.
    // Throws Error: input (NaN, naming the step), resource (out of memory; nothing of the batch was handed out), interrupted.
    void make(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks);
    void flush();
    // Frees everything but the weights.
    void drop_caches();

    [[nodiscard]] StageTimes& times() { return times_; }
    [[nodiscard]] Tracer& tracer() { return tracer_; }

  private:
    // Pictures handed to the backend and not yet handed out. Tensors are staging memory.
    struct Made {
        Tensor latents, rgb, first_bad;
        Fence ready = 0;
        const DenoiseLoop* loop = nullptr;
        std::function<void(std::size_t, Picture)> hand_out;
    };
    [[nodiscard]] ExecContext context() { return {*backend_, *scratch_, &tracer_}; }
    [[nodiscard]] Conditioning encode(const ResolvedRequest& settings, std::span<const PictureJob> jobs);
    [[nodiscard]] DenoiseLoop& loop_for(DenoiseSettings settings);
    [[nodiscard]] Made decode(const DenoiseLoop& loop);
    double lap_ms();

    ModelFolder folder_;
    ModelInfo info_;
    std::shared_future<std::string> hash_;  // read while the first picture is made; only its metadata needs it
    std::unique_ptr<Backend> backend_;
    DType compute_ = DType::f32;
    int batch_size_ = 0;
    std::unique_ptr<Denoiser> denoiser_;
    std::unique_ptr<Prompts> prompts_;
    std::unique_ptr<LatentDecoder> decoder_;
    std::unique_ptr<Arena> scratch_;
    std::vector<std::unique_ptr<DenoiseLoop>> loops_;  // of the settings seen last, newest at the back
    std::optional<Made> made_;
    Tracer own_tracer_;
    Tracer& tracer_;  // the caller's, else our own
    StageTimes times_;
    double lap_start_ms_ = 0;
};

}  // namespace t2i
