// The C API as a program uses it, and as one should not.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "t2i/pipeline.h"
#include "t2i/t2i.h"

namespace t2i::test {
namespace {

struct Freed {
    void operator()(t2i_pipeline* p) const { t2i_pipeline_free(p); }
    void operator()(t2i_error* e) const { t2i_error_free(e); }
    void operator()(t2i_list* l) const { t2i_list_free(l); }
    void operator()(t2i_stop* s) const { t2i_stop_free(s); }
};
using PipelineHandle = std::unique_ptr<t2i_pipeline, Freed>;
using ErrorHandle = std::unique_ptr<t2i_error, Freed>;
using ListHandle = std::unique_ptr<t2i_list, Freed>;
using StopHandle = std::unique_ptr<t2i_stop, Freed>;

// What a call that returns `category` said about it; checks that both agree.
template <typename Call>
ErrorHandle error_of(t2i_category category, Call&& call) {
    t2i_error* error = nullptr;
    CHECK(call(&error) == category);
    CHECK(t2i_error_category(error) == category);
    return ErrorHandle(error);
}

PipelineHandle load_tiny() {
    static const std::string model = tiny_model().string();
    t2i_options options = T2I_OPTIONS_INIT;
    options.model = model.c_str();
    options.device = "cpu";
    options.threads = 1;
    t2i_pipeline* pipeline = nullptr;
    const ErrorHandle error = error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_load(&options, &pipeline, e); });
    INFO(t2i_error_text(error.get()));
    REQUIRE(pipeline);
    return PipelineHandle(pipeline);
}

t2i_request small_request() {
    t2i_request request = T2I_REQUEST_INIT;
    request.prompt = "a red apple";
    request.steps = 2;
    return request;
}

struct Seen {
    std::vector<std::vector<std::uint8_t>> pictures;
    std::vector<std::string> parameters;
    std::vector<std::int32_t> steps;
    std::vector<std::string> lines;
    int stop_after_pictures = -1, stop_after_steps = -1;
};

t2i_callbacks callbacks_into(Seen& seen) {
    t2i_callbacks callbacks = T2I_CALLBACKS_INIT;
    callbacks.user = &seen;
    callbacks.image = [](void* user, const t2i_image* image) {
        auto& s = *static_cast<Seen*>(user);
        CHECK(image->index == static_cast<std::int32_t>(s.pictures.size()));
        s.pictures.emplace_back(image->rgb, image->rgb + std::size_t{3} * static_cast<std::size_t>(image->width) *
                                                             static_cast<std::size_t>(image->height));
        s.parameters.emplace_back(image->parameters);
        return static_cast<int>(s.pictures.size()) == s.stop_after_pictures ? 1 : 0;
    };
    callbacks.progress = [](void* user, const t2i_progress* progress) {
        auto& s = *static_cast<Seen*>(user);
        s.steps.push_back(progress->step);
        return static_cast<int>(s.steps.size()) == s.stop_after_steps ? 1 : 0;
    };
    callbacks.log = [](void* user, t2i_log_level, const char* line) { static_cast<Seen*>(user)->lines.emplace_back(line); };
    return callbacks;
}

}  // namespace

TEST_CASE("C API: the version of the headers is the library's") {
    CHECK(std::string(t2i_version()) == T2I_VERSION);
    CHECK(std::string(T2I_VERSION) ==
          std::to_string(T2I_VERSION_MAJOR) + "." + std::to_string(T2I_VERSION_MINOR) + "." + std::to_string(T2I_VERSION_PATCH));
}

TEST_CASE("C API: what a plain call of diffusers does is asked for by flags") {
    const PipelineHandle pipeline = load_tiny();
    t2i_request request = small_request();
    request.clean_caption = 1;
    Seen seen;
    const t2i_callbacks callbacks = callbacks_into(seen);
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, &callbacks, e); });
    REQUIRE(seen.parameters.size() == 1);
    CHECK(seen.parameters[0].find("Clean caption: true") != std::string::npos);
    request.resolution_binning = 1;
    const auto refused = [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, &callbacks, e); };
    CHECK(std::string(t2i_error_field(error_of(T2I_INVALID_ARGUMENT, refused).get())) == "resolution_binning");
}

