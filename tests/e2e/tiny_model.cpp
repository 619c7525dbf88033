#include "e2e/tiny_model.h"

#include <nlohmann/json.hpp>

namespace t2i::test {

namespace fs = std::filesystem;

namespace {

fs::path write_model(const std::string& name, const nlohmann::json& pipeline) {
    static const TempFolder holder;
    write_pipeline(pipeline, holder.path() / name);
    return holder.path() / name;
}

}  // namespace

const fs::path& tiny_model() {
    static const fs::path path = write_model("tiny-64", read_manifest("pipeline")["cases"].front()["pipeline"]);
    return path;
}

const fs::path& tiny_class_model() {
    static const fs::path path = write_model("dit-64", read_manifest("dit")["pictures"].front()["pipeline"]);
    return path;
}

void copy_tiny_model(const fs::path& to) {
    fs::copy(tiny_model(), to, fs::copy_options::recursive);
}

}  // namespace t2i::test
