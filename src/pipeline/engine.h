// A loaded model that makes pictures in batches, and what it keeps between them: encoded texts, loops with their recordings.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"
#include "generators/generator.h"
#include "generators/model_folder.h"
#include "generators/model_hash.h"
#include "generators/model_parts.h"
#include "generators/prompts.h"
#include "models/roles.h"
#include "pipeline/batch_maker.h"
#include "pipeline/request.h"
#include "pipeline/start_picture.h"
#include "t2i/pipeline.h"

namespace t2i {

// What the options say of the model: with the bundled one where they name none, which throws as bundled_model() does.
[[nodiscard]] ModelParts parts_of(const PipelineOptions& options);

// For tests and tools.
struct EngineHooks {
    // The hashes of the model, on a thread of its own. Empty: hash_model().
    std::function<ModelHashes()> hash{};
    // Gets all spans and counts, and outlives the engine. Null: nobody reads them.
    Tracer* tracer = nullptr;
    // A text encoder of more bytes of weights leaves memory when its prompts are encoded, unless the options say otherwise. One
    // that is smaller than what a picture takes anyway stays.
    std::size_t small_text_encoder_bytes = std::size_t{256} << 20;
};

// Its functions are for one thread at a time, and need not be called from the one that made it; the const ones, apart from
// times(), are safe from any thread at any time. Whatever make() throws, no callback is kept: what was finished before is handed
// out first, unless that fails too.
class Engine final : public BatchMaker {
  public:
    // Throws Error: input (what cannot be read or is wrong, and where), invalid_argument (unknown device or dtype), resource.
    explicit Engine(const PipelineOptions& options, const EngineHooks& hooks = {});
    ~Engine() override;

    [[nodiscard]] const ModelFolder& folder() const { return folder_; }
    [[nodiscard]] const ModelInfo& info() const { return info_; }
    // Waits for them: the files are read in the background from the start, and nothing of making a picture needs their hashes,
    // only a picture's metadata. Throws Error{input} naming a file that could not be read again.
    [[nodiscard]] const ModelHashes& hashes() const { return hashes_.result.get(); }
    // As t2i::resolve(), and Error{input} naming the file: the request begins with a picture, and the model cannot read one.
    [[nodiscard]] ResolvedRequest resolve(const GenerateRequest& request) const;
    // Pictures made at a time unless the caller knows better.
    [[nodiscard]] int batch_size() const;
    // clean: as ResolvedRequest::clean_caption. Throws Error about `field`: input (the text is not UTF-8, or cannot be cleaned),
    // invalid_argument (a class that the model does not know).
    [[nodiscard]] Tokens tokenize(const std::string& prompt, const char* field, bool clean = false) const;
    // What a person should know of a prompt that was taken by tokenize(): it has no word of those that the model says it has
    // learnt, or its cleaning has left nothing of it.
    enum class Doubt : std::uint8_t { none, no_known_word, cleaned_away };
    [[nodiscard]] Doubt doubt_about(const std::string& prompt, bool clean) const;
    // As Pipeline::unknown_words(), of what the cleaning leaves.
    [[nodiscard]] std::vector<UnknownWord> unknown_words(const std::string& prompt, bool clean) const;

    void make(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks) override;
    void flush() override;
    void drop_caches() override;
    [[nodiscard]] StageTimes times() const override { return times_; }  // not while another thread makes pictures
    [[nodiscard]] std::size_t conditioning_rows(const PictureJob& job) const override;

    [[nodiscard]] Tracer& tracer() { return tracer_; }

  private:
    // Pictures handed to the backend and not yet handed out. Tensors are staging memory.
    struct Made {
        Tensor grid, rgb, status;                                 // grid and status: empty where nobody wants them
        std::vector<std::shared_ptr<const StartPicture>> pasted;  // one a picture, or none at all
        Fence ready = 0;
        std::shared_ptr<const GeneratorRun> run;
        Callbacks callbacks;
    };
    // The hashes of the model on their way. Nobody waits for them in vain: not a failed load, and not an engine that ends early.
    struct BackgroundHash {
        BackgroundHash() = default;
        ~BackgroundHash() { abandoned = true; }
        BackgroundHash(const BackgroundHash&) = delete;
        BackgroundHash& operator=(const BackgroundHash&) = delete;
        void start(const std::function<ModelHashes()>& hash) { result = start_async(hash).share(); }
        std::atomic<bool> abandoned{false};
        std::shared_future<ModelHashes> result;  // ends before what its thread reads: it is destroyed first
    };
    [[nodiscard]] ExecContext context() { return {*backend_, *scratch_, &tracer_}; }
    void check_decoder(const std::string& decoder) const;
    [[nodiscard]] std::string text_origin(const PipelineOptions& options) const;
    [[nodiscard]] ModelInfo describe(const PipelineOptions& options, const std::string& no_gpu_because) const;
    void make_batch(const ResolvedRequest& settings, std::span<const PictureJob> jobs, const Callbacks& callbacks);
    [[nodiscard]] Conditioning encode(const ResolvedRequest& settings, std::span<const PictureJob> jobs,
                                      const Callbacks& callbacks);
    [[nodiscard]] RunSettings run_settings(const ResolvedRequest& settings, std::span<const PictureJob> jobs) const;
    [[nodiscard]] std::shared_ptr<GeneratorRun> run_for(const RunSettings& settings);
    // What the jobs begin with, as the generator reads it; nothing where they begin with noise alone.
    [[nodiscard]] std::vector<std::shared_ptr<const Start>> starts_of(std::span<const PictureJob> jobs);
    [[nodiscard]] std::shared_ptr<const Start> start_of(const std::shared_ptr<const StartPicture>& picture);
    [[nodiscard]] const LatentEncoder& encoder();
    [[nodiscard]] Made decode(const std::shared_ptr<const GeneratorRun>& run, const ResolvedRequest& settings,
                              const Callbacks& callbacks);
    [[nodiscard]] TensorView resized(const TensorView& rgb, const ResolvedRequest& settings);
    double lap_ms();

    ModelFolder folder_;
    PictureSizes sizes_;
    ModelInfo info_;
    BackgroundHash hashes_;
    std::unique_ptr<Backend> backend_;
    DType compute_ = DType::f32;
    int batch_size_ = 0;
    std::unique_ptr<Generator> generator_;
    std::unique_ptr<Prompts> prompts_;
    std::unique_ptr<Decoder> decoder_;
    // Its other half is read when the first picture wants it; whether it is there is found out once.
    ComponentSource decoder_source_{std::string()};
    std::unique_ptr<LatentEncoder> encoder_;
    mutable std::once_flag encoder_looked_for_;
    mutable std::exception_ptr no_encoder_;
    struct KnownStart {
        std::shared_ptr<const StartPicture> picture;
        std::shared_ptr<const Start> start;
    };
    std::vector<KnownStart> starts_;  // encoded last, newest at the back
    std::unique_ptr<Arena> scratch_;
    struct Kept {
        RunSettings settings;
        std::shared_ptr<GeneratorRun> run;
    };
    std::vector<Kept> runs_;  // of the settings seen last, newest at the back
    std::optional<Made> made_;
    Tracer own_tracer_;
    Tracer& tracer_;  // the caller's, else our own
    StageTimes times_;
    double lap_start_ms_ = 0;
};

}  // namespace t2i
