#include "batch/prepare.h"

#include <algorithm>
#include <filesystem>

#include "batch/kept_files.h"
#include "batch/model_identity.h"
#include "batch/outputs.h"
#include "batch/request_fields.h"
#include "batch/request_id.h"
#include "core/files.h"
#include "core/nearest.h"
#include "pipeline/picture_fit.h"
#include "pipeline/picture_read.h"
#include "sampling/sampler.h"
#include "t2i/error.h"

namespace t2i::batch {

namespace {

// Kept settings: a file where every line has its own guidance must not grow the table.
constexpr std::size_t most_settings = 256;
constexpr std::size_t most_starts = 8;  // pictures that lines begin with, of up to 64 MiB each
// A tar member's name has at most 100 bytes (ustar), and ".json" follows.
constexpr std::size_t webdataset_id_limit = 90;

// Whether the sampler's name says a schedule, too ("DPM++ 2M Karras"); it becomes ours.
bool takes_schedule_off(std::string& sampler) {
    std::string schedule;
    return translate_sampler(sampler, schedule);
}

// A schedule and a sampler that names one are taken from the line or from the run, not one from each.
void add_sampler(GenerateRequest& request, const GenerateRequest& defaults) {
    if (request.sampler.empty()) {
        request.sampler = defaults.sampler;
        if (!request.scheduler.empty()) takes_schedule_off(request.sampler);
    }
    std::string sampler = request.sampler;
    if (request.scheduler.empty() && !takes_schedule_off(sampler)) request.scheduler = defaults.scheduler;
}

GenerateRequest with_defaults(GenerateRequest request, const GenerateRequest& defaults) {
    if (!request.steps) request.steps = defaults.steps;
    if (!request.cfg_scale) request.cfg_scale = defaults.cfg_scale;
    if (!request.width) request.width = defaults.width;
    if (!request.height) request.height = defaults.height;
    if (!request.clean_caption) request.clean_caption = defaults.clean_caption;
    if (!request.resolution_binning) request.resolution_binning = defaults.resolution_binning;
    add_sampler(request, defaults);
    if (request.negative_prompt.empty()) request.negative_prompt = defaults.negative_prompt;
    if (!request.init_image.is_given()) request.init_image = defaults.init_image;
    if (!request.init_image.is_given()) return request;
    if (!request.mask.is_given()) request.mask = defaults.mask;
    if (!request.strength) request.strength = defaults.strength;
    if (request.resize_mode.empty()) request.resize_mode = defaults.resize_mode;
    if (request.mask.is_given() && !request.keep_unmasked) request.keep_unmasked = defaults.keep_unmasked;
    return request;
}

void put_below(std::string& file, const std::string& folder) {
    if (!file.empty() && !folder.empty() && std::filesystem::path(file).is_relative())
        file = (std::filesystem::path(folder) / file).string();
}

// What two lines have in common that begin with one picture.
std::string start_key(const GenerateRequest& request, const ResolvedRequest& settings) {
    return request.init_image.file + '\0' + request.mask.file + '\0' + request.resize_mode + '\0' +
           std::to_string(settings.drawn_width) + 'x' + std::to_string(settings.drawn_height);
}

}  // namespace

void check_defaults(const Engine& engine, const GenerateRequest& defaults) {
    GenerateRequest checked = defaults;
    check_setting_range("strength", defaults.strength.value_or(1), 0, 1);
    if (!checked.init_image.is_given()) {
        static_cast<void>(fit_named(checked.resize_mode));
        checked.mask = {};
        checked.strength.reset();
        checked.resize_mode.clear();
    }
    if (!checked.mask.is_given()) checked.keep_unmasked.reset();
    static_cast<void>(read_start(checked, engine.resolve(checked)));
}

Preparer::Preparer(const Engine& engine, JournalIndex& index, const ModelIdentity& model, PrepareOptions options)
    : engine_(engine), index_(index), model_(model), options_(std::move(options)) {
    if (!options_.folds_case) return;
    for (const auto& path : index_.paths())
        read_journal(path, [this](const JournalRecord& record, std::uint64_t) {
            if (record.failed.empty()) static_cast<void>(folded_.claim(record.id));
        });
}

std::shared_ptr<const Settings> Preparer::settings_for(const GenerateRequest& request) {
    const Key key{request.steps.value_or(-1),
                  request.cfg_scale.value_or(-1),
                  request.width.value_or(-1),
                  request.height.value_or(-1),
                  request.sampler,
                  request.scheduler,
                  request.clean_caption.value_or(false),
                  request.resolution_binning.value_or(false),
                  request.init_image.is_given(),
                  request.mask.is_given(),
                  request.strength.value_or(-1),
                  request.resize_mode,
                  request.keep_unmasked.value_or(false)};
    // -1 is out of every range, so that only an unset field stands for itself.
    const bool keyed = request.steps != -1 && request.cfg_scale != -1.0 && request.width != -1 && request.height != -1 &&
                       request.strength != -1.0;
    if (const auto known = settings_.find(key); keyed && known != settings_.end()) return known->second;
    GenerateRequest bare = request;
    bare.prompt.clear();
    bare.negative_prompt.clear();
    bare.count = 1;
    auto settings = std::make_shared<const Settings>(Settings{engine_.resolve(bare)});
    if (settings_.size() >= most_settings) settings_.clear();
    return settings_[key] = settings;
}

GenerateRequest Preparer::request_of(const RequestLine& line) const {
    GenerateRequest request = line.request;
    put_below(request.init_image.file, options_.prompt_folder);
    put_below(request.mask.file, options_.prompt_folder);
    return with_defaults(std::move(request), options_.defaults);
}

std::shared_ptr<const StartPicture> Preparer::start_of(const GenerateRequest& request, const Settings& settings) {
    if (!request.init_image.is_given()) return nullptr;
    const std::string key = start_key(request, settings.resolved);
    const auto known = std::ranges::find(starts_, key, &decltype(starts_)::value_type::first);
    if (known != starts_.end()) {
        std::rotate(known, known + 1, starts_.end());
        return starts_.back().second;
    }
    auto start = read_start(request, settings.resolved);
    if (starts_.size() >= most_starts) starts_.erase(starts_.begin());
    starts_.emplace_back(key, start);
    return start;
}

// The line's own id, or the hash of its request, with "-2", "-3" … when that stands in the file again.
std::string Preparer::line_id(const RequestLine& line, const GenerateRequest& request, const Settings& settings,
                              const StartPicture* start) {
    if (!line.id.empty()) return line.id;
    const bool picks = line.picks_seed || (!line.seed && options_.picks_seed);
    const std::string seed = picks ? "picked" : std::to_string(line.seed.value_or(options_.defaults.seed));
    std::string canonical = canonical_request(settings.resolved, start, request.prompt, request.negative_prompt, seed);
    if (request.count > 1) canonical += std::to_string(request.count);
    const std::string id = id_of(canonical);
    // Only requests that are repeated have an entry of their own; the first is told by its picture's.
    const std::uint64_t key = hash64(id);
    if (const auto again = repeats_.find(key); again != repeats_.end()) return id + "-" + std::to_string(++again->second);
    const IdEntry* first = index_.table().look_up(request.count == 1 ? key : hash64(id + "_0"));
    return first && first->seen ? id + "-" + std::to_string(repeats_[key] = 2) : id;
}

// Marks ids as used in this file; none when one of them is already.
void Preparer::claim(const std::vector<std::string>& ids, bool given) {
    IdTable& table = index_.table();
    for (const auto& id : ids)
        if (const IdEntry* entry = table.look_up(hash64(id)); entry && entry->seen)
            throw Error(ErrorCode::input,
                        std::string(given ? "id" : "id made from the request") + " is used by an earlier line: " + in_quotes(id));
    for (const auto& id : ids)
        if (options_.folds_case && !folded_.claim(id))
            throw Error(
                ErrorCode::input,
                "id " + in_quotes(id) + " is another picture's but for its capitals, and in this folder " + "both have one name");
    for (const auto& id : ids) table.at(hash64(id)).seen = 1;
}

// What stands under the name of a record is not the record's file: whether somebody has put it there, rather than a disk or a
// kill, which leave a file that is empty, cut short, or damaged behind the first bytes of its format.
bool Preparer::is_somebodys(const JournalRecord& record) const {
    namespace fs = std::filesystem;
    if (record.tar_end > 0) return false;
    const std::string path = options_.folder + "/" + record.file;
    std::error_code ec;
    const fs::file_status status = fs::symlink_status(path, ec);
    if (!fs::exists(status)) return false;
    if (!fs::is_regular_file(status)) return true;
    try {
        const auto bytes = read_file(path);
        if (bytes.empty() || std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; })) return false;
        if (!begins_as_picture(bytes)) return true;
        static_cast<void>(read_picture_info(bytes, path));
        return true;
    } catch (const Error&) {  // cut short, damaged, cannot be read
        return false;
    }
}

