// Whole pictures against diffusers' PixArt and DiT pipelines, from prompt or class to 8-bit pixels
// (scripts/golden/pipeline.py, scripts/golden/dit.py).
#include <set>

#include "core/json_options.h"
#include "models/golden_picture.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/place.h"

namespace t2i::test {
TEST_CASE("Pipelines draw the pictures of diffusers") {
    const auto manifest = read_manifest("pipeline");
    const auto results = read_results("pipeline");
    for (const auto& c : manifest.at("cases"))
        for (const char* device : {"ref", "cpu"}) {
            const TempFolder folder;
            write_pipeline(c.at("pipeline"), folder.path());
            check_picture("Pipeline", c, *results, {.model = folder.path().string(), .device = device});
        }
}

TEST_CASE("A plain call of diffusers, with cleaned captions and binned sizes") {
    const auto manifest = read_manifest("binning");
    const auto results = read_results("binning");
    const TempFolder folder;
    write_pipeline(manifest.at("pipeline"), folder.path());
    for (const auto& c : manifest.at("cases"))
        for (const char* device : {"cpu", "emulated"})
            check_picture("Plain call", c, *results, {.model = folder.path().string(), .device = device});
}

TEST_CASE("Pipelines draw the latents of diffusers with every scheduler") {
    const auto manifest = read_manifest("pipeline");
    const auto results = read_results("pipeline");
    const auto& c = manifest.at("cases").at(0);
    const TempFolder folder;
    write_pipeline(c.at("pipeline"), folder.path());
    for (const auto& row : manifest.at("schedulers")) {
        const auto name = row.at("name").get<std::string>();
        const std::string config = row.at("scheduler").get<std::string>(), index = folder / "model_index.json";
        write_file(folder / "scheduler/scheduler_config.json", config);
        auto components = nlohmann::json::parse(file_text(index));  // whose class counts
        components["scheduler"][1] = JsonOptions::parse(config, "config").text("_class_name", {});
        write_file(index, components.dump());
        GenerateRequest request = request_of(c);
        request.steps = row.at("steps").get<int>();
        request.sampler = row.at("sampler").get<std::string>();
        for (const std::string device : {"cpu", "emulated"}) {
            // A GPU goes other ways where a step limits, saves, looks far back or reads old noise.
            static const std::set<std::string> on_gpu{"dpm2m thresholded", "ddim clipped", "sa_solver", "pndm"};
            if (device == "emulated" && !on_gpu.contains(name)) continue;
            INFO(name << " on " << device);
            const TensorView expected = results->tensor(name + ".latents");
            const Tensor ours = latents_of({.model = folder.path().string(), .device = device}, request, expected.shape);
            check_parity("Pipeline, latents by scheduler", name + " f32 " + device, relative_error(ours, expected), 1e-4);
        }
    }
}

TEST_CASE("Class-conditional pipelines draw the pictures of diffusers") {
    const auto manifest = read_manifest("dit");
    const auto results = read_results("dit");
    for (const auto& c : manifest.at("pictures")) {
        const TempFolder folder;
        write_pipeline(c.at("pipeline"), folder.path());
        for (const char* device : {"ref", "cpu", "emulated"})
            check_picture("Class-conditional pipeline", c, *results, {.model = folder.path().string(), .device = device});
    }
}

TEST_CASE("The bundled model draws what it draws in diffusers") {
    const auto manifest = read_manifest("bundled");
    const auto results = read_results("bundled");
    for (const auto& c : manifest.at("cases"))
        check_picture("Bundled model", c, *results,
                      {.model = (source_folder() / "assets/sticker-256").string(), .device = "cpu"});
}

}  // namespace t2i::test
