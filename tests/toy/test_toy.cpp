// A generator that is no diffusion, through everything that pictures go through: the front door, the engine, metadata, a batch
// that is killed and goes on. Nothing outside this folder knows it.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <set>

#include "core/files.h"
#include "e2e/batch_process.h"
#include "pipeline/engine.h"
#include "pipeline/parameters.h"
#include "support/catch.h"
#include "support/process.h"
#include "t2i/error.h"
#include "t2i/pipeline.h"
#include "toy/toy_model.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

const std::string& toy_model() {
    static const TempFolder holder;
    static const std::string path = [] {
        write_toy_model(holder / "toy");
        return holder / "toy";
    }();
    return path;
}

PipelineOptions toy_options(const std::string& device = "cpu") {
    PipelineOptions options;
    options.model = toy_model();
    options.device = device;
    options.dtype = "f32";
    return options;
}

// t2i, with the toy in its table.
Outcome run_program(const std::vector<std::string>& arguments) {
    return Process(arguments, {.name = "t2i_with_toy"}).wait();
}

}  // namespace

TEST_CASE("the front door draws with a generator that has neither steps nor noise") {
    Pipeline pipeline = Pipeline::load(toy_options());
    CHECK(pipeline.info().steps == 0);
    CHECK(pipeline.info().sampler.empty());
    CHECK(pipeline.info().classes == toy_classes);
    CHECK(pipeline.info().width == toy_grid * toy_factor);
    GenerateRequest request;
    request.prompt = "dots";
    request.count = 3;
    std::vector<Image> images;
    std::vector<int> progress;
    pipeline.generate(request, {.image = [&](int, Image image) { images.push_back(std::move(image)); },
                                .progress =
                                    [&](const Progress& p) {
                                        CHECK(p.steps == toy_grid * toy_grid);
                                        progress.push_back(p.step);
                                        return true;
                                    },
                                .warning = {}});
    REQUIRE(images.size() == 3);
    CHECK(progress.size() == 3 * toy_grid * toy_grid);
    CHECK(progress.back() == toy_grid * toy_grid);
    CHECK(images[0].rgb != images[1].rgb);
    // Alone, from its own metadata.
    const Parameters p = read_parameters(images[1].parameters, "x");
    CHECK(contains(images[1].parameters, "dots\nSeed: 43, CFG scale: 2, Size: 24x24, Model hash: "));
    CHECK_FALSE(contains(images[1].parameters, "Steps"));
    CHECK_FALSE(contains(images[1].parameters, "Sampler"));
    CHECK(pipeline.generate(p.request).front().rgb == images[1].rgb);
    // Cancellation.
    const auto stop = [&] {
        pipeline.generate(request, {.image = {}, .progress = [](const Progress&) { return false; }, .warning = {}});
    };
    CHECK(contains(message_of(ErrorCode::cancelled, stop), "interrupted"));
    CHECK(pipeline.generate(p.request).front().rgb == images[1].rgb);
}

TEST_CASE("what it has not is refused by name") {
    Pipeline pipeline = Pipeline::load(toy_options());
    GenerateRequest steps, sampler, scheduler, size;
    steps.prompt = sampler.prompt = scheduler.prompt = size.prompt = "dots";
    steps.steps = 20;
    sampler.sampler = "ddim";
    scheduler.scheduler = "karras";
    size.width = 30;
    const auto refusal = [&](const GenerateRequest& r) {
        return message_of(ErrorCode::invalid_argument, [&] { (void)pipeline.generate(r); });
    };
    CHECK(refusal(steps) == "steps: this model has no denoising steps");
    CHECK(refusal(sampler) == "sampler: this model has no samplers");
    CHECK(refusal(scheduler) == "scheduler: this model has no noise schedule");
    GenerateRequest picture;
    picture.prompt = "dots";
    picture.init_image.file = "never-read.png";
    CHECK(refusal(picture) == "init_image: this model makes pictures from nothing, not from others");
    CHECK(contains(refusal(size), "not divisible by 4"));
    const TempFolder other;
    write_toy_model(other / "small", toy_codes / 2);
    PipelineOptions options = toy_options();
    options.vae = other / "small/palette";
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)Pipeline::load(options); }),
                   "decodes codes below 8, the model makes codes below 16"));
}