// By what the journal knows of it: to be made, done, failed, or to be left.
void Preparer::sort_in(Picture picture, Preparation& result) {
    const IdEntry* entry = index_.table().look_up(hash64(picture.id));
    if (!entry || !entry->recorded) return result.pictures.push_back(std::move(picture));
    const JournalRecord record = index_.record_of(*entry);
    picture.request = model_.request_hash(picture);
    const bool is_same = record.request == model_.request_hash(picture, record);
    const auto leave = [&](const std::string& why) {
        result.left.push_back({picture.id, record.file + " " + why + "; it is left as it is"});
    };
    if (!record.failed.empty()) {
        if (is_same && !options_.retry_failed) return result.failed.push_back(record);
        result.changed += is_same ? 0 : 1;
    } else if (!is_same) {
        const bool is_gone = !exists_at_all(options_.folder + "/" + record.file) && record.tar_end == 0;
        if (!options_.remake && !is_gone) return leave(model_.difference(picture, record));
        ++result.changed;
    } else if (is_there(options_.folder, record, options_.quick_check)) {
        ++result.done;
        result.done_0_1 += record.version.empty() ? 1 : 0;
        return;
    } else if (is_somebodys(record)) {
        if (!options_.remake) return leave("is not the picture in the journal: somebody has changed it");
        ++result.changed;
    } else {
        ++result.damaged;
    }
    (record.tar_end == 0 ? picture.replaces : picture.older_sample_in) = record.file;
    result.pictures.push_back(std::move(picture));
}

