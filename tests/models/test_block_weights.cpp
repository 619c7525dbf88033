// The bundled model with its text encoder in 8-bit blocks, against itself: what a picture loses by that.
#include <cmath>

#include "generators/convert_model.h"
#include "models/golden_picture.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/place.h"

namespace t2i::test {
namespace {

double cosine(const TensorView& a, const TensorView& b) {
    const auto x = a.as<float>(), y = b.as<float>();
    double both = 0, first = 0, second = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        both += double{x[i]} * y[i];
        first += double{x[i]} * x[i];
        second += double{y[i]} * y[i];
    }
    return both / std::sqrt(first * second);
}

}  // namespace

TEST_CASE("A text encoder in 8-bit blocks leaves a picture's latents where they were") {
    const std::string model = (source_folder() / "assets/sticker-256").string();
    const TempFolder folder;
    const auto packed = [&](const std::string& part) {
        const std::string file = folder / (part + ".gguf");
        convert_model({.input = model + "/" + part, .output = file, .type = DType::q8_0});
        return file;
    };
    const std::string text = packed("text_encoder");
    struct Configuration {
        const char* name;
        GenerateRequest request;
    };
    const Configuration configurations[] = {
        {"English", {.prompt = "a red apple", .steps = 20, .seed = 1}},
        {"Chinese", {.prompt = "\xe7\xba\xa2\xe8\x8b\xb9\xe6\x9e\x9c", .steps = 20, .seed = 2}},
        {"a style, strong guidance", {.prompt = "a cat, noto style", .steps = 20, .cfg_scale = 4.0, .seed = 3}},
        {"a negative prompt, 50 steps", {.prompt = "a dog", .negative_prompt = "blue background", .steps = 50, .seed = 4}},
    };
    for (const char* dtype : {"f32", "bf16"})
        for (const Configuration& c : configurations) {
            if (dtype == std::string("bf16") && backends_with(DType::bf16).size() < 2) continue;
            INFO(c.name << " in " << dtype);
            const Shape shape{4, 32, 32};
            const Tensor whole = latents_of({.model = model, .device = "cpu", .dtype = dtype}, c.request, shape);
            const Tensor blocks =
                latents_of({.model = model, .device = "cpu", .dtype = dtype, .text_encoder = text}, c.request, shape);
            const double similar = cosine(blocks, whole);
            CHECK(similar < 1);  // they are in use
            check_parity("8-bit blocks, 1 - cosine of the latents", std::string(c.name) + " " + dtype, 1 - similar, 1e-3);
        }
}

}  // namespace t2i::test
