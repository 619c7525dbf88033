#include "batch/dry_run.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>

#include "batch/kept_files.h"
#include "batch/model_identity.h"
#include "batch/outputs.h"
#include "batch/request_fields.h"
#include "core/folders.h"
#include "pipeline/picture_encode.h"

namespace t2i::batch {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

// Steps × pixels, twice with guidance: what a picture's time goes with.
double work_of(const ResolvedRequest& r) {
    return static_cast<double>(r.steps) * r.drawn_width * r.drawn_height * (r.guided ? 2 : 1);
}

struct Sample {
    double step_work_s = 0;  // seconds for one unit of work_of()
    double pixel_s = 0;      // everything else, for one pixel
    double pixel_bytes = 0;  // of its file
};

// One picture, as a run would make it; the one before warms up.
Sample measure(Engine& engine, const Picture& picture, const PictureEncoding& encoding) {
    const ResolvedRequest& r = picture.settings->resolved;
    const PictureJob job{picture.text->prompt_ids, picture.text->negative_ids, picture.seed, picture.text->start};
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

namespace {

// The lines of a file sorted in as a run sorts them, without a folder that is touched.
class Rehearsal {
  public:
    Rehearsal(Engine& engine, const BatchOptions& options, Reporter& reporter)
        : options_(options),
          reporter_(reporter),
          index_(index_of(options)),
          identity_(engine, options.vae),
          kept_(options.output.folder, options.shard, index_),
          preparer_(engine, index_, identity_, prepare_options(options)),
          sub_folders_(needs_sub_folders(options)) {}

    void run() {
        const auto file = open_prompts(options_.input, options_.prompts);
        for (PromptEntry entry; file->next(entry);) read(entry);
        std::ranges::move(file->notes(), std::back_inserter(found.notes));
        found.pictures = found.done + found.failed_before + found.left + found.taken + found.to_make;
    }

    Estimate found;
    double work = 0, pixels = 0;
    std::optional<Picture> first;

  private:
    static JournalIndex index_of(const BatchOptions& options) {
        JournalIndex index;
        const fs::path folder = options.output.folder;
        check_folder(folder.string());
        std::error_code ec;
        if (fs::is_directory(folder, ec)) check_no_strangers(folder.string(), options.shard);
        if (fs::is_directory(folder, ec)) {
            index.read(folder.string(), {});
            check_same_form(index, options);
        }
        return index;
    }

    void read(PromptEntry& entry) {
        ++found.lines;
        Preparation preparation;
        try {
            if (entry.request) preparation = preparer_.prepare(entry);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::invalid_argument && error.code() != ErrorCode::input) throw;
            entry.problem = problem_of(error);
        }
        if (!entry.problem.empty() && options_.shard.owns_line(entry.line)) {
            ++found.bad_lines;
            reporter_.failed(entry.line, {}, entry.problem);
        }
        found.done += preparation.done;
        found.changed += preparation.changed;
        for (const JournalRecord& record : preparation.failed) reporter_.failed(entry.line, record.id, record.failed);
        found.failed_before += static_cast<std::int64_t>(preparation.failed.size());
        for (const LeftPicture& left : preparation.left) reporter_.left(entry.line, left.id, left.reason);
        found.left += static_cast<std::int64_t>(preparation.left.size());
        for (Picture& picture : preparation.pictures) add(picture);
    }

    void add(Picture& picture) {
        OutputOptions output = options_.output;
        output.sub_folders = sub_folders_ || found.done + found.to_make > static_cast<std::int64_t>(most_flat_files);
        if (const std::string problem = choose_file(output, options_.metadata, picture); !problem.empty()) {
            ++found.bad_lines;
            return reporter_.failed(picture.line, picture.id, problem);
        }
        if (!output.webdataset)
            if (const std::string problem = kept_.claim(picture, identity_); !problem.empty()) {
                ++found.taken;
                return reporter_.failed(picture.line, picture.id, problem);
            }
        ++found.to_make;
        const ResolvedRequest& r = picture.settings->resolved;
        work += work_of(r);
        pixels += static_cast<double>(r.width) * r.height;
        if (!first) first = picture;
        if (!r.plan->remark.empty() && std::ranges::count(found.notes, r.plan->remark) == 0)
            found.notes.push_back(r.plan->remark);
    }

    const BatchOptions& options_;
    Reporter& reporter_;
    JournalIndex index_;
    ModelIdentity identity_;
    KeptFiles kept_;
    Preparer preparer_;
    bool sub_folders_;
};

}  // namespace

Estimate dry_run(Engine& engine, const BatchOptions& options, Reporter& reporter) {
    check_defaults(engine, options.defaults);  // as a run does, before it looks at a line
    Rehearsal rehearsal(engine, options, reporter);
    rehearsal.run();
    Estimate found = rehearsal.found;
    if (rehearsal.first) {
        const Sample sample = measure(engine, *rehearsal.first, options.output.encoding);
        found.seconds = sample.step_work_s * rehearsal.work + sample.pixel_s * rehearsal.pixels;
        found.disk_bytes = sample.pixel_bytes * rehearsal.pixels;
    }
    std::error_code ec;
    fs::path place = fs::absolute(options.output.folder, ec);
    while (!fs::exists(place, ec) && place.has_relative_path()) place = place.parent_path();
    if (const auto space = fs::space(place, ec); !ec) found.free_bytes = static_cast<double>(space.available);
    return found;
}

}  // namespace t2i::batch
