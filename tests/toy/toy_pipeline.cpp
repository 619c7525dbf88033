// The toy's generator and decoder, and the table of pipelines with one row more.
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "checkpoint/weights.h"
#include "generators/model_folder.h"
#include "generators/pipelines.h"
#include "models/config.h"
#include "models/registry.h"
#include "ops/memory.h"
#include "t2i/error.h"

namespace t2i {

namespace {

constexpr const char *painter = "painter", *palette = "palette";

// A step is a code.
class ToyRules final : public RequestRules {
  public:
    explicit ToyRules(const ModelFolder& folder)
        : cfg_scale_(folder.cfg_scale), factor_(ModelConfig::read(folder.component(painter)).integer("factor")) {}

    [[nodiscard]] std::shared_ptr<const GenerationPlan> plan(const GenerateRequest& request) const override {
        refuse_schedule(request);
        refuse_init_image(request);
        auto plan = std::make_shared<GenerationPlan>();
        set_guidance(*plan, request, cfg_scale_);
        plan->steps = static_cast<int>(*request.width / factor_ * (*request.height / factor_));
        plan->fields = {guidance_field(*plan)};
        plan->key = plan->fields.front().text();
        return plan;
    }

  private:
    double cfg_scale_;
    std::int64_t factor_;
};

struct ToyWeights {
    ToyWeights(const ComponentSource& source, const ModelConfig& config)
        : classes(config.integer("classes")), codes(config.integer("codes")) {
        WeightStore store(open_component({.path = source.path, .variant = source.variant}), source.path);
        logits = store.root().take_f32("logits", {(classes + 1) * codes, codes});
    }
    std::int64_t classes, codes;
    Tensor logits;  // [class, code before, code]
};

class ToyRun final : public GeneratorRun {
  public:
    ToyRun(const ExecContext& ctx, const ToyWeights& weights, const RunSettings& settings)
        : backend_(ctx.backend),
          weights_(weights),
          settings_(settings),
          drawn_(Tensor::host({settings.pictures, settings.height, settings.width}, DType::i32)),
          codes_(allocate(ctx.backend, drawn_.shape(), DType::i32)) {}

    void condition(const Conditioning& conditioning) override {
        labels_ = std::get<LabelConditioning>(conditioning).labels;
        T2I_CHECK(static_cast<std::int64_t>(labels_.size()) == settings_.model_rows(), "a label a row");
    }

    void run(const Call& call) override {
        const auto pictures = static_cast<std::size_t>(settings_.pictures);
        T2I_CHECK(call.seeds.size() == pictures, "a seed a picture");
        std::vector<std::mt19937_64> random(call.seeds.begin(), call.seeds.end());
        std::vector<std::int64_t> before(pictures, 0);
        const std::size_t length = static_cast<std::size_t>(settings_.height * settings_.width);
        const auto codes = drawn_.as<std::int32_t>();
        for (std::size_t at = 0; at < length; ++at) {
            for (std::size_t b = 0; b < pictures; ++b) {
                before[b] = draw(b, before[b], random[b]);
                codes[b * length + at] = static_cast<std::int32_t>(before[b]);
            }
            if (at == 0 && call.meanwhile) call.meanwhile();
            if (call.progress && !call.progress(static_cast<int>(at) + 1)) throw Error(ErrorCode::cancelled, "interrupted");
        }
        backend_.copy(drawn_, codes_);
    }
    [[nodiscard]] TensorView result() const override { return codes_; }

  private:
    [[nodiscard]] std::span<const float> logits(std::size_t row, std::int64_t before) const {
        const std::int64_t index = labels_[row] * weights_.codes + before;
        return weights_.logits.view.slice(index, 1).as<float>();
    }
    [[nodiscard]] std::int64_t draw(std::size_t picture, std::int64_t before, std::mt19937_64& random) const {
        std::vector<double> weights;
        const bool guided = settings_.plan->guided;
        const auto with = logits(guided ? picture + static_cast<std::size_t>(settings_.pictures) : picture, before);
        const auto without = logits(picture, before);
        for (std::size_t i = 0; i < with.size(); ++i)
            weights.push_back(std::exp(guided ? without[i] + settings_.plan->cfg_scale * (with[i] - without[i]) : with[i]));
        return std::discrete_distribution<std::int64_t>(weights.begin(), weights.end())(random);
    }

