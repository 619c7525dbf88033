#include "app/hints.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "core/nearest.h"

namespace t2i::app {

namespace {

struct Synonym {
    std::string_view theirs, ours;
};
// Flags of stable-diffusion.cpp, diffusers' scripts, AUTOMATIC1111, ComfyUI and InvokeAI, without dashes before them. Where a
// command lacks the first, a later row of the same name counts.
constexpr std::array synonyms{
    Synonym{"batch", "--batch-count"},
    Synonym{"batch-size", "--batch-count"},
    Synonym{"batch-size", "--engine-batch"},
    Synonym{"n-iter", "--batch-count"},
    Synonym{"n-samples", "--batch-count"},
    Synonym{"num-images", "--batch-count"},
    Synonym{"num-images-per-prompt", "--batch-count"},
    Synonym{"count", "--batch-count"},
    Synonym{"guidance", "--cfg-scale"},
    Synonym{"guidance-scale", "--cfg-scale"},
    Synonym{"scale", "--cfg-scale"},
    Synonym{"num-inference-steps", "--steps"},
    Synonym{"sampling-steps", "--steps"},
    Synonym{"sample-steps", "--steps"},
    Synonym{"ddim-steps", "--steps"},
    Synonym{"sampler", "--sampling-method"},
    Synonym{"sampler-name", "--sampling-method"},
    Synonym{"sample-method", "--sampling-method"},
    Synonym{"schedule", "--scheduler"},
    Synonym{"uncond-prompt", "--negative-prompt"},
    Synonym{"neg", "--negative-prompt"},
    Synonym{"text", "--prompt"},
    Synonym{"outdir", "--output"},
    Synonym{"out-dir", "--output"},
    Synonym{"save", "--output"},
    Synonym{"ckpt", "--model"},
    Synonym{"checkpoint", "--model"},
    Synonym{"diffusion-model", "--model"},
    Synonym{"t5xxl", "--text-encoder"},
    Synonym{"t5", "--text-encoder"},
    Synonym{"ae", "--vae"},
    Synonym{"gpu", "--device"},
    Synonym{"precision", "--dtype"},
    Synonym{"type", "--dtype"},
    Synonym{"jobs", "--threads"},
    Synonym{"num-threads", "--threads"},
    Synonym{"silent", "--quiet"},
    Synonym{"extension", "--image-format"},
    Synonym{"resume", "--retry-failed"},
    Synonym{"num-shards", "--shard"},
    Synonym{"format", "--image-format"},
    Synonym{"lossless", "--quality"},
    Synonym{"size", "--width"},
    Synonym{"n", "--batch-count"},
    Synonym{"num", "--batch-count"},
    Synonym{"overwrite", "--remake"},
    Synonym{"force", "--remake"},
    Synonym{"continue", "--retry-failed"},
    Synonym{"skip-existing", "--retry-failed"},
    Synonym{"sep", "--input-format"},
    Synonym{"delimiter", "--input-format"},
    Synonym{"column", "--prompt-column"},
    Synonym{"init-img", "--init-image"},
    Synonym{"image", "--init-image"},
    Synonym{"img2img", "--init-image"},
    Synonym{"mask-image", "--mask"},
    Synonym{"mask-img", "--mask"},
    Synonym{"inpaint", "--mask"},
    Synonym{"denoise", "--strength"},
    Synonym{"denoising-strength", "--strength"},
};

std::vector<std::string> flags_of(const CLI::App& app, bool long_ones) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options())
        for (const auto& name : long_ones ? option->get_lnames() : option->get_snames())
            names.push_back((long_ones ? "--" : "-") + name);
    return names;
}

std::string in_other_case(std::string flag) {
    const auto c = static_cast<unsigned char>(flag.back());
    flag.back() = static_cast<char>(std::isupper(c) ? std::tolower(c) : std::toupper(c));
    return flag;
}

}  // namespace

std::string nearest_flag(const std::string& name, const CLI::App& app) {
    if (name.size() == 2) {
        const auto letters = flags_of(app, false);
        const std::string other = in_other_case(name);
        return std::ranges::find(letters, other) != letters.end() ? other : std::string();
    }
    auto flags = flags_of(app, true);
    const auto has = [&](std::string_view flag) { return std::ranges::find(flags, flag) != flags.end(); };
    std::string bare = name.substr(std::min(name.find_first_not_of('-'), name.size()));
    for (char& c : bare) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (bare.empty()) return {};
    if (has("--" + bare)) return "--" + bare;
    for (const Synonym& synonym : synonyms)
        if (synonym.theirs == bare && has(synonym.ours)) return std::string(synonym.ours);
    std::string longer;
    for (const auto& flag : flags)
        if (flag.starts_with("--" + bare) && (longer.empty() || flag.size() < longer.size())) longer = flag;
    if (!longer.empty()) return longer;
    // Dashes, which all of them have, would make short names alike.
    for (std::string& flag : flags) flag.erase(0, 2);
    const std::string near = nearest_name(bare, flags);
    return near.empty() ? near : "--" + near;
}

}  // namespace t2i::app
