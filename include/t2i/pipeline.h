// The library's front door: load a model folder once, turn requests into pictures.
//
//     auto pipeline = t2i::Pipeline::load({});
//     for (const auto& image : pipeline.generate({.prompt = "a red apple"})) …
//
// Whoever passes or gets a value owns it. Errors are exceptions of type t2i::Error (t2i/error.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "t2i/export.h"
#include "t2i/log.h"

namespace t2i {

struct PipelineOptions {
    // Folder in diffusers layout (model_index.json), one that holds a transformer alone, or a transformer's file; empty:
    // bundled_model().
    std::string model{};
    std::string vae{};                // another autoencoder, folder or file; empty: the model's
    std::string device = "auto";      // auto: a GPU where one can be used, else the CPU; cuda, cuda:N, cpu, ref, emulated
    std::string dtype = "auto";       // auto, f32, bf16
    int threads = 0;                  // 0: one per core
    bool fast_math = false;           // on a GPU: quicker products, whose last bits may depend on the batch
    int engine_batch = 0;             // pictures made at a time; 0: one on a CPU, up to 32 on a GPU. No picture depends on it
    int text_cache = 1024;            // encoded prompts kept for later requests
    std::string text_cache_folder{};  // where they are kept for later runs too; empty: nowhere
    bool keep_text_encoder = false;   // else one of more than 256 MB leaves memory once its prompts are encoded
    Log log{};                        // warnings that are no answer to a request; empty: nobody reads them
    std::string variant{};            // "fp16": of the weights' files that have it in their names; empty: those without, or alone
    // Parts from several places; empty: the model's own.
    std::string base{};                                      // folder in diffusers layout that lends what the model lacks
    std::string transformer{}, text_encoder{}, tokenizer{};  // folders or files
    std::string formulas{};  // "diffusers": facebook's DiT as diffusers computes it; empty: as facebook did, wherever it is given
};

struct Image {
    int width = 0, height = 0;      // pixels
    std::vector<std::uint8_t> rgb;  // [height, width, 3]
    std::uint64_t seed = 0;
    std::string parameters;  // the text of the PNG's `parameters` chunk
};

// A picture that a request reads: a file, or pixels in its place, which copies of the request share. Neither: there is none.
struct SourcePicture {
    std::string file{};                     // PNG, JPEG or WebP of up to 4096x4096 pixels; over white where it is transparent
    std::shared_ptr<const Image> pixels{};  // of it width, height and rgb are read; must not change while the request is made
    [[nodiscard]] bool is_given() const { return pixels != nullptr || !file.empty(); }
};

// Unset fields take the model's own defaults.
struct GenerateRequest {
    std::string prompt{};                  // UTF-8; of a class-conditional model a class's name or number, empty: no class
    std::string negative_prompt{};         // UTF-8
    std::optional<int> steps{};            // [1, 1000]; of a diffusion model, as sampler and scheduler
    std::optional<double> cfg_scale{};     // guidance is off at 1 and below
    std::uint64_t seed = 42;               // picture i has seed + i
    std::optional<int> width{}, height{};  // pixels
    int count = 1;                         // pictures
    std::string sampler{};                 // "ddim", "dpm++2m", …
    std::string scheduler{};               // "discrete", "karras", "exponential", "beta", "lu", "flow"
    // What diffusers' PixArt pipelines do unless they are told not to. Unset: off.
    std::optional<bool> clean_caption{};       // prompts go through their cleaning of web captions
    std::optional<bool> resolution_binning{};  // drawn at the size of the model's own table whose shape is nearest, then brought
                                               // to width and height, which may be any
    // Pictures from pictures, by the rules of diffusers' pipelines: with noise of the level at which the last steps · strength
    // steps begin (init_timestep of get_timesteps) the picture goes through those steps alone. With a mask, of the same size, the
    // picture is made anew where that is white, and elsewhere stays what it was, as far as latents of 8x8 pixels tell. Needs a
    // model whose autoencoder has its encoder.
    SourcePicture init_image{}, mask{};
    std::optional<double> strength{};  // (0, 1]; unset: 0.75
    std::string resize_mode{};         // how init_image and mask come to width and height: "crop" (or empty), "stretch", "fill"
    std::optional<bool> keep_unmasked{};  // black pixels of the mask are those of init_image, grey ones a mixture. Unset: off,
                                          // and they went through the autoencoder
};

struct Progress {
    int image, images;  // 0-based, count
    int step, steps;    // steps done, of steps
};

struct ModelInfo {
    std::string name;  // of the folder
    int steps = 20;    // defaults; 0: the model has no denoising steps
    double cfg_scale = 4.5;
    int width = 256, height = 256;
    int max_prompt_tokens = 120;  // with the end-of-sequence token
    int classes = 0;              // of a class-conditional model, whose prompt is a class's name or number; 0: it reads text
    std::string sampler{};        // default sampling method; empty: the model has none
    std::string device, dtype;    // "cpu", "f32"
    std::string runs_on;          // one line: what computes, threads, dtype
    std::string hardware{};       // instruction set, or GPU and its libraries: same dtype and build make the same bits on it
    std::string vae{};            // name of another decoder's folder or file; empty: the model's own
    bool fast_math = false;       // as PipelineOptions has it
    // Parts that were named: "transformer", "text_encoder", "tokenizer", and the names of their folders or files.
    std::vector<std::pair<std::string, std::string>> parts{};
    std::string base{};                 // name of the folder that lends what the model lacks; empty: none
    std::string formulas{}, variant{};  // as PipelineOptions has them
    std::vector<std::string> notes{};   // a line each: what no config file says, and what told it instead
};

// Wall time by stage, milliseconds, and the work done there.
struct StageTimes {
    double load_ms = 0;  // reading a text encoder that does not stay in memory; load() is apart from it
    double text_ms = 0, prepare_ms = 0, denoise_ms = 0, decode_ms = 0;
    double text_flops = 0, denoise_flops = 0, decode_flops = 0;
};

// What the model says of what it can draw: "names (en)": "apple", "cat", …; "styles": …
struct VocabularyEntry {
    std::string name;                // may be empty
    std::vector<std::string> items;  // of a class-conditional model's "classes": their names, each of which is a prompt
};

// A word of a prompt that the model has not learnt.
struct UnknownWord {
    std::string word;                  // in lower case; of Chinese the characters that stand for one
    std::vector<std::string> nearest;  // what it has learnt instead, the nearest first, at most three: "apple" for "aple", "cat"
                                       // for "kitten"; may be empty
};

// A name for PipelineOptions::device or GenerateRequest::sampler, and one line about it.
struct Choice {
    std::string name, description;
};

// What PipelineOptions::device can name on this machine, best first. Looks for GPUs, so the first call may take a second. From
// any thread.
[[nodiscard]] T2I_API std::vector<Choice> list_devices();
// What GenerateRequest::sampler can name; not every model takes each. From any thread.
[[nodiscard]] T2I_API std::vector<Choice> list_samplers();

// The folder of the model that comes with the library: $T2I_MODEL where that is set, else found from the place of the shared
// library or of the program that this code is linked into: ../assets/sticker-256 or ../share/t2i/sticker-256 from there.
// Throws Error{input} about the field model, saying where it looked. From any thread that does not change the environment.
[[nodiscard]] T2I_API std::string bundled_model();

struct PipelineAccess;

// Movable, not copyable. Unless a function says more, one thread at a time.
class T2I_API Pipeline {
  public:
    // Reads the model: hundreds of milliseconds to seconds. From any thread. Throws Error: input (what cannot be read or is
    // wrong, and where), invalid_argument (unknown device or dtype), resource.
    static Pipeline load(const PipelineOptions& options);
    // One that was moved from may only be destroyed or assigned to.
    Pipeline(Pipeline&&) noexcept;
    Pipeline& operator=(Pipeline&&) noexcept;
    ~Pipeline();