TEST_CASE("C API: a picture begins with pixels that are handed over, and a mask of another size is refused") {
    const TempFolder folder;
    write_pipeline(read_manifest("init_images")["pipeline"], folder.path());
    const std::string model = folder.path().string();
    t2i_options options = T2I_OPTIONS_INIT;
    options.model = model.c_str();
    options.device = "cpu";
    options.threads = 1;
    t2i_pipeline* loaded = nullptr;
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_load(&options, &loaded, e); });
    const PipelineHandle pipeline(loaded);
    auto picture = std::make_shared<Image>();
    picture->width = picture->height = 64;
    for (int i = 0; i < 64 * 64 * 3; ++i) picture->rgb.push_back(static_cast<std::uint8_t>(i * 7 / 64));
    t2i_request request = small_request();
    request.init_rgb = picture->rgb.data();
    request.init_width = request.init_height = 64;
    request.strength = 0.5;
    Seen seen;
    const t2i_callbacks callbacks = callbacks_into(seen);
    const auto generate = [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, &callbacks, e); };
    error_of(T2I_OK, generate);
    REQUIRE(seen.pictures.size() == 1);
    GenerateRequest same;
    same.prompt = "a red apple";
    same.steps = 2;
    same.init_image.pixels = picture;
    same.strength = 0.5;
    const Image image = Pipeline::load({.model = model, .device = "cpu", .threads = 1}).generate(same).front();
    CHECK(seen.pictures[0] == image.rgb);
    CHECK(seen.parameters[0] == image.parameters);
    request.mask_rgb = picture->rgb.data();
    request.mask_width = 32;
    request.mask_height = 64;
    CHECK(std::string(t2i_error_field(error_of(T2I_INVALID_ARGUMENT, generate).get())) == "mask");
    request.mask_height = 0;
    CHECK(std::string(t2i_error_field(error_of(T2I_INVALID_ARGUMENT, generate).get())) == "mask");
    request.mask_rgb = nullptr;
    request.init_rgb = nullptr;  // sizes alone say nothing, and a strength says nothing without a picture
    CHECK(std::string(t2i_error_field(error_of(T2I_INVALID_ARGUMENT, generate).get())) == "strength");
    request.strength = -1;
    seen = {};
    error_of(T2I_OK, generate);
}

TEST_CASE("C API: pictures are those of the C++ API, with progress, and a PNG holds their parameters") {
    const PipelineHandle pipeline = load_tiny();
    t2i_request request = small_request();
    request.count = 2;
    Seen seen;
    const t2i_callbacks callbacks = callbacks_into(seen);
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, &callbacks, e); });
    REQUIRE(seen.pictures.size() == 2);
    CHECK(seen.steps.size() >= 2);
    GenerateRequest same;
    same.prompt = "a red apple";
    same.steps = 2;
    same.count = 2;
    const auto images = Pipeline::load({.model = tiny_model().string(), .device = "cpu", .threads = 1}).generate(same);
    REQUIRE(images.size() == 2);
    t2i_model_info info{};
    info.size = sizeof info;
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_info(pipeline.get(), &info, e); });
    CHECK(std::string(info.device) == "cpu");
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(seen.pictures[i] == images[i].rgb);
        CHECK(seen.parameters[i] == images[i].parameters);
        uint8_t* bytes = nullptr;
        size_t size = 0;
        error_of(T2I_OK, [&](t2i_error** e) {
            return t2i_png_encode(info.width, info.height, seen.pictures[i].data(), seen.parameters[i].c_str(), &bytes, &size, e);
        });
        t2i_list* list = nullptr;
        error_of(T2I_OK, [&](t2i_error** e) { return t2i_png_read_text(bytes, size, &list, e); });
        const ListHandle texts(list);
        REQUIRE(t2i_list_size(list) == 1);
        CHECK(std::string(t2i_list_name(list, 0)) == "parameters");
        CHECK(t2i_list_text(list, 0) == seen.parameters[i]);
        CHECK(t2i_list_name(list, 1) == nullptr);
        t2i_free(bytes);
    }
}

