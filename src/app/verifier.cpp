#include "app/verifier.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "backend/registry.h"
#include "core/files.h"
#include "core/nearest.h"
#include "pipeline/picture_read.h"
#include "pipeline/pipeline_access.h"
#include "t2i/error.h"

namespace t2i::app {

namespace {

constexpr const char* old_version = "0.1.0";

// The largest difference of a value, and how many differ.
void measure(const Image& a, const Image& b, Verdict& v) {
    v.levels = 0;
    v.values = 0;
    v.of = static_cast<std::int64_t>(a.rgb.size());
    for (std::size_t i = 0; i < a.rgb.size(); ++i) {
        const int levels = std::abs(int{a.rgb[i]} - int{b.rgb[i]});
        v.levels = std::max(v.levels, levels);
        v.values += levels > 0 ? 1 : 0;
    }
}

std::string named(const std::string& name, const std::string& hash) {
    return in_quotes(name) + " (hash " + (hash.empty() ? "unknown" : hash) + ")";
}

// What is wrong, for a line that names the picture: another file that it is about is named, too.
std::string about(const Error& error, const std::string& file) {
    return error.where() == file ? error.message() : error.what();
}

std::string kind_of(const std::string& device) {
    return device.substr(0, device.find(':'));
}

}  // namespace

Verifier::Verifier(VerifyOptions options)
    : options_(std::move(options)),
      devices_(backend_names()),
      folder_(read_model_folder(options_.model.model.empty() ? bundled_model() : options_.model.model)) {
    if (!options_.model.vae.empty()) decoder_hash_ = hash_decoder(folder_, options_.model.vae);
}

Parameters Verifier::read(const std::string& file) const {
    const PictureInfo info = read_picture_info(read_file(file, longest_picture_file), file);
    const std::string* text = info.parameters();
    if (!text) throw Error(ErrorCode::input, "has no parameters, so nothing says how it was made", file);
    const Infotext found = read_infotext(*text, file);
    if (found.version().empty()) {
        const std::string& by = found.value("Version");
        throw Error(ErrorCode::input,
                    "was not made by t2i but by another program" + (by.empty() ? "" : " (" + in_quotes(by) + ")") +
                        ", whose pictures t2i cannot make again to the bit",
                    file);
    }
    Parameters p = read_parameters(*text, file);
    if (!info.lossless)
        throw Error(ErrorCode::input,
                    "is not lossless, so its pixels are not those that were drawn; only PNG and lossless WebP can be compared",
                    file);
    return p;
}

Verifier::Needs Verifier::needs_of(const Parameters& p) const {
    Needs needs;
    const std::string kind = kind_of(p.origin.device);
    needs.device = options_.device_given || std::ranges::find(devices_, kind) == devices_.end() ? options_.model.device : kind;
    needs.dtype = options_.dtype_given || p.origin.dtype.empty() ? options_.model.dtype : p.origin.dtype;
    needs.fast_math = options_.model.fast_math || p.fast_math;
    // 0.1.0 did not write down whether there was another decoder: whoever names one knows.
    needs.other_decoder = p.version == old_version ? !options_.model.vae.empty() : !p.vae_hash.empty();
    return needs;
}

void Verifier::check_decoder(const Parameters& p) const {
    if (p.vae_hash.empty()) return;
    const std::string wanted = "was made with another decoder than the model's, " + named(p.vae, p.vae_hash);
    if (options_.model.vae.empty()) throw Error(ErrorCode::input, wanted + "; --vae names it");
    if (decoder_hash_ == p.vae_hash) return;
    throw Error(ErrorCode::input,
                wanted + "; --vae names " + named(std::filesystem::path(options_.model.vae).filename().string(), decoder_hash_));
}

const ModelHashes& Verifier::hashes(bool other_decoder) {
    if (const auto known = hashes_.find(other_decoder); known != hashes_.end()) return known->second;
    return hashes_[other_decoder] = hash_model(folder_, other_decoder ? options_.model.vae : std::string());
}

void Verifier::check_model(const Item& item, const Needs& needs) {
    const Parameters& p = item.parameters;
    const bool is_old = p.version == old_version;
    if (is_old && !hash_0_1_) hash_0_1_ = hash_weights_0_1(folder_.path);
    const std::string& here = is_old ? *hash_0_1_ : hashes(needs.other_decoder).model;
    if (p.hash == here) return;
    throw Error(ErrorCode::input,
                "was made by " + named(p.model, p.hash) + ", this is " + named(folder_.name, here) + "; --model names another");
}

void Verifier::check(std::span<const std::string> files, const std::function<void(const Verdict&)>& verdict) {
    std::map<Needs, std::vector<Item>> groups;
    const auto unchecked = [&](const std::string& file, const std::string& why) {
        verdict({.file = file, .why = why, .runs_on = {}});
    };
    for (const auto& file : files) {
        try {
            Item item{file, read(file)};
            check_decoder(item.parameters);
            const Needs needs = needs_of(item.parameters);
            check_model(item, needs);
            groups[needs].push_back(std::move(item));
        } catch (const Error& error) {
            unchecked(file, about(error, file));
        }
    }
    for (const auto& [needs, items] : groups) check_group(needs, items, verdict);
}

void Verifier::check_group(const Needs& needs, std::span<const Item> items, const std::function<void(const Verdict&)>& verdict) {
    PipelineOptions options = options_.model;
    options.device = needs.device;
    options.dtype = needs.dtype;
    options.fast_math = needs.fast_math;
    if (!needs.other_decoder) options.vae.clear();
    std::optional<Pipeline> pipeline;
    std::string problem;
    try {
        // Hashed already, unless all of the group is 0.1.0's; nobody asks then.
        const auto known = hashes_.find(needs.other_decoder);
        pipeline = PipelineAccess::load(
            options, {.hash = [hashes = known == hashes_.end() ? ModelHashes{} : known->second] { return hashes; }});
    } catch (const Error& error) {
        if (error.field() != "dtype" || options_.dtype_given) throw;
        problem = "was made on " + items.front().parameters.origin.device + " with dtype " + needs.dtype +
                  ", which is not to be had here: " + error.message();
    }
    for (const Item& item : items) {
        try {
            if (!pipeline) throw Error(ErrorCode::input, problem);
            verdict(compare(*pipeline, item, needs));
        } catch (const Error& error) {
            if (error.code() != ErrorCode::input) throw;
            verdict({.file = item.file, .why = about(error, item.file), .runs_on = {}});
        }
    }
}

Verdict Verifier::compare(Pipeline& pipeline, const Item& item, const Needs& needs) const {
    const Parameters& p = item.parameters;
    const Image before = decode_picture(read_file(item.file, longest_picture_file), item.file);
    std::vector<GenerateRequest> readings{p.request};
    for (const Infotext::Prompts& other : p.other_prompts) {
        readings.push_back(p.request);
        readings.back().prompt = other.prompt;
        readings.back().negative_prompt = other.negative_prompt;
    }
    Verdict best{.file = item.file, .why = {}, .runs_on = pipeline.info().runs_on};
    for (const GenerateRequest& request : readings) {
        std::vector<Image> after;
        try {
            after = pipeline.generate(request);
        } catch (const Error& error) {  // a value of the file's, not of the command line's
            if (error.code() != ErrorCode::invalid_argument) throw;
            throw Error(ErrorCode::input, error.what());
        }
        if (after.front().width != before.width || after.front().height != before.height)
            throw Error(ErrorCode::input, "is " + std::to_string(before.width) + "x" + std::to_string(before.height) +
                                              ", not of its parameters' size");
        Verdict v = best;
        measure(before, after.front(), v);
        if (best.of == 0 || v.levels < best.levels) best = v;
        if (best.levels == 0) break;
    }
    best.kind = best.levels > options_.tolerance ? Verdict::Kind::different : Verdict::Kind::same;
    if (best.levels == 0) return best;
    std::string other = differences(p.origin, origin_of(pipeline.info()));
    if (needs.fast_math != p.fast_math) other += std::string(other.empty() ? "" : "; ") + "fast math off, here on";
    best.why = other.empty() ? "made with the hardware, dtype and build of here" : "made with " + other;
    if (p.version == old_version) best.why += "; t2i 0.1.0 noted neither another decoder nor a changed schedule or tokenizer";
    return best;
}

}  // namespace t2i::app