TEST_CASE("codes reach the decoder, in batches as alone, with a queue and without") {
    std::vector<std::vector<std::int32_t>> alone;
    for (const char* device : {"cpu", "ref", "emulated"}) {
        INFO(device);
        Engine engine(toy_options(device));
        const ResolvedRequest request = engine.resolve({});
        CHECK(request.guided);
        std::vector<PictureJob> jobs;
        for (std::uint64_t seed = 0; seed < 3; ++seed)
            jobs.push_back({.prompt = engine.tokenize(std::to_string(seed), "prompt").ids,
                            .negative = engine.tokenize("", "negative prompt").ids,
                            .seed = seed});
        CHECK(engine.conditioning_rows(jobs.front()) == 0);
        std::vector<std::vector<std::int32_t>> codes;
        std::size_t pictures = 0;
        const Engine::Callbacks callbacks{
            .picture =
                [&](std::size_t index, const Engine::Picture& picture) {
                    const std::int32_t first = codes.back().front();
                    for (std::int64_t channel = 0; channel < 3; ++channel)
                        CHECK(picture.rgb[static_cast<std::size_t>(channel)] == toy_colour(first, channel));
                    CHECK(index <= 2);
                    ++pictures;
                },
            .progress = {},
            .grid =
                [&](std::size_t, const TensorView& grid) {
                    CHECK(grid.shape == Shape{1, toy_grid, toy_grid});
                    const auto values = grid.as<std::int32_t>();
                    codes.emplace_back(values.begin(), values.end());
                }};
        for (const PictureJob& job : jobs) engine.make(request, std::span(&job, 1), callbacks);
        engine.flush();
        if (alone.empty()) alone = codes;
        CHECK(codes == alone);
        codes.clear();
        engine.make(request, jobs, callbacks);
        engine.flush();
        CHECK(codes == alone);
        CHECK(pictures == 6);
    }
    CHECK(std::set<std::vector<std::int32_t>>(alone.begin(), alone.end()).size() == 3);
}

TEST_CASE("the commands know it by its row alone") {
    const TempFolder folder;
    const std::string png = folder / "a.png";
    const Outcome made = run_program({"-p", "waves", "-o", png, "-m", toy_model(), "--seed", "7"});
    INFO(made.err);
    REQUIRE(made.code == 0);
    const Outcome about = run_program({"inspect", png});
    CHECK(contains(about.out, "waves\nSeed: 7, CFG scale: 2, Size: 24x24"));
    const Outcome same = run_program({"verify", png, "-m", toy_model()});
    CHECK(same.code == 0);
    CHECK(contains(same.out, "the same"));
    const Outcome model = run_program({"inspect", toy_model()});
    CHECK(model.code == 0);
    CHECK(contains(
        model.out,
        "\nsize           24x24; multiples of 4\ndefaults       cfg-scale 2, the prompt is the name or the number of a class\n"));
    CHECK_FALSE(contains(model.out, "sampler"));
    CHECK(run_program({"-p", "waves", "-o", png, "-m", toy_model(), "--steps", "3"}).code == 2);
    const Outcome without = Process({"-p", "waves", "-o", png, "-m", toy_model()}).wait();
    CHECK(without.code == 3);
    CHECK(contains(without.err, "\"ToyCodePipeline\" is not supported (supported: DiTPipeline"));
}

TEST_CASE("a batch that is killed goes on to the same pictures") {
    const TempFolder folder;
    constexpr int prompts = 12, before_kill = 5;
    std::string lines, first_lines;
    for (int i = 0; i < prompts; ++i) {
        lines += R"({"prompt": ")" + std::to_string(i % toy_classes) + R"(", "id": "p)" + std::to_string(i) + R"(", "seed": )" +
                 std::to_string(i) + "}\n";
        if (i + 1 == before_kill) first_lines = lines;
    }
    const std::string file = write_file(folder / "prompts.jsonl", lines);
    const std::string whole = folder / "whole", cut = folder / "cut";
    const Outcome made = run_program({"batch", file, "-o", whole, "-m", toy_model()});
    INFO(made.err);
    REQUIRE(made.code == 0);
    REQUIRE(pictures_in(whole).size() == prompts);
    {
        int ends[2] = {-1, -1};
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);  // it waits for more lines while it is killed
        Process run({"batch", "-", "--input-format", "jsonl", "-o", cut, "-m", toy_model()},
                    {.input = ends[0], .name = "t2i_with_toy"});
        ::close(ends[0]);
        REQUIRE(::write(ends[1], first_lines.data(), first_lines.size()) == static_cast<ssize_t>(first_lines.size()));
        CHECK(run.wait_until([&] { return lines_in(cut + "/journal.jsonl") >= before_kill - 1; }));
        run.signal(SIGKILL);
        CHECK(run.wait().code == 128 + SIGKILL);
        ::close(ends[1]);
    }
    const std::size_t kept = lines_in(cut + "/journal.jsonl");
    CHECK(kept >= before_kill - 1);
    CHECK(kept <= before_kill);
    CHECK(run_program({"batch", file, "-o", cut, "-m", toy_model()}).code == 0);
    CHECK(lines_in(cut + "/journal.jsonl") == prompts);  // none was made twice
    CHECK(pictures_in(cut) == pictures_in(whole));
    CHECK(leftovers_in(cut).empty());
    const std::string manifest = file_text(cut + "/manifest.jsonl");
    CHECK(contains(manifest, R"("cfg_scale":2.0,"width":24)"));
    CHECK_FALSE(contains(manifest, "steps"));
    CHECK_FALSE(contains(manifest, "sampler"));
    CHECK(run_program({"batch", "-o", cut, "--verify"}).code == 0);
    // The manifest is a prompt file that asks for the same pictures.
    std::vector<std::string> pngs{"verify", "-m", toy_model()};
    for (const auto& [name, bytes] : pictures_in(cut)) pngs.push_back(cut + "/" + name);
    CHECK(run_program(pngs).code == 0);
}

}  // namespace t2i::test
