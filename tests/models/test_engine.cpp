// What the engine promises beside pictures: nothing waits for the hash of the weights, and nothing that is thrown breaks it.
#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "batch/runner.h"
#include "models/registry.h"
#include "pipeline/engine.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/fixture.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

struct Unexpected {};  // no t2i::Error, no std::exception

class EngineFixture {
  public:
    explicit EngineFixture(const std::string& device = "cpu") {
        write_pipeline(read_manifest("pipeline")["cases"].front()["pipeline"], folder_.path());
        options.model = folder_.path().string();
        options.device = device;
        options.dtype = "f32";
        options.threads = 2;
    }
    PipelineOptions options;

  private:
    TempFolder folder_;
};

struct Batch {
    ResolvedRequest settings;
    std::vector<PictureJob> jobs;
};

Batch batch_of(Engine& engine, const std::string& prompt, int pictures, int steps = 3) {
    GenerateRequest request;
    request.prompt = prompt;
    request.steps = steps;
    Batch batch{engine.resolve(request), {}};
    for (int i = 0; i < pictures; ++i)
        batch.jobs.push_back({.prompt = engine.tokenize(prompt, "prompt").ids,
                              .negative = engine.tokenize("", "negative prompt").ids,
                              .seed = static_cast<std::uint64_t>(i)});
    return batch;
}

using Pictures = std::vector<std::vector<std::uint8_t>>;

Pictures draw(Engine& engine, const Batch& batch) {
    Pictures pictures(batch.jobs.size());
    engine.make(batch.settings, batch.jobs,
                {.picture = [&](std::size_t i, Engine::Picture p) { pictures[i] = std::move(p.rgb); }, .progress = {}});
    engine.flush();
    return pictures;
}

// A hash that is not known before a condition holds; `in_time` says whether it came to hold within a minute.
EngineHooks hash_after(const std::function<bool()>& condition, std::atomic<bool>& in_time) {
    return {.hash = [condition, &in_time] {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
        while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
        in_time = condition();
        return ModelHashes{.model = "0123456789", .decoder = {}};
    }};
}

class NoInterrupt final : public batch::Interrupt {
    [[nodiscard]] bool requested() const override { return false; }
    [[nodiscard]] int fd() const override { return -1; }
};

class SilentReporter final : public batch::Reporter {
  public:
    void warning(const std::string& /*line*/) override {}
    void failed(std::int64_t /*line*/, const std::string& /*id*/, const std::string& /*reason*/) override {}
    void left(std::int64_t /*line*/, const std::string& /*id*/, const std::string& /*reason*/) override {}
    void finished(const std::string& /*path*/) override {}
    void tick(const batch::Status& /*status*/) override {}
    void summary(const batch::Status& /*status*/, bool /*interrupted*/) override {}
};

}  // namespace

TEST_CASE("engine: a picture is made while the weights are still being hashed") {
    const EngineFixture fixture;
    std::atomic<bool> stepped{false}, in_time{false};
    Engine engine(fixture.options, hash_after([&] { return stepped.load(); }, in_time));
    const Batch batch = batch_of(engine, "a red apple", 1);
    CHECK(engine.info().name == std::filesystem::path(fixture.options.model).filename());
    engine.make(batch.settings, batch.jobs,
                {.picture = [](std::size_t, const Engine::Picture&) {},
                 .progress =
                     [&](int) {
                         stepped = true;
                         return true;
                     }});
    CHECK(engine.hashes().model == "0123456789");
    CHECK(in_time);
}

TEST_CASE("engine: a batch begins while the weights are still being hashed, and its files name the hash") {
    EngineFixture fixture;
    Tracer tracer;
    tracer.keep_spans();
    std::atomic<bool> in_time{false};
    const auto stepped = [&] { return std::ranges::any_of(tracer.spans(), [](const auto& s) { return s.name == "step"; }); };
    EngineHooks hooks = hash_after(stepped, in_time);
    hooks.tracer = &tracer;
    Engine engine(fixture.options, hooks);
    const TempFolder folder;
    batch::BatchOptions options;
    options.input = write_file(folder / "prompts.txt", "a red apple\na pear\n");
    options.output.folder = folder / "out";
    options.defaults.steps = 2;
    SilentReporter reporter;
    const NoInterrupt interrupt;
    CHECK(batch::Runner(engine, options, reporter, interrupt).run().made == 2);
    CHECK(in_time);
    CHECK(contains(file_text(folder / "out/manifest.jsonl"), R"("model_hash":"0123456789")"));
}

