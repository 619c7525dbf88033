// The writers' and the committer's stages of a run.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "batch/folder.h"
#include "batch/runner.h"
#include "pipeline/parameters.h"
#include "pipeline/picture_encode.h"

namespace t2i::batch {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t largest_group = 256;
constexpr std::chrono::milliseconds tick{200};

}  // namespace

void Runner::write() {
    while (auto made = made_.pop()) write_picture(std::move(*made));
}

void Runner::write_picture(MadePicture made) {
    const auto begin = Clock::now();
    Picture& picture = made.picture;
    ResolvedRequest r = picture.settings->resolved;
    r.prompt = picture.text->prompt;
    r.negative_prompt = picture.text->negative_prompt;
    if (picture.request.empty()) picture.request = request_hash(picture, identity_);
    Finished finished;
    Written& w = finished.written;
    w.png =
        encode_picture(r.width, r.height, made.pixels.rgb,
                       options_.metadata ? parameters_text(r, engine_.info(), engine_.model_hash(), picture.seed) : std::string(),
                       options_.output.encoding);
    w.record = {.id = picture.id,
                .request = picture.request,
                .failed = {},
                .file = picture.file,
                .offset = 0,
                .bytes = w.png.size(),
                .sha256 = sha256_hex(w.png),
                .tar_end = 0,
                .manifest_end = 0,
                .engine_ms = made.engine_ms,
                .write_ms = 0,
                .finished = utc_now()};
    w.manifest = manifest_parameters(picture, engine_.info(), engine_.model_hash());
    w.picture = std::move(picture);
    finished.line = w.picture.line;
    outputs_->write(w);
    w.record.write_ms = seconds_since(begin) * 1e3;
    const std::size_t bytes = w.png.size() + 1;
    finished_.push(std::move(finished), bytes);
}

void Runner::commit() {
    bool broken = false;
    while (!finished_.ended()) {
        auto group = finished_.pop_all(tick, largest_group);
        try {
            // After a failure the rest is still tried: the disk may be full for pictures and have room for a line.
            if (!group.empty() && !broken) commit_group(std::move(group));
            for (const auto& line : take_warnings()) reporter_.warning(line);
            reporter_.tick(status());
        } catch (...) {
            broken = true;
            fail(std::current_exception());
            made_.abandon();
        }
    }
}

void Runner::warn(std::string line) {
    const std::lock_guard lock(mutex_);
    warnings_.push_back(std::move(line));
}

std::vector<std::string> Runner::take_warnings() {
    const std::lock_guard lock(mutex_);
    return std::exchange(warnings_, {});
}

void Runner::commit_group(std::vector<Finished> group) {
    std::vector<Written> written;
    std::vector<Finished> failed;
    for (auto& item : group) {
        if (item.written.record.failed.empty()) written.push_back(std::move(item.written));
        else failed.push_back(std::move(item));
    }
    std::string manifest, journal;
    outputs_->commit(written);
    for (Written& w : written) {
        manifest += manifest_line(w.record, w.manifest);
        w.record.manifest_end = manifest_->size_bytes() + manifest.size();
        journal += journal_line(w.record);
    }
    for (Finished& f : failed) {
        if (!f.in_journal) continue;
        f.written.record.manifest_end = manifest_->size_bytes() + manifest.size();
        journal += journal_line(f.written.record);
    }
    if (!manifest.empty()) manifest_->append(manifest);
    if (!journal.empty()) journal_->append(journal);
    for (const Written& w : written) {
        last_ = w.record;
        if (!w.picture.replaces.empty()) ++replaced_;
        if (!w.picture.replaces.empty() && w.picture.replaces != w.record.file) {
            std::error_code ignored;
            fs::remove(fs::path(folder_) / w.picture.replaces, ignored);
        }
        reporter_.finished(folder_ + "/" + w.record.file);
    }
    {
        const std::lock_guard lock(mutex_);
        status_.made += static_cast<std::int64_t>(written.size());
        status_.failed += static_cast<std::int64_t>(failed.size());
    }
    if (!failed.empty()) report_failed(failed);
}

void Runner::report_failed(const std::vector<Finished>& failed) {
    if (!failures_) failures_ = std::make_unique<AppendFile>(folder_ + "/failed" + options_.shard.suffix() + ".jsonl");
    std::string lines;
    for (const Finished& f : failed) {
        const JournalRecord& r = f.written.record;
        nlohmann::ordered_json line{{"line", f.line}};
        if (!r.id.empty()) line["id"] = r.id;
        line["reason"] = r.failed;
        if (!f.text.empty()) line["text"] = f.text;
        lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
        reporter_.failed(f.line, r.id, r.failed);
    }
    failures_->append(lines);
}

}  // namespace t2i::batch