TEST_CASE("C API: picture files of every format hold their parameters, and what a format lacks is refused") {
    const std::vector<std::uint8_t> rgb(16 * 8 * 3, 100);
    uint8_t* bytes = nullptr;
    size_t size = 0;
    const auto encode = [&](const char* format, int quality, t2i_error** e) {
        return t2i_picture_encode(format, quality, 16, 8, rgb.data(), "红苹果\nSteps: 1", &bytes, &size, e);
    };
    for (const auto& [format, quality] :
         {std::pair{"png", 0}, {"png", T2I_LOSSLESS}, {"jpg", 0}, {"jpg", 75}, {"webp", 100}, {"webp", T2I_LOSSLESS}}) {
        INFO(format << " " << quality);
        error_of(T2I_OK, [&, f = format, q = quality](t2i_error** e) { return encode(f, q, e); });
        char* text = nullptr;
        error_of(T2I_OK, [&](t2i_error** e) { return t2i_picture_read_parameters(bytes, size, &text, e); });
        CHECK(std::string(text) == "红苹果\nSteps: 1");
        t2i_free(text);
        t2i_free(bytes);
    }
    const auto refused = [&](const char* field, const char* format, int quality) {
        const ErrorHandle error = error_of(T2I_INVALID_ARGUMENT, [&](t2i_error** e) { return encode(format, quality, e); });
        CHECK(std::string(t2i_error_field(error.get())) == field);
        CHECK(bytes == nullptr);
    };
    refused("format", "bmp", 0);
    refused("format", nullptr, 0);
    refused("quality", "png", 50);
    refused("quality", "jpg", T2I_LOSSLESS);
    refused("quality", "webp", 101);
    refused("quality", "webp", -2);
    char* text = nullptr;
    error_of(T2I_INPUT, [&](t2i_error** e) { return t2i_picture_read_parameters(rgb.data(), rgb.size(), &text, e); });
    CHECK(text == nullptr);
}

TEST_CASE("C API: an error names its category, the field or the file, and a message") {
    const PipelineHandle pipeline = load_tiny();
    t2i_request request = small_request();
    request.steps = 1001;
    const ErrorHandle range = error_of(
        T2I_INVALID_ARGUMENT, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, nullptr, e); });
    CHECK(std::string(t2i_error_field(range.get())) == "steps");
    CHECK(std::string(t2i_error_file(range.get())).empty());
    CHECK(std::string(t2i_error_message(range.get())) == "1001 is out of range [1, 1000]");
    CHECK(std::string(t2i_error_text(range.get())) == "steps: 1001 is out of range [1, 1000]");
    CHECK(t2i_pipeline_generate(pipeline.get(), &request, nullptr, nullptr) == T2I_INVALID_ARGUMENT);

    t2i_options options = T2I_OPTIONS_INIT;
    options.model = "/nowhere/model";
    t2i_pipeline* none = nullptr;
    const ErrorHandle missing = error_of(T2I_INPUT, [&](t2i_error** e) { return t2i_pipeline_load(&options, &none, e); });
    CHECK(none == nullptr);
    CHECK(std::string(t2i_error_file(missing.get())) == "/nowhere/model");
    CHECK(std::string(t2i_error_field(missing.get())).empty());
    options.threads = -1;
    const ErrorHandle threads =
        error_of(T2I_INVALID_ARGUMENT, [&](t2i_error** e) { return t2i_pipeline_load(&options, &none, e); });
    CHECK(std::string(t2i_error_field(threads.get())) == "threads");
    static const std::string model = tiny_model().string();
    for (const auto& [field, category, value] :
         {std::tuple{&t2i_options::base, T2I_INPUT, "base"}, std::tuple{&t2i_options::transformer, T2I_INPUT, "transformer"},
          std::tuple{&t2i_options::text_encoder, T2I_INPUT, "text_encoder"},
          std::tuple{&t2i_options::tokenizer, T2I_INPUT, "tokenizer"},
          std::tuple{&t2i_options::formulas, T2I_INVALID_ARGUMENT, "formulas"}}) {
        t2i_options parts = T2I_OPTIONS_INIT;
        parts.model = model.c_str();
        parts.device = "cpu";
        parts.*field = "/nowhere/part";
        const ErrorHandle part = error_of(category, [&](t2i_error** e) { return t2i_pipeline_load(&parts, &none, e); });
        INFO(t2i_error_text(part.get()));
        const bool is_folder = std::string(value) == "base";
        CHECK(std::string(is_folder ? t2i_error_file(part.get()) : t2i_error_field(part.get())) ==
              (is_folder ? "/nowhere/part" : value));
    }
    request = small_request();
    request.prompt = "\xff";
    const ErrorHandle utf8 =
        error_of(T2I_INPUT, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, nullptr, e); });
    CHECK(std::string(t2i_error_field(utf8.get())) == "prompt");
}