TEST_CASE("engine: a text encoder that leaves memory makes the same pictures, and is read once for the prompts of a file") {
    EngineFixture fixture;
    const auto pictures_of = [&](const EngineHooks& hooks, bool keep) {
        fixture.options.keep_text_encoder = keep;
        Engine engine(fixture.options, hooks);
        Pictures pictures;
        for (const char* prompt : {"a red apple", "a pear"})
            for (auto& picture : draw(engine, batch_of(engine, prompt, 2))) pictures.push_back(std::move(picture));
        CHECK((engine.times().load_ms > 0) == (!keep && hooks.small_text_encoder_bytes == 0));
        return pictures;
    };
    const Pictures kept = pictures_of({}, true);
    CHECK(pictures_of({}, false) == kept);  // a small one stays
    CHECK(pictures_of({.hash = {}, .tracer = nullptr, .small_text_encoder_bytes = 0}, false) == kept);
    CHECK(pictures_of({.hash = {}, .tracer = nullptr, .small_text_encoder_bytes = 0}, true) == kept);

    fixture.options.keep_text_encoder = false;
    Tracer tracer;
    tracer.keep_spans();
    Engine engine(fixture.options, {.hash = {}, .tracer = &tracer, .small_text_encoder_bytes = 0});
    const TempFolder folder;
    batch::BatchOptions options;
    options.input = write_file(folder / "prompts.txt", "a red apple\na pear\na lemon\na tree\na cat\n");
    options.output.folder = folder / "out";
    options.defaults.steps = 1;
    SilentReporter reporter;
    const NoInterrupt interrupt;
    CHECK(batch::Runner(engine, options, reporter, interrupt).run().made == 5);
    CHECK(std::ranges::count(tracer.spans(), "t5_encoder", &Tracer::Span::name) == 1);
}

TEST_CASE("engine: an abandoned hash reads no further") {
    const EngineFixture fixture;
    const ModelFolder folder = read_model_folder(fixture.options.model);
    std::atomic<bool> abandoned{false};
    CHECK(hash_model(folder, {}, &abandoned).model == hash_model(folder).model);
    abandoned = true;
    const std::string read = hash_model(folder, {}, &abandoned).model;
    CHECK(read != hash_model(folder).model);
    const std::string config = fixture.options.model + "/vae/config.json";
    std::string text = file_text(config);
    text.back() = ' ';
    write_file(config, text);
    CHECK(hash_model(folder, {}, &abandoned).model == read);
}

TEST_CASE("engine: whatever a callback throws, no callback is kept and the next pictures are right") {
    for (const char* device : {"cpu", "emulated"}) {
        INFO(device);
        const EngineFixture fixture(device);
        Engine engine(fixture.options);
        const Batch first = batch_of(engine, "a red apple", 2, 1), second = batch_of(engine, "a pear", 1, 1);
        const Pictures expected = draw(engine, second), expected_first = draw(engine, first);

        SECTION(std::string("from progress, ") + device) {
            std::vector<std::size_t> handed_out;
            const auto call = [&] {
                // Ends before the engine does: what it owns must not be touched later.
                const auto local = std::make_unique<std::vector<std::size_t>>();
                const Engine::Callbacks callbacks{.picture = [&](std::size_t i, const Engine::Picture&) { local->push_back(i); },
                                                  .progress = {}};
                engine.make(first.settings, first.jobs, callbacks);
                try {
                    engine.make(second.settings, second.jobs,
                                {.picture = callbacks.picture, .progress = [](int) -> bool { throw Unexpected(); }});
                } catch (...) {
                    handed_out = *local;
                    throw;
                }
            };
            CHECK_THROWS_AS(call(), Unexpected);
            CHECK(handed_out == std::vector<std::size_t>{0, 1});  // what was finished is kept
            CHECK(draw(engine, second) == expected);
            CHECK(draw(engine, first) == expected_first);
        }
        SECTION(std::string("from a picture, ") + device) {
            int calls = 0;
            const auto call = [&] {
                const auto fail = [&](std::size_t, const Engine::Picture&) {
                    ++calls;
                    throw Unexpected();
                };
                engine.make(first.settings, first.jobs, {.picture = fail, .progress = {}});
                engine.flush();
            };
            CHECK_THROWS_AS(call(), Unexpected);
            CHECK(calls == 1);
            engine.flush();  // nothing is left
            CHECK(draw(engine, second) == expected);
        }
        SECTION(std::string("from a picture of the batch before, ") + device) {
            int calls = 0;
            const auto call = [&] {
                const Engine::Callbacks fail{.picture =
                                                 [&](std::size_t, const Engine::Picture&) {
                                                     ++calls;
                                                     throw Unexpected();
                                                 },
                                             .progress = {}};
                engine.make(first.settings, first.jobs, fail);
                engine.make(second.settings, second.jobs, fail);
            };
            CHECK_THROWS_AS(call(), Unexpected);
            CHECK(calls == 1);
            CHECK(draw(engine, second) == expected);
        }
    }
}

