// The `parameters` chunk: what is written is read back, and what cannot be read is named.
#include <memory>

#include "pipeline/parameters.h"
#include "support/catch.h"
#include "t2i/version.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

ResolvedRequest a_request(const std::string& scheduler = {}) {
    ResolvedRequest r;
    r.prompt = "a red apple, noto style";
    r.seed = 7;
    r.width = 64;
    r.height = 128;
    r.plan = std::make_shared<GenerationPlan>(
        GenerationPlan{.steps = 20,
                       .cfg_scale = 2.5,
                       .fields = {{.key = "steps", .label = "Steps", .value = std::int64_t{20}},
                                  {.key = "sampler", .label = "Sampler", .value = "dpm++2m"},
                                  {.key = "scheduler", .label = "Schedule type", .value = scheduler},
                                  {.key = "cfg_scale", .label = "CFG scale", .value = 2.5}}});
    return r;
}

}  // namespace

TEST_CASE("parameters: what a plain call of diffusers does comes back where it is on, and stands nowhere else") {
    for (const bool clean : {false, true})
        for (const bool binned : {false, true}) {
            ResolvedRequest r = a_request();
            r.clean_caption = clean;
            r.resolution_binning = binned;
            const std::string text = parameters_text(r, {}, {"0123456789", {}}, 7);
            INFO(text);
            CHECK(contains(text, "Clean caption") == clean);
            CHECK(contains(text, "Resolution binning") == binned);
            const GenerateRequest back = read_parameters(text, "a.png").request;
            CHECK(back.clean_caption.value_or(false) == clean);
            CHECK(back.resolution_binning.value_or(false) == binned);
        }
}

TEST_CASE("parameters: a request comes back from its text") {
    ModelInfo info;
    info.name = "a model, with: a \"comma\"";
    info.device = "cuda:0";
    info.dtype = "bf16";
    info.hardware = "NVIDIA H100 (CUDA 13.0, cuDNN 9.1)";
    struct Case {
        std::string prompt, negative, scheduler;
    };
    for (const Case& c : {Case{"a red apple, noto style", "", ""}, Case{"红苹果", "blurry: yes", "karras"}, Case{"", "", ""},
                          Case{"", "two\nlines", "flow"}, Case{"two\nlines", "", ""}, Case{"a\nNegative prompt: b", "", ""},
                          Case{"a\nNegative prompt: b", "c", ""}, Case{"a", "b\nNegative prompt: c", ""},
                          Case{"Negative prompt: b", "", ""}, Case{"", "b\nNegative prompt: c\nNegative prompt: ", ""},
                          Case{"a\nSteps: 3, Seed: 1", "b\nSeed: 3", ""}, Case{"a\n", "\n", ""}}) {
        ResolvedRequest r = a_request(c.scheduler);
        r.prompt = c.prompt;
        r.negative_prompt = c.negative;
        const std::string text = parameters_text(r, info, {"0123456789", {}}, 18446744073709551615ULL);
        INFO(text);
        const Parameters p = read_parameters(text, "a.png");
        CHECK(p.request.prompt == c.prompt);
        CHECK(p.request.negative_prompt == c.negative);
        CHECK(p.request.scheduler == c.scheduler);
        CHECK(p.request.seed == 18446744073709551615ULL);
        CHECK(p.request.steps == 20);
        CHECK(p.request.cfg_scale == 2.5);
        CHECK(p.request.width == 64);
        CHECK(p.request.height == 128);
        CHECK(p.request.sampler == "dpm++2m");
        CHECK(p.model == info.name);
        CHECK(p.hash == "0123456789");
        CHECK(p.origin.device == "cuda:0");
        CHECK(p.origin.dtype == "bf16");
        CHECK(p.origin.hardware == info.hardware);
        CHECK(p.origin.version.starts_with("t2i "));
        CHECK_FALSE(p.origin.compiler.empty());
        CHECK(differences(p.origin, origin_of(info)).empty());
        CHECK(p.version == T2I_VERSION);
        CHECK(p.other_prompts.empty());
        CHECK(p.vae.empty());
        CHECK_FALSE(p.fast_math);
    }
}

