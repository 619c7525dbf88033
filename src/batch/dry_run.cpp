#include "batch/dry_run.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>

#include "batch/folder.h"
#include "batch/request_fields.h"
#include "core/folders.h"
#include "pipeline/picture_encode.h"

namespace t2i::batch {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

// Steps × pixels, twice with guidance: what a picture's time goes with.
double work_of(const ResolvedRequest& r) {
    return static_cast<double>(r.steps) * r.width * r.height * (r.guided ? 2 : 1);
}

struct Sample {
    double step_work_s = 0;  // seconds for one unit of work_of()
    double pixel_s = 0;      // everything else, for one pixel
    double pixel_bytes = 0;  // of its file
};

// One picture, as a run would make it; the one before warms up.
Sample measure(Engine& engine, const Picture& picture, const PictureEncoding& encoding) {
    const ResolvedRequest& r = picture.settings->resolved;
    const PictureJob job{picture.text->prompt_ids, picture.text->negative_ids, picture.seed};
    Sample sample;
    for (int run = 0; run < 2; ++run) {
        const double denoised_ms = engine.times().denoise_ms;
        const auto begin = Clock::now();
        std::size_t bytes = 0;
        const auto hand_out = [&](std::size_t, Engine::Picture made) {
            bytes = encode_picture(r.width, r.height, made.rgb, {}, encoding).size();
        };
        engine.make(r, std::span(&job, 1), {.picture = hand_out, .progress = {}});
        engine.flush();
        const double all_s = std::chrono::duration<double>(Clock::now() - begin).count();
        const double denoise_s = std::min((engine.times().denoise_ms - denoised_ms) * 1e-3, all_s);
        const double pixels = static_cast<double>(r.width) * r.height;
        sample = {denoise_s / work_of(r), (all_s - denoise_s) / pixels, static_cast<double>(bytes) / pixels};
    }
    return sample;
}

}  // namespace

Estimate dry_run(Engine& engine, const BatchOptions& options, const std::function<void(std::int64_t, const std::string&)>& bad) {
    const std::string& folder = options.output.folder;
    check_folder(folder);
    JournalIndex index;
    if (std::error_code ec; fs::is_directory(folder, ec)) index.read(folder, {});
    const ModelIdentity identity(engine, options.vae);
    Preparer preparer(engine, index, identity, prepare_options(options));
    Estimate found;
    double work = 0, pixels = 0;
    std::optional<Picture> first;
    const auto file = open_prompts(options.input, options.prompts);
    for (PromptEntry entry; file->next(entry);) {
        ++found.lines;
        Preparation preparation;
        try {
            if (entry.request) preparation = preparer.prepare(entry);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::invalid_argument && error.code() != ErrorCode::input) throw;
            entry.problem = problem_of(error);
        }
        std::erase_if(preparation.pictures, [&](Picture& picture) {
            const std::string problem = choose_file(options.output, options.metadata, picture);
            if (!problem.empty()) entry.problem = problem;
            return !problem.empty();
        });
        if (!entry.problem.empty() && options.shard.owns_line(entry.line)) {
            ++found.bad_lines;
            bad(entry.line, entry.problem);
        }
        found.done += preparation.done;
        found.failed_before += static_cast<std::int64_t>(preparation.failed.size());
        found.to_make += static_cast<std::int64_t>(preparation.pictures.size());
        for (const Picture& picture : preparation.pictures) {
            const ResolvedRequest& r = picture.settings->resolved;
            work += work_of(r);
            pixels += static_cast<double>(r.width) * r.height;
            if (!first) first = picture;
            if (!r.plan->remark.empty() && std::ranges::count(found.notes, r.plan->remark) == 0)
                found.notes.push_back(r.plan->remark);
        }
    }
    std::ranges::move(file->notes(), std::back_inserter(found.notes));
    found.pictures = found.done + found.failed_before + found.to_make;
    if (first) {
        const Sample sample = measure(engine, *first, options.output.encoding);
        found.seconds = sample.step_work_s * work + sample.pixel_s * pixels;
        found.disk_bytes = sample.pixel_bytes * pixels;
    }
    std::error_code ec;
    fs::path place = fs::absolute(folder, ec);
    while (!fs::exists(place, ec) && place.has_relative_path()) place = place.parent_path();
    if (const auto space = fs::space(place, ec); !ec) found.free_bytes = static_cast<double>(space.available);
    return found;
}

}  // namespace t2i::batch