TEST_CASE("C API: NULL is refused where something must be there, and harmless elsewhere") {
    const PipelineHandle pipeline = load_tiny();
    const t2i_request request = small_request();
    t2i_list* list = nullptr;
    uint8_t* bytes = nullptr;
    size_t size = 0;
    const std::uint8_t pixel[3]{};
    const auto refused = [](const char* argument, auto call) {
        INFO(argument);
        const ErrorHandle error = error_of(T2I_INVALID_ARGUMENT, call);
        CHECK(std::string(t2i_error_field(error.get())) == argument);
    };
    refused("pipeline", [&](t2i_error** e) { return t2i_pipeline_load(nullptr, nullptr, e); });
    refused("pipeline", [&](t2i_error** e) { return t2i_pipeline_generate(nullptr, &request, nullptr, e); });
    refused("request", [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), nullptr, nullptr, e); });
    refused("info", [&](t2i_error** e) { return t2i_pipeline_info(pipeline.get(), nullptr, e); });
    refused("pipeline", [&](t2i_error** e) { return t2i_pipeline_vocabulary(nullptr, &list, e); });
    refused("pipeline", [&](t2i_error** e) { return t2i_pipeline_unknown_words(nullptr, "x", &list, e); });
    refused("prompt", [&](t2i_error** e) { return t2i_pipeline_unknown_words(pipeline.get(), nullptr, &list, e); });
    refused("list", [&](t2i_error** e) { return t2i_list_devices(nullptr, e); });
    refused("rgb", [&](t2i_error** e) { return t2i_png_encode(1, 1, nullptr, nullptr, &bytes, &size, e); });
    refused("width", [&](t2i_error** e) { return t2i_png_encode(0, 1, pixel, nullptr, &bytes, &size, e); });
    refused("bytes", [&](t2i_error** e) { return t2i_png_read_text(nullptr, 0, &list, e); });
    t2i_pipeline_free(nullptr);
    t2i_error_free(nullptr);
    t2i_list_free(nullptr);
    t2i_stop_free(nullptr);
    t2i_stop_request(nullptr);
    t2i_free(nullptr);
    t2i_options_init(nullptr, 0);
    CHECK(t2i_error_category(nullptr) == T2I_OK);
    CHECK(std::string(t2i_error_text(nullptr)).empty());
    CHECK(t2i_list_size(nullptr) == 0);
    CHECK(t2i_list_name(nullptr, 0) == nullptr);
}

