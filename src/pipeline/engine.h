// A loaded model that makes pictures in batches, and what it keeps between them: encoded texts, loops with their recordings.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/roles.h"
#include "pipeline/batch_maker.h"
#include "pipeline/denoise.h"
#include "pipeline/model_folder.h"
#include "pipeline/prompts.h"
#include "pipeline/request.h"
#include "t2i/pipeline.h"

namespace t2i {

// Its functions are for one thread at a time, and need not be called from the one that made it; the const ones and info() are
// safe from any thread at any time.
class Engine final : public BatchMaker {
  public:
    // Throws Error: input (what cannot be read or is wrong, and where), invalid_argument (unknown device or dtype), resource.
    explicit Engine(const PipelineOptions& options);
    ~Engine() override;

    [[nodiscard]] const ModelFolder& folder() const { return folder_; }
    [[nodiscard]] const ModelInfo& info();  // waits for the weights' hash
    [[nodiscard]] ResolvedRequest resolve(const GenerateRequest& request) const;
    // Pictures made at a time unless the caller knows better.
    [[nodiscard]] int batch_size() const;
    // Throws Error about `field`: input (the text is not UTF-8), invalid_argument (a class that the model does not know).
    [[nodiscard]] Tokens tokenize(const std::string& prompt, const char* field) const;
    // Whether a prompt has a word that the model says it has learnt; true where it says nothing, and for an empty prompt.
    [[nodiscard]] bool knows_a_word(const std::string& prompt) const;

    void make(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) override;
    void flush() override;
    void drop_caches() override;
    [[nodiscard]] StageTimes times() const override { return times_; }  // not while another thread makes pictures
    [[nodiscard]] std::size_t conditioning_rows(const PictureJob& job) const override;

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
    std::once_flag has_hash_;               // in info_
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