    Backend& backend_;
    const ToyWeights& weights_;
    RunSettings settings_;
    std::vector<std::int32_t> labels_;
    Tensor drawn_, codes_;  // [B, h, w] i32, on the host and in the backend's memory
};

class ToyGenerator final : public Generator {
  public:
    explicit ToyGenerator(const ComponentSource& source) : weights_(source, ModelConfig::read(source.path)) {}
    [[nodiscard]] GridFormat writes() const override { return {GridFormat::Kind::codes, weights_.codes}; }
    [[nodiscard]] std::int64_t classes() const override { return weights_.classes; }
    [[nodiscard]] std::unique_ptr<GeneratorRun> begin(const ExecContext& ctx, const RunSettings& settings) const override {
        return std::make_unique<ToyRun>(ctx, weights_, settings);
    }

  private:
    ToyWeights weights_;
};

class ToyDecoder final : public Decoder {
  public:
    ToyDecoder(const ComponentSource& source, const ModelConfig& config)
        : codes_(config.integer("codes")), factor_(config.integer("factor")) {
        WeightStore store(open_component({.path = source.path, .variant = source.variant}), source.path);
        colours_ = store.root().take_f32("colours", {codes_, 3});
    }
    [[nodiscard]] GridFormat reads() const override { return {GridFormat::Kind::codes, codes_}; }
    [[nodiscard]] std::int64_t factor() const override { return factor_; }
    void decode(const ExecContext& ctx, const TensorView& grid, const TensorView& rgb) const override {
        T2I_CHECK(grid.dtype == DType::i32 && grid.shape.rank() == 3, "codes " + grid.shape.text());
        const Tensor codes = Tensor::host(grid.shape, DType::i32), pixels = Tensor::host(rgb.shape);
        ctx.backend.copy(grid, codes);
        ctx.backend.wait(ctx.backend.fence());
        const auto from = codes.as<std::int32_t>();
        const auto colours = colours_.as<float>(), to = pixels.as<float>();
        const std::int64_t height = rgb.shape[1], width = rgb.shape[2], columns = grid.shape[2];
        for (std::int64_t i = 0; i < pixels.view.elements(); ++i) {
            const std::int64_t x = i / 3 % width, y = i / 3 / width % height, b = i / 3 / width / height;
            const std::int64_t at = (b * grid.shape[1] + y / factor_) * columns + x / factor_;
            to[static_cast<std::size_t>(i)] = colours[static_cast<std::size_t>(from[static_cast<std::size_t>(at)] * 3 + i % 3)];
        }
        ctx.backend.copy(pixels, rgb);
    }

  private:
    std::int64_t codes_, factor_;
    Tensor colours_;
};

std::unique_ptr<RequestRules> read_rules(const ModelFolder& folder) {
    return std::make_unique<ToyRules>(folder);
}
GridSizes read_sizes(const ModelFolder& folder) {
    return {.side = ModelConfig::read(folder.component(painter)).integer("grid"), .multiple = 1};
}
std::int64_t read_factor(const ComponentSource& source) {
    return ModelConfig::read(source.path).integer("factor");
}
std::unique_ptr<Generator> load_generator(const ModelFolder& folder, Backend&, DType) {
    return std::make_unique<ToyGenerator>(folder.source(painter));
}
std::unique_ptr<Prompts> load_prompts(const ModelFolder& folder, const Generator& generator, Backend&, DType,
                                      const PromptOptions&) {
    return load_class_prompts(folder, generator.classes());
}
std::unique_ptr<Decoder> load_palette(Backend&, const ComponentSource& source, DType) {
    return std::make_unique<ToyDecoder>(source, ModelConfig::read(source.path));
}

constexpr std::array components{
    ComponentRow{.folder = painter, .files = denoiser_files, .weights = Library::diffusers},
    ComponentRow{.folder = palette, .files = decoder_files, .required = false, .weights = Library::diffusers}};

std::vector<PipelineRow> with_toy() {
    const auto known = built_in_pipelines();
    std::vector<PipelineRow> rows(known.begin(), known.end());
    rows.push_back({.class_name = "ToyCodePipeline",
                    .components = components,
                    .steps = 0,
                    .cfg_scale = 2.0,
                    .max_prompt_tokens = 1,
                    .conditioning = ConditioningKind::labels,
                    .read_rules = read_rules,
                    .read_sizes = read_sizes,
                    .load_generator = load_generator,
                    .load_prompts = load_prompts,
                    .generator = painter,
                    .schedule = nullptr,
                    .is_sigma = {},
                    .decoder = palette,
                    .read_factor = read_factor,
                    .load_decoder = load_palette});
    return rows;
}

}  // namespace

std::span<const PipelineRow> pipelines() {
    static const std::vector<PipelineRow> rows = with_toy();
    return rows;
}

}  // namespace t2i