TEST_CASE("C API: options of the first version are taken, and a variant is a field of later ones") {
    const std::string model = tiny_model().string();
    t2i_options options = T2I_OPTIONS_INIT;
    options.model = model.c_str();
    options.device = "cpu";
    options.variant = "fp16";
    t2i_pipeline* pipeline = nullptr;
    const ErrorHandle error = error_of(T2I_INPUT, [&](t2i_error** e) { return t2i_pipeline_load(&options, &pipeline, e); });
    CHECK(std::string(t2i_error_field(error.get())) == "variant");
    options.size = offsetof(t2i_options, log_user) + sizeof(void*);  // what lies behind is not read
    const ErrorHandle none = error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_load(&options, &pipeline, e); });
    t2i_pipeline_free(pipeline);
    t2i_options_init(&options, sizeof options);
    CHECK(options.variant == nullptr);
}

TEST_CASE("C API: a struct of a newer program is taken as long as what it adds is not used") {
    const PipelineHandle pipeline = load_tiny();
    struct Newer {
        t2i_request request;
        std::int64_t added;
    } newer;
    std::memset(&newer, 0xAB, sizeof newer);
    t2i_request_init(&newer.request, sizeof newer);
    CHECK(newer.request.size == sizeof newer);
    CHECK(newer.request.seed == 42);
    CHECK(newer.request.count == 1);
    CHECK(newer.added == 0);
    newer.request.prompt = "a red apple";
    newer.request.steps = 2;
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &newer.request, nullptr, e); });
    newer.added = 1;
    const ErrorHandle unknown = error_of(
        T2I_INVALID_ARGUMENT, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &newer.request, nullptr, e); });
    CHECK(std::string(t2i_error_field(unknown.get())) == "size");

    t2i_request unset{};  // nobody set its size
    const ErrorHandle small =
        error_of(T2I_INVALID_ARGUMENT, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &unset, nullptr, e); });
    CHECK(std::string(t2i_error_field(small.get())) == "size");

    struct {
        std::size_t size;
        const char* name;
        std::uint64_t canary;
    } older{offsetof(decltype(older), canary), nullptr, 0x1234};
    error_of(T2I_OK,
             [&](t2i_error** e) { return t2i_pipeline_info(pipeline.get(), reinterpret_cast<t2i_model_info*>(&older), e); });
    CHECK(older.name != nullptr);
    CHECK(older.canary == 0x1234);
}

TEST_CASE("C API: a callback's nonzero result stops the request, and what a C++ one throws does not get through") {
    const PipelineHandle pipeline = load_tiny();
    t2i_request request = small_request();
    request.count = 3;
    Seen first;
    first.stop_after_pictures = 1;
    t2i_callbacks callbacks = callbacks_into(first);
    const auto generate = [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, &callbacks, e); };
    error_of(T2I_CANCELLED, generate);
    CHECK(first.pictures.size() == 1);
    Seen steps;
    steps.stop_after_steps = 1;
    callbacks = callbacks_into(steps);
    error_of(T2I_CANCELLED, generate);
    CHECK(steps.steps.size() == 1);
    Seen thrown;
    callbacks = callbacks_into(thrown);
    callbacks.image = [](void*, const t2i_image*) -> int { throw std::runtime_error("a listener's fault"); };
    const ErrorHandle error = error_of(T2I_INTERNAL, generate);
    CHECK(std::string(t2i_error_message(error.get())) == "a listener's fault");
    Seen again;
    callbacks = callbacks_into(again);
    error_of(T2I_OK, generate);  // the pipeline is as good as before
    CHECK(again.pictures.size() == 3);
}

