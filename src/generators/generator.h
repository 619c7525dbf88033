// A generator turns conditioning, seeds and settings into latents or codes. It is two things: rules, which say what may be
// asked of it and need no weights, and the model itself.
#pragma once

#include <any>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "models/roles.h"
#include "t2i/pipeline.h"

namespace t2i {

// A setting of a generator as metadata shows it.
struct SettingField {
    std::string key;    // in ids and manifests: "cfg_scale"
    std::string label;  // in the `parameters` chunk, AUTOMATIC1111's where it has one: "CFG scale"
    std::variant<std::int64_t, double, std::string> value;  // a text may be empty: left to the model
    [[nodiscard]] std::string text() const;
};

// What a generator has made of a request. Constant, so from any thread.
struct GenerationPlan {
    int steps = 0;                       // units of progress, at least one
    double cfg_scale = 1.0;              // of classifier-free guidance
    bool guided = false;                 // the model reads [negative…, positive…]: twice as many rows as pictures
    std::vector<SettingField> fields{};  // in the order of the `parameters` chunk
    std::string remark{};                // for a person: what of the request is done otherwise; may be empty
    std::string key{};                   // equal keys: pictures of these plans may be made in one batch
    std::any own{};                      // what the generator itself keeps; nobody else looks

    // The field's text; empty where the generator has no such setting.
    [[nodiscard]] std::string text_of(std::string_view key) const;
};

// What may be asked of a generator. Constant, so from any thread.
class RequestRules {
  public:
    virtual ~RequestRules() = default;
    // Steps, sampler, schedule and guidance of a request, checked, with the model's defaults where it is silent. Its width and
    // height are set and checked: a generator that goes token by token counts its steps by them.
    // Throws Error{invalid_argument} naming the field: a value out of range, a name that is not known, a setting that the
    // generator has not.
    [[nodiscard]] virtual std::shared_ptr<const GenerationPlan> plan(const GenerateRequest& request) const = 0;
    // Of a request that is silent; empty: there are no samplers.
    [[nodiscard]] virtual std::string default_sampler() const { return {}; }
};

constexpr int most_steps = 1000;  // of any model: as many as the schedules were trained with

// For rules. All throw Error{invalid_argument} naming the field.
void check_setting_range(const char* field, double value, double low, double high);
// Guidance of a request: what it says, or else the model's own. Sets the plan's cfg_scale and guided.
void set_guidance(GenerationPlan& plan, const GenerateRequest& request, double model_scale);
[[nodiscard]] SettingField guidance_field(const GenerationPlan& plan);
// Throws when the request says something of steps, samplers or schedules, for a generator without them.
void refuse_schedule(const GenerateRequest& request);
// Throws when the request begins with a picture, for a generator that cannot.
void refuse_init_image(const GenerateRequest& request);

// What a picture begins with, beside noise: another one. Host memory; constant, so from any thread.
struct Start {
    Tensor mean;       // [C, h, w] f32: the picture's latents
    Tensor deviation;  // the same shape, or empty: of the distribution that the encoder gives, of which a seed takes its own
    Tensor mask;       // [h, w] f32, 1 where the picture is made anew, 0 where it stays; empty: anew everywhere
};

// What a run is made for.
struct RunSettings {
    std::shared_ptr<const GenerationPlan> plan;
    std::int64_t pictures = 1, height = 0, width = 0;  // of the grid of latents or codes
    std::int64_t text_rows = 0;                        // of a text, padding included; 0 where the model reads labels
    std::int64_t factor = 8;                           // pixels per latent or code in each direction
    [[nodiscard]] std::int64_t model_rows() const { return plan->guided ? 2 * pictures : pictures; }
    // Whether a run made for these settings can do the work of others.
    [[nodiscard]] bool fits(const RunSettings& other) const {
        return plan->key == other.plan->key && pictures == other.pictures && height == other.height && width == other.width &&
               text_rows == other.text_rows && factor == other.factor;
    }
};

// A generator at work on batches of one kind, with what it keeps from one to the next: buffers, tables, recordings. The
// generator outlives it; it belongs to one thread.
class GeneratorRun {
  public:
    virtual ~GeneratorRun() = default;
    // [negative…, positive…] where the plan is guided, else [positive…]; in place of what was said before.
    virtual void condition(const Conditioning& conditioning) = 0;
    struct Call {
        std::span<const std::uint64_t> seeds;                    // one a picture
        std::span<const std::shared_ptr<const Start>> starts{};  // one a picture, where the request begins with one
        std::function<bool(int steps_done)> progress;            // false stops with Error{cancelled}; may be empty
        std::function<void()> meanwhile;                         // called once, when the backend has work to do; may be empty
    };
    // Hands the whole work to the backend; a backend with a queue may not have done it yet.
    // Throws Error{cancelled}, and on a backend that works at once also what check() throws. A run that threw, from a callback
    // too, can be called again.
    virtual void run(const Call& call) = 0;
    // What the last call left, in the generator's format, in the backend's memory.
    [[nodiscard]] virtual TensorView result() const = 0;
    // [1] i32 in the backend's memory: whether the last call went well; an empty view where nothing can go wrong unseen.
    [[nodiscard]] virtual TensorView status() const { return {}; }
    // status() read on the host: throws Error{input} naming the step unless all went well.
    virtual void check(std::int32_t /*status*/) const {}
};

class Generator {
  public:
    virtual ~Generator() = default;
    [[nodiscard]] virtual GridFormat writes() const = 0;
    // Of a class-conditional model, which reads labels 0 to classes() - 1, and classes() for no class; 0: it reads text.
    [[nodiscard]] virtual std::int64_t classes() const = 0;
    // Columns of the text that it reads; 0: it reads none, or says nothing of it.
    [[nodiscard]] virtual std::int64_t text_width() const { return 0; }
    // settings.plan: of this generator's own rules.
    [[nodiscard]] virtual std::unique_ptr<GeneratorRun> begin(const ExecContext& ctx, const RunSettings& settings) const = 0;
};

}  // namespace t2i
