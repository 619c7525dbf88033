// The writers' and the committer's stages of a run.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "batch/manifest.h"
#include "batch/request_fields.h"
#include "batch/runner.h"
#include "core/files.h"
#include "core/nearest.h"
#include "pipeline/picture_encode.h"
#include "pipeline/picture_format.h"
#include "t2i/version.h"

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
    const ResolvedRequest& r = picture.settings->resolved;
    if (picture.request.empty()) picture.request = identity_.request_hash(picture);
    Finished finished;
    Written& w = finished.written;
    w.bytes = encode_picture(r.width, r.height, made.pixels.rgb,
                             options_.metadata ? identity_.parameters(picture) : std::string(), options_.output.encoding);
    JournalRecord& record = w.record;
    record.id = picture.id;
    record.request = picture.request;
    record.file = picture.file;
    record.bytes = w.bytes.size();
    record.sha256 = sha256_hex(w.bytes);
    record.engine_ms = made.engine_ms;
    record.finished = utc_now();
    record.version = T2I_VERSION;
    record.name = options_.output.name;
    record.encoding = encoding_text(options_.output.encoding);
    record.metadata = options_.metadata;
    record.parameters = identity_.manifest(picture);
    w.picture = std::move(picture);
    finished.line = w.picture.line;
    if (!put_there(w)) return;
    ++unrecorded_files_;
    w.record.write_ms = seconds_since(begin) * 1e3;
    const std::size_t bytes = w.bytes.size() + 1;
    finished_.push(std::move(finished), bytes);
}

// False: the file system takes files, but not one of this name; the line is given up, and tried again by the next run.
bool Runner::put_there(Written& w) {
    try {
        outputs_->write(w);
        return true;
    } catch (const NameRefused& error) {
        JournalRecord record;
        record.id = w.picture.id;
        record.failed = error.what();
        reject(w.picture.line, std::move(record), excerpt(w.picture.text->prompt), false);
        return false;
    }
}

void Runner::commit() {
    bool broken = false;
    while (!finished_.ended()) {
        auto group = finished_.pop_all(tick, largest_group);
        try {
            // After a failure the rest is still tried: the disk may be full for pictures and have room for a line.
            if (!group.empty() && !broken) commit_group(std::move(group));
            tell_warnings();
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

void Runner::tell_warnings() {
    std::vector<std::string> lines;
    {
        const std::lock_guard lock(mutex_);
        lines.swap(warnings_);
    }
    if (std::string line = lacks_.take_line(); !line.empty()) lines.push_back(std::move(line));
    for (const auto& line : lines) reporter_.warning(line);
}

void Runner::tell_finished() {
    for (const auto& file : outputs_->take_finished()) reporter_.finished(folder_ + "/" + file);
}

// A tar shard is not written again for one sample, so that its reader meets the older one too.
void Runner::tell_older_sample(const Picture& picture) {
    if (picture.older_sample_in.empty() || !told_shards_.insert(picture.older_sample_in).second) return;
    reporter_.warning(picture.older_sample_in + " still holds the earlier sample " + in_quotes(picture.id) +
                      " (and perhaps others that are made again)");
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
        manifest += manifest_line(w.record);
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
    unrecorded_files_ -= static_cast<std::int64_t>(written.size());
    for (const Written& w : written) {
        last_ = w.record;
        if (!w.picture.replaces.empty()) ++replaced_;
        if (!w.picture.replaces.empty() && w.picture.replaces != w.record.file) {
            std::error_code ignored;
            fs::remove(fs::path(folder_) / w.picture.replaces, ignored);
        }
        tell_older_sample(w.picture);
    }
    tell_finished();
    {
        const std::lock_guard lock(mutex_);
        status_.made += static_cast<std::int64_t>(written.size());
        const auto left = std::ranges::count(failed, true, &Finished::is_left);
        status_.left += left;
        status_.failed += static_cast<std::int64_t>(failed.size()) - left;
    }
    if (!failed.empty()) report_failed(failed);
}

void Runner::report_failed(const std::vector<Finished>& failed) {
    if (!failures_) failures_ = std::make_unique<AppendFile>(folder_ + "/failed" + options_.shard.suffix() + ".jsonl", &lacks_);
    std::string lines;
    for (const Finished& f : failed) {
        const JournalRecord& r = f.written.record;
        nlohmann::ordered_json line{{"line", f.line}};
        if (!r.id.empty()) line["id"] = r.id;
        line["reason"] = r.failed;
        if (f.is_left) line["left"] = true;
        if (!f.text.empty()) line["text"] = f.text;
        lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
        if (f.is_left) reporter_.left(f.line, r.id, r.failed);
        else reporter_.failed(f.line, r.id, r.failed);
    }
    failures_->append(lines);
}

}  // namespace t2i::batch
