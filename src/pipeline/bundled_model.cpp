// What comes with the library, and what it offers to choose from.
#include <cstdlib>
#include <filesystem>

#include "backend/registry.h"
#include "core/own_folders.h"
#include "sampling/sampler.h"
#include "t2i/error.h"
#include "t2i/pipeline.h"

namespace t2i {

namespace fs = std::filesystem;

std::string bundled_model() {
    if (const char* told = std::getenv("T2I_MODEL"); told && *told) return told;
    std::string looked;
    for (const fs::path& folder : own_folders())
        for (const char* from_there : {"../assets/sticker-256", "../share/t2i/sticker-256", "../../share/t2i/sticker-256"}) {
            const fs::path place = (folder / from_there).lexically_normal();
            std::error_code ec;
            if (fs::exists(place / "model_index.json", ec)) return place.string();
            looked += (looked.empty() ? "" : ", ") + place.string();
        }
    throw Error(ErrorCode::input, "no bundled model (looked for " + looked + "); name one, here or in $T2I_MODEL",
                Field{"model"});
}

std::vector<Choice> list_devices() {
    std::vector<Choice> all;
    for (auto& [name, description] : backend_choices()) all.push_back({std::move(name), std::move(description)});
    return all;
}

std::vector<Choice> list_samplers() {
    std::vector<Choice> all;
    for (const SamplerRow& row : samplers()) all.push_back({row.name, row.description});
    return all;
}

}  // namespace t2i