    // From any thread, as the two below; references live as long as the pipeline.
    [[nodiscard]] const ModelInfo& info() const;
    // What the model says it can draw; empty where it says nothing.
    [[nodiscard]] std::vector<VocabularyEntry> vocabulary() const;
    // The words of a prompt that are not in the model's vocabulary, in order, for a hint before it is drawn; empty where the
    // model says nothing of words. Takes milliseconds, and no picture waits for it. From any thread. Throws Error{input}: not
    // UTF-8.
    [[nodiscard]] std::vector<UnknownWord> unknown_words(const std::string& prompt) const;
    // Hash of what is read of the model's folder and changes pictures (weights, configs, tokenizer), 10 hex digits. The files are
    // read while the first picture is made; this waits for it.
    [[nodiscard]] const std::string& model_hash() const;

    // Called after every step; returning false stops with Error{cancelled}.
    using OnProgress = std::function<bool(const Progress&)>;
    // Called for each picture as soon as it is decoded.
    using OnImage = std::function<void(int index, Image image)>;
    // A line for the user that is no error, such as what was cut from a long prompt.
    using OnWarning = std::function<void(const std::string&)>;
    struct Callbacks {
        OnImage image{};
        OnProgress progress{};
        OnWarning warning{};
        // Asked to stop from any thread, generate() ends within a step with Error{cancelled}; at once while it waits for others.
        std::stop_token stop{};
    };
    // Returns when all pictures are handed out. Safe from several threads at once, whose pictures are then made in batches with
    // each other. Callbacks run on the calling thread, pictures in order; they must not call generate(). One that throws ends
    // this request, and its exception comes out here.
    // Throws Error: invalid_argument (a value out of range, unknown sampler or class), input (not UTF-8; NaN, naming the step; an
    // init_image that cannot be read, or a model that cannot read one), cancelled.
    void generate(const GenerateRequest& request, const Callbacks& callbacks);
    // Collects the pictures.
    [[nodiscard]] std::vector<Image> generate(const GenerateRequest& request);

    // Of the generate() that came to its end last; pictures made in one batch share its times equally. From any thread.
    [[nodiscard]] StageTimes last_times() const;

  private:
    friend struct PipelineAccess;  // of the library itself
    struct Impl;
    explicit Pipeline(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace t2i