TEST_CASE("parameters: another decoder, formulas, the variant and fast math come back from the text") {
    ModelInfo info;
    info.name = "m";
    info.vae = "a vae, another";
    info.formulas = "diffusers";
    info.variant = "fp16";
    info.fast_math = true;
    const std::string text = parameters_text(a_request(), info, {"0123456789", "abcdef0123"}, 7);
    CHECK(contains(text, ", Model hash: 0123456789, Model: m, VAE hash: abcdef0123, VAE: \"a vae, another\", "));
    CHECK(contains(text, ", Fast math: true"));
    const Parameters p = read_parameters(text, "a.png");
    CHECK(p.vae == info.vae);
    CHECK(p.formulas == info.formulas);
    CHECK(p.variant == info.variant);
    CHECK(p.vae_hash == "abcdef0123");
    CHECK(p.fast_math);
    CHECK_FALSE(contains(parameters_text(a_request(), {}, {"0123456789", {}}, 7), "Fast math"));
}

TEST_CASE("parameters: where a prompt's own line looks like a mark, a field says where it ends, and only there") {
    ResolvedRequest r = a_request();
    CHECK_FALSE(contains(parameters_text(r, {}, {}, 7), "Prompt lines"));
    r.prompt = "a\nNegative prompt: b";
    const std::string text = parameters_text(r, {}, {}, 7);
    CHECK(text.ends_with(", Prompt lines: 2"));
    // AUTOMATIC1111 reads all settings of it: they stand in the last line, which has three fields or more.
    const std::string last = text.substr(text.rfind('\n') + 1);
    CHECK(last.starts_with("Steps: 20, Sampler: dpm++2m, "));
    const auto message = message_of(ErrorCode::input, [&] {
        (void)read_parameters("a\nb\nSteps: 3, Seed: 1, Size: 1x1, Version: t2i 0.2.0, Prompt lines: 1", "a.png");
    });
    CHECK(contains(message, "Prompt lines 1 does not fit"));
    CHECK(read_infotext("a\nb\nSteps: 3, Version: t2i 0.2.0, Prompt lines: 99999999999", "a.png").prompts.prompt == "a\nb");
}

TEST_CASE("parameters: what 0.1.0 left open has several readings") {
    const std::string end = "\nSteps: 3, Seed: 1, Size: 64x64, Version: t2i 0.1.0";
    const auto readings = [&](const std::string& head) {
        const Infotext text = read_infotext(head + end, "a.png");
        std::vector<std::string> all{text.prompts.prompt + "|" + text.prompts.negative_prompt};
        for (const auto& other : text.others) all.push_back(other.prompt + "|" + other.negative_prompt);
        return all;
    };
    CHECK(readings("a") == std::vector<std::string>{"a|"});
    CHECK(readings("a\nNegative prompt: b") == std::vector<std::string>{"a|b", "a\nNegative prompt: b|"});
    CHECK(readings("a\nNegative prompt: b\nNegative prompt: c") ==
          std::vector<std::string>{"a\nNegative prompt: b|c", "a\nNegative prompt: b\nNegative prompt: c|",
                                   "a|b\nNegative prompt: c"});
    std::string many = "a";
    for (int i = 0; i < 100; ++i) many += "\nNegative prompt: b";
    CHECK(readings(many).size() <= 10);
}

TEST_CASE("parameters: of other programs' texts the first negative line counts, as AUTOMATIC1111 reads them") {
    const Infotext text = read_infotext(
        "a\nNegative prompt: b\nNegative prompt: c\nSteps: 20, Sampler: Euler a, Seed: 1, Version: v1.6.0", "a.png");
    CHECK(text.prompts.prompt == "a");
    CHECK(text.prompts.negative_prompt == "b\nNegative prompt: c");
    CHECK(text.others.empty());
    CHECK(text.version().empty());
    CHECK(text.value("Version") == "v1.6.0");
    CHECK(text.value("Model").empty());
}

TEST_CASE("parameters: the line of a diffusion model is what it always was") {
    ModelInfo info;
    info.name = "m";
    const std::string text = parameters_text(a_request("karras"), info, {"0123456789", {}}, 7);
    CHECK(
        text.starts_with("a red apple, noto style\nSteps: 20, Sampler: dpm++2m, Schedule type: karras, CFG scale: 2.5, Seed: 7, "
                         "Size: 64x128, Model hash: 0123456789, Model: m, "));
}