TEST_CASE("engine: what the decoder reads is copied for who asks") {
    const EngineFixture fixture;
    Engine engine(fixture.options);
    const Batch batch = batch_of(engine, "a red apple", 2);
    std::vector<Shape> grids;
    engine.make(batch.settings, batch.jobs,
                {.picture = [&](std::size_t i, const Engine::Picture&) { CHECK(grids.size() == i + 1); },
                 .progress = {},
                 .grid =
                     [&](std::size_t i, const TensorView& grid) {
                         CHECK(i == grids.size());
                         grids.push_back(grid.shape);
                     }});
    CHECK(grids == std::vector<Shape>(2, Shape{1, 4, batch.settings.height / 8, batch.settings.width / 8}));
}

TEST_CASE("engine: requests with the same batch key may share a batch, others do not") {
    const EngineFixture fixture;
    const Engine engine(fixture.options);
    const auto key = [&](const auto& change) {
        GenerateRequest request;
        change(request);
        return engine.resolve(request).batch_key;
    };
    const std::string plain = key([](GenerateRequest&) {});
    CHECK(key([](GenerateRequest& r) { r.prompt = "x", r.negative_prompt = "y", r.seed = 9, r.count = 3; }) == plain);
    CHECK(key([&](GenerateRequest& r) { r.steps = engine.info().steps; }) == plain);
    CHECK(key([](GenerateRequest& r) { r.steps = 3; }) != plain);
    CHECK(key([](GenerateRequest& r) { r.cfg_scale = 3.25; }) != plain);
    CHECK(key([](GenerateRequest& r) { r.width = 32; }) != plain);
    CHECK(key([](GenerateRequest& r) { r.sampler = "ddim"; }) != key([](GenerateRequest& r) { r.sampler = "euler_a"; }));
    CHECK(key([](GenerateRequest& r) { r.scheduler = "karras"; }) != plain);
}

TEST_CASE("engine: the rows of a text are padded in one place") {
    const EngineFixture fixture;
    const Engine engine(fixture.options);
    const auto rows = [&](std::size_t prompt, std::size_t negative) {
        return engine.conditioning_rows(
            {.prompt = std::vector<std::int32_t>(prompt), .negative = std::vector<std::int32_t>(negative)});
    };
    CHECK(rows(1, 0) == 8);
    CHECK(rows(8, 1) == 8);
    CHECK(rows(2, 9) == 16);
}

TEST_CASE("engine: what may be asked needs no weights") {
    const EngineFixture fixture;
    const std::filesystem::path root = fixture.options.model;
    const Engine engine(fixture.options);
    for (const char* part : {"transformer", "text_encoder", "vae"})
        for (const auto& file : denoiser_files((root / part).string()))
            if (file.ends_with(".safetensors")) std::filesystem::remove(file);
    const ModelFolder folder = read_model_folder(root.string());
    const PictureSizes sizes = read_picture_sizes(folder);
    CHECK(sizes.side == engine.info().width);
    CHECK(folder.rules->default_sampler() == engine.info().sampler);
    GenerateRequest request;
    request.cfg_scale = 2.5;
    CHECK(resolve(request, *folder.rules, sizes).batch_key == engine.resolve(request).batch_key);
    const auto field_of = [&](const auto& change) {
        GenerateRequest wrong;
        change(wrong);
        try {
            static_cast<void>(resolve(wrong, *folder.rules, sizes));
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::invalid_argument);
            CHECK_FALSE(contains(error.what(), "\n"));
            return error.field();
        }
        return std::string("none");
    };
    CHECK(field_of([](GenerateRequest&) {}) == "none");
    CHECK(field_of([](GenerateRequest& r) { r.steps = 0; }) == "steps");
    CHECK(field_of([](GenerateRequest& r) { r.cfg_scale = -1; }) == "cfg_scale");
    CHECK(field_of([](GenerateRequest& r) { r.count = 0; }) == "count");
    CHECK(field_of([](GenerateRequest& r) { r.width = 20; }) == "width");
    CHECK(field_of([](GenerateRequest& r) { r.height = 8192; }) == "height");
    CHECK(field_of([](GenerateRequest& r) { r.sampler = "dim"; }) == "sampler");
    CHECK(field_of([](GenerateRequest& r) { r.scheduler = "cosine"; }) == "scheduler");
}

}  // namespace t2i::test