TEST_CASE("C API: a request is stopped from another thread") {
    const PipelineHandle pipeline = load_tiny();
    t2i_request request = small_request();
    request.count = 100'000;
    Seen seen;
    t2i_callbacks callbacks = callbacks_into(seen);
    const StopHandle stop(t2i_stop_new());
    callbacks.stop = stop.get();
    struct Watch {
        std::atomic<bool> began{false};
    } watch;
    callbacks.user = &watch;
    callbacks.image = nullptr;
    callbacks.log = nullptr;
    callbacks.progress = [](void* user, const t2i_progress*) {
        static_cast<Watch*>(user)->began = true;
        static_cast<Watch*>(user)->began.notify_all();
        return 0;
    };
    std::thread other([&] {
        watch.began.wait(false);
        t2i_stop_request(stop.get());
    });
    error_of(T2I_CANCELLED, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, &callbacks, e); });
    other.join();
    watch.began = false;
    // Asked before it begins.
    error_of(T2I_CANCELLED, [&](t2i_error** e) { return t2i_pipeline_generate(pipeline.get(), &request, &callbacks, e); });
}

TEST_CASE("C API: several threads use one pipeline, and one of them stops") {
    const PipelineHandle pipeline = load_tiny();
    constexpr int threads = 4;
    std::vector<Seen> seen(threads);
    std::vector<t2i_category> results(threads);
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i)
        running.emplace_back([&, i] {
            const auto at = static_cast<std::size_t>(i);
            t2i_request request = small_request();
            request.seed = static_cast<std::uint64_t>(i);
            request.count = 2;
            if (i == 0) seen[at].stop_after_pictures = 1;
            const t2i_callbacks callbacks = callbacks_into(seen[at]);
            results[at] = t2i_pipeline_generate(pipeline.get(), &request, &callbacks, nullptr);
        });
    for (auto& thread : running) thread.join();
    CHECK(results[0] == T2I_CANCELLED);
    for (std::size_t i = 1; i < threads; ++i) {
        CHECK(results[i] == T2I_OK);
        REQUIRE(seen[i].pictures.size() == 2);
        if (i > 1) CHECK(seen[i].pictures[0] == seen[i - 1].pictures[1]);  // both of seed i
    }
}

TEST_CASE("C API: devices, samplers and a model's vocabulary are lists") {
    t2i_list* list = nullptr;
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_list_devices(&list, e); });
    const ListHandle devices(list);
    const auto names = [](const t2i_list* l) {
        std::vector<std::string> all;
        for (size_t i = 0; i < t2i_list_size(l); ++i) all.emplace_back(t2i_list_name(l, i));
        return all;
    };
    const auto has = [&](const t2i_list* l, const char* name) {
        const auto all = names(l);
        return std::find(all.begin(), all.end(), name) != all.end();
    };
    CHECK(has(devices.get(), "cpu"));
    CHECK(has(devices.get(), "ref"));
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_list_samplers(&list, e); });
    const ListHandle samplers(list);
    CHECK(has(samplers.get(), "ddim"));
    CHECK(std::string(t2i_list_text(samplers.get(), 0)) != "");

    t2i_options options = T2I_OPTIONS_INIT;  // the bundled model
    options.device = "cpu";
    t2i_pipeline* loaded = nullptr;
    const ErrorHandle error = error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_load(&options, &loaded, e); });
    INFO(t2i_error_text(error.get()));
    const PipelineHandle bundled(loaded);
    error_of(T2I_OK, [&](t2i_error** e) { return t2i_pipeline_vocabulary(bundled.get(), &list, e); });
    const ListHandle vocabulary(list);
    CHECK(t2i_list_size(list) > 10);

    error_of(T2I_OK,
             [&](t2i_error** e) { return t2i_pipeline_unknown_words(bundled.get(), "a kitten, a cat, medieval", &list, e); });
    const ListHandle words(list);
    REQUIRE(t2i_list_size(list) == 3);
    CHECK(std::string(t2i_list_name(list, 0)) == "kitten");
    CHECK(std::string(t2i_list_text(list, 0)) == "cat");
    CHECK(std::string(t2i_list_text(list, 1)) == "cat face");
    CHECK(std::string(t2i_list_name(list, 2)) == "medieval");
    CHECK(std::string(t2i_list_text(list, 2)).empty());
    error_of(T2I_INPUT, [&](t2i_error** e) { return t2i_pipeline_unknown_words(bundled.get(), "\xff", &list, e); });
}

}  // namespace t2i::test