Preparation Preparer::prepare(const PromptEntry& entry) {
    const RequestLine& line = *entry.request;
    const GenerateRequest request = request_of(line);
    if (request.count < 1 || request.count > 100'000)
        throw Error(ErrorCode::input, "batch_size " + std::to_string(request.count) + " is out of range [1, 100000]");
    const auto settings = settings_for(request);
    const auto start = start_of(request, *settings);
    const std::string base = line_id(line, request, *settings, start.get());
    if (options_.dotless_ids && (base.find('.') != std::string::npos || base.size() > webdataset_id_limit))
        throw Error(ErrorCode::input, "id " + in_quotes(base) + " cannot name a WebDataset sample: it has a dot, or over " +
                                          std::to_string(webdataset_id_limit) + " bytes");
    std::vector<std::string> ids;
    for (int i = 0; i < request.count; ++i) ids.push_back(request.count == 1 ? base : base + "_" + std::to_string(i));
    claim(ids, !line.id.empty());

    Preparation result;
    std::shared_ptr<RequestText> text;
    for (int i = 0; i < request.count; ++i) {
        const std::string& id = ids[static_cast<std::size_t>(i)];
        if (!options_.shard.owns(id)) {
            ++result.others;
            continue;
        }
        if (!text)
            text = std::make_shared<RequestText>(RequestText{.prompt = request.prompt,
                                                             .negative_prompt = request.negative_prompt,
                                                             .prompt_ids = {},
                                                             .negative_ids = {},
                                                             .cut = {},
                                                             .extra = line.extra,
                                                             .start = start});
        const bool picks = line.picks_seed || (!line.seed && options_.picks_seed);
        Picture picture;
        picture.id = id;
        picture.settings = settings;
        picture.text = text;
        picture.line = entry.line;
        picture.number = i;
        picture.seed = picks ? seed_of(id) : line.seed.value_or(options_.defaults.seed) + static_cast<std::uint64_t>(i);
        sort_in(std::move(picture), result);
    }
    if (result.pictures.empty()) return result;
    const bool clean = settings->resolved.clean_caption;
    Tokens tokens = engine_.tokenize(text->prompt, "prompt", clean);
    text->prompt_ids = std::move(tokens.ids);
    text->cut = std::move(tokens.cut);
    text->doubt = engine_.doubt_about(text->prompt, clean);
    if (settings->resolved.guided) text->negative_ids = engine_.tokenize(text->negative_prompt, "negative_prompt", clean).ids;
    return result;
}

}  // namespace t2i::batch