TEST_CASE("parameters: a model without steps has a line of its own settings") {
    ResolvedRequest r = a_request();
    r.prompt = "a cat\nSteps: wash, rinse\nSeed: sown";
    r.plan = std::make_shared<GenerationPlan>(GenerationPlan{
        .fields = {{.key = "cfg_scale", .label = "CFG scale", .value = 3.0}, {.key = "rule", .label = "Rule", .value = "a, b"}}});
    const std::string text = parameters_text(r, {}, {"0123456789", {}}, 7);
    CHECK(contains(text, "\nSeed: 7, CFG scale: 3, Rule: \"a, b\", Size: 64x128, Model hash: 0123456789, "));
    const Parameters p = read_parameters(text, "a.png");
    CHECK(p.request.prompt == r.prompt);
    CHECK(p.request.seed == 7);
    CHECK(p.request.cfg_scale == 3.0);
    CHECK_FALSE(p.request.steps.has_value());
    CHECK(p.request.sampler.empty());
}

TEST_CASE("parameters: what was made otherwise is named") {
    ModelInfo info;
    info.device = "cuda:0";
    info.hardware = "AVX3";
    info.dtype = "f32";
    const Origin here = origin_of(info);
    Origin then = here;
    then.device = "cuda:1";
    CHECK(differences(then, here).empty());
    then.device = "cpu";
    CHECK(differences(then, here) == "device cpu, here cuda");
    then = here;
    then.hardware = "AVX2";
    then.dtype = "bf16";
    CHECK(differences(then, here) == "hardware AVX2, here AVX3; dtype bf16, here f32");
    then = here;
    then.hardware.clear();
    then.version = "t2i 0";
    CHECK(differences(then, here) == "hardware unknown, here AVX3; version t2i 0, here " + here.version);
    then = here;
    then.compiler = "clang 1";
    CHECK(differences(then, here) == "compiler clang 1, here " + here.compiler);
}

TEST_CASE("parameters: other programs' fields are passed over") {
    const Parameters p = read_parameters(
        "cat\nSteps: 20, Sampler: Euler a, Clip skip: 2, Seed: 1, Size: 512x512, Odd: \"a, b\", Model: x", "a.png");
    CHECK(p.request.prompt == "cat");
    CHECK(p.request.sampler == "Euler a");
    CHECK_FALSE(p.request.cfg_scale.has_value());
    CHECK(p.model == "x");
    CHECK(p.hash.empty());
}

TEST_CASE("parameters: what cannot be read is named") {
    struct Case {
        const char *text, *says;
    };
    for (const Case& c :
         {Case{"", "Steps"}, Case{"a cat", "Steps"}, Case{"a\nSteps: x, Seed: 1, Size: 1x1", "Steps \"x\""},
          Case{"a\nSteps: 3, Size: 1x1", "no \"Seed\""}, Case{"a\nSteps: 3, Seed: -1, Size: 1x1", "Seed \"-1\""},
          Case{"a\nSteps: 3, Seed: 1", "no \"Size\""}, Case{"a\nSteps: 3, Seed: 1, Size: 64", "Size"},
          Case{"a\nSteps: 3, Seed: 1, Size: 64x", "Size"}, Case{"a\nSteps: 3, Seed: 1, Size: 64x64px", "Size"},
          Case{"a\nSteps: 99999999999, Seed: 1, Size: 1x1", "Steps"}, Case{"a\nSteps: 3, Model: \"no end, Seed: 1", "no end"},
          Case{"a\nSteps: 3, Seed: 1, Size: 1x1, CFG scale: four", "CFG scale \"four\""}}) {
        const std::string message = message_of(ErrorCode::input, [&] { (void)read_parameters(c.text, "a.png"); });
        INFO(message);
        CHECK(contains(message, "a.png: "));
        CHECK(contains(message, c.says));
        CHECK_FALSE(contains(message, "\n"));
    }
}

}  // namespace t2i::test
