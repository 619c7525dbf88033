#include "app/verifier.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "app/exit_code.h"
#include "app/picture_paths.h"
#include "backend/registry.h"
#include "core/files.h"
#include "core/nearest.h"
#include "pipeline/engine.h"
#include "pipeline/picture_read.h"
#include "pipeline/pipeline_access.h"
#include "pipeline/start_picture.h"
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

// Throws Error{input} about a path that was named and cannot be read; files of a folder that are no pictures are passed over.
std::map<std::string, std::string> by_pixels(const std::vector<std::string>& paths) {
    std::map<std::string, std::string> found;
    for (const auto& path : paths)
        for (const auto& file : picture_paths(path)) {
            try {
                found.emplace(hash_pixels(decode_picture(read_file(file, longest_picture_file), file)), file);
            } catch (const Error&) {
                if (file == path) throw;
            }
        }
    return found;
}

}  // namespace

Verifier::Verifier(VerifyOptions options)
    : options_(std::move(options)),
      devices_(backend_names()),
      folder_(read_model(parts_of(options_.model), {.variant = options_.model.variant, .log = {}})) {
    if (!options_.model.vae.empty()) static_cast<void>(decoder_hash(options_.model.variant));
    init_images_ = by_pixels(options_.init_images);
    masks_ = by_pixels(options_.masks);
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
    needs.parts.other_decoder = p.version == old_version ? !options_.model.vae.empty() : !p.vae_hash.empty();
    for (const auto& [component, part] : p.parts) needs.parts.others.insert(component);
    needs.parts.formulas = p.formulas;
    // A picture that names none may be older than the note of it.
    needs.parts.variant = p.variant.empty() ? options_.model.variant : p.variant;
    return needs;
}

void Verifier::add_init_image(Parameters& p) const {
    const auto find = [](const Parameters::Part& wanted, const auto& known, const std::string& what, const char* field) {
        if (wanted.hash.empty()) return std::string();
        if (const auto path = known.find(wanted.hash); path != known.end()) return path->second;
        throw Error(ErrorCode::input, "was made with " + what + (wanted.name.empty() ? "" : " " + in_quotes(wanted.name)) +
                                          " (hash of its pixels " + wanted.hash + "); " + flag_of(field) + " names it");
    };
    p.request.init_image.file = find(p.init_image, init_images_, "an init image", "init_image");
    p.request.mask.file = find(p.mask, masks_, "a mask", "mask");
}

const std::string& Verifier::decoder_hash(const std::string& variant) {
    if (const auto known = decoder_hashes_.find(variant); known != decoder_hashes_.end()) return known->second;
    ModelFolder folder = folder_;
    folder.options.variant = variant;
    return decoder_hashes_[variant] = hash_decoder(folder, options_.model.vae);
}

void Verifier::check_decoder(const Parameters& p, const Needs& needs) {
    if (p.vae_hash.empty()) return;
    const std::string wanted = "was made with another decoder than the model's, " + named(p.vae, p.vae_hash);
    if (options_.model.vae.empty()) throw Error(ErrorCode::input, wanted + "; --vae names it");
    const std::string& here = decoder_hash(needs.parts.variant);
    if (here == p.vae_hash) return;
    throw Error(ErrorCode::input,
                wanted + "; --vae names " + named(std::filesystem::path(options_.model.vae).filename().string(), here));
}

namespace {

constexpr std::array<std::pair<const char*, std::string PipelineOptions::*>, 3> part_options{
    {{"transformer", &PipelineOptions::transformer},
     {"text_encoder", &PipelineOptions::text_encoder},
     {"tokenizer", &PipelineOptions::tokenizer}}};

}  // namespace

PipelineOptions Verifier::options_with(const Parts& parts) const {
    PipelineOptions options = options_.model;
    if (!parts.other_decoder) options.vae.clear();
    for (const auto& [component, path] : part_options)
        if (!parts.others.contains(component)) (options.*path).clear();
    options.formulas = parts.formulas;
    options.variant = parts.variant;
    return options;
}

const ModelHashes& Verifier::hashes(const Parts& parts) {
    if (const auto known = hashes_.find(parts); known != hashes_.end()) return known->second;
    const PipelineOptions options = options_with(parts);
    return hashes_[parts] = hash_model(read_model(parts_of(options), {.variant = options.variant, .log = {}}), options.vae);
}

// Throws Error{input} about the first part that the picture was made with and that is not at hand; without hashes, about the
// first that nobody named.
void Verifier::check_parts(const Parameters& p, const ModelHashes* here) const {
    for (const auto& [component, path] : part_options) {
        const auto then = p.parts.find(component);
        if (then == p.parts.end()) continue;
        const std::string flag = flag_of(component);
        const std::string wanted =
            "was made with another " + flag.substr(2) + " than the model's, " + named(then->second.name, then->second.hash);
        if ((options_.model.*path).empty()) throw Error(ErrorCode::input, wanted + "; " + flag + " names it");
        if (!here || here->parts.at(component) == then->second.hash) continue;
        const std::filesystem::path given(options_.model.*path);
        throw Error(ErrorCode::input,
                    wanted + "; " + flag + " names " + named(given.filename().string(), here->parts.at(component)));
    }
}

void Verifier::check_model(const Item& item, const Needs& needs) {
    const Parameters& p = item.parameters;
    const bool is_old = p.version == old_version;
    if (is_old && !hash_0_1_) hash_0_1_ = hash_weights_0_1(folder_.path);
    check_parts(p, nullptr);
    if (!is_old) check_parts(p, &hashes(needs.parts));
    const std::string& here = is_old ? *hash_0_1_ : hashes(needs.parts).model;
    if (p.hash == here) return;
    if (!p.base.empty() && options_.model.base.empty())
        throw Error(ErrorCode::input, "was made with parts of " + in_quotes(p.base) + "; --base names it");
    throw Error(ErrorCode::input, "was made by " + named(p.model, p.hash) + ", this is " + named(folder_.name, here) +
                                      "; --model names another, --variant other files of one");
}

void Verifier::check(std::span<const std::string> files, const std::function<void(const Verdict&)>& verdict) {
    std::map<Needs, std::vector<Item>> groups;
    const auto unchecked = [&](const std::string& file, const std::string& why) {
        verdict({.file = file, .why = why, .runs_on = {}});
    };
    for (const auto& file : files) {
        try {
            Item item{file, read(file)};
            add_init_image(item.parameters);
            const Needs needs = needs_of(item.parameters);
            check_decoder(item.parameters, needs);
            check_model(item, needs);
            groups[needs].push_back(std::move(item));
        } catch (const Error& error) {
            unchecked(file, about(error, file));
        }
    }
    for (const auto& [needs, items] : groups) check_group(needs, items, verdict);
}

void Verifier::check_group(const Needs& needs, std::span<const Item> items, const std::function<void(const Verdict&)>& verdict) {
    PipelineOptions options = options_with(needs.parts);
    options.device = needs.device;
    options.dtype = needs.dtype;
    options.fast_math = needs.fast_math;
    std::optional<Pipeline> pipeline;
    std::string problem;
    try {
        // Hashed already, unless all of the group is 0.1.0's; nobody asks then.
        const auto known = hashes_.find(needs.parts);
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
