#include "batch/outputs.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "batch/kept_files.h"
#include "batch/request_id.h"
#include "batch/tar.h"
#include "core/files.h"
#include "core/nearest.h"
#include "core/number_text.h"
#include "pipeline/picture_format.h"
#include "t2i/error.h"
#include "text/unicode.h"

namespace t2i::batch {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t file_name_limit = 255;  // that file systems take; some take fewer and say so
constexpr const char* unfinished_start = ".unfinished";

void make_folder(const fs::path& path) {
    std::error_code ec;
    fs::create_directories(path, ec);
    if (!ec) return;
    const std::string message = "cannot be made: " + ec.message();
    if (is_about_a_name(ec.value())) throw NameRefused(message, path.string());
    throw Error(ErrorCode::input, message, path.string());
}

void remove_folder(const std::string& path) {
    std::error_code ec;
    fs::remove_all(path, ec);
    if (ec) throw Error(ErrorCode::input, "cannot be removed: " + ec.message(), path);
}

// Letters and digits of a prompt, for a file's name: "a red apple, twemoji" → "a-red-apple-twemoji".
std::string slug(const std::string& prompt) {
    std::string text;
    for (const char c : prompt) {
        const auto u = static_cast<unsigned char>(c);
        const bool is_plain = u >= 128 || (u >= '0' && u <= '9') || ((u | 32U) >= 'a' && (u | 32U) <= 'z');
        if (is_plain) text += c;
        else if (!text.empty() && text.back() != '-') text += '-';
    }
    // 60 bytes at most, not cut inside a character.
    std::size_t end = std::min<std::size_t>(text.size(), 60);
    while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    text.resize(end);
    while (text.ends_with('-')) text.pop_back();
    return text;
}

using NameFields = std::map<std::string, std::string, std::less<>>;

NameFields name_fields(const Picture& p) {
    const ResolvedRequest& r = p.settings->resolved;
    return {{"id", p.id},
            {"seed", std::to_string(p.seed)},
            {"prompt", slug(p.text->prompt)},
            {"number", std::to_string(p.number)},
            {"width", std::to_string(r.width)},
            {"height", std::to_string(r.height)},
            {"steps", r.plan->text_of("steps")},
            {"sampler", r.plan->text_of("sampler")}};
}

// Replaces each {field}; `value` gives its text.
template <typename Value>
std::string fill(const std::string& name, Value value) {
    std::string text;
    for (std::size_t at = 0; at < name.size();) {
        const auto open = name.find_first_of("{}", at);
        text += name.substr(at, open - at);
        if (open == std::string::npos) break;
        const auto close = name.find('}', open);
        if (name[open] == '}' || close == std::string::npos)
            throw Error(ErrorCode::invalid_argument, "a brace without its other half: \"" + name + "\"", Field{"name"});
        text += value(name.substr(open + 1, close - open - 1));
        at = close + 1;
    }
    return text;
}

class FolderOutputs : public Outputs {
  public:
    FolderOutputs(OutputOptions options, std::string unfinished, std::span<const std::string> unrecorded, FileSystemLacks& lacks)
        : options_(std::move(options)),
          unfinished_(std::move(unfinished)),
          lacks_(lacks),
          names_(announced_names(unfinished_), &lacks) {
        names_.cut_to(0);
        for (const auto& name : unrecorded) to_announce_ += name + "\n";
        if (!unrecorded.empty()) names_.append(std::exchange(to_announce_, {}));
        sync_folder(unfinished_, lacks_);
    }

    void announce(Picture& picture) override {
        const std::lock_guard lock(names_mutex_);
        to_announce_ += picture.file + "\n";
        picture.announced = ++announced_;
    }
    void write(Written& w) override {
        make_sure_announced(w.picture);
        const fs::path file = fs::path(options_.folder) / w.record.file;
        if (file.has_parent_path()) make_known(file.parent_path());
        write_file_atomically(file.string(), w.bytes,
                              {.temporary_folder = unfinished_, .replace = w.picture.may_replace, .lacks = &lacks_});
        w.bytes = {};
    }
    // The files are synced; their names are not, until their folders are.
    void commit(std::span<Written> group) override {
        std::set<std::string> folders;
        for (const Written& w : group) folders.insert((fs::path(options_.folder) / w.record.file).parent_path().string());
        for (const auto& folder : folders) sync_folder(folder, lacks_);
        for (const Written& w : group) finished_.push_back(w.record.file);
    }
    void finish() override {}

  private:
    // One wait for the disk announces all the pictures that the reader has looked ahead to.
    void make_sure_announced(const Picture& picture) {
        const std::lock_guard lock(names_mutex_);
        if (picture.announced <= announced_on_disk_) return;
        names_.append(to_announce_);
        to_announce_.clear();
        announced_on_disk_ = announced_;
    }
    void make_known(const fs::path& folder) {
        const std::lock_guard lock(mutex_);
        if (known_.contains(folder.string())) return;
        make_folder(folder);
        if (folder != fs::path(options_.folder)) sync_folder(folder.parent_path().string(), lacks_);
        known_.insert(folder.string());
    }
    OutputOptions options_;
    std::string unfinished_;
    FileSystemLacks& lacks_;
    std::mutex names_mutex_;  // of the next four
    AppendFile names_;
    std::string to_announce_;
    std::uint64_t announced_ = 0, announced_on_disk_ = 0;
    std::mutex mutex_;  // of the next one
    std::set<std::string> known_;
};

// Samples of three members: KEY.png (or .jpg, .webp), KEY.json (all parameters), KEY.txt (the prompt). The open archive stands
// among the unfinished files and grows by whole samples; closing it is a rename.
class TarOutputs : public Outputs {
  public:
    TarOutputs(OutputOptions options, std::string unfinished, std::string suffix, FileSystemLacks& lacks)
        : options_(std::move(options)), unfinished_(std::move(unfinished)), suffix_(std::move(suffix)), lacks_(lacks) {
        for (const auto& entry : fs::directory_iterator(options_.folder))
            next_ = std::max(next_, number_in(entry.path().filename().string()) + 1);
    }
    // Continues an archive that a killed run left open.
    void resume(const std::string& name, std::uint64_t end, int samples) {
        tar_ = std::make_unique<AppendFile>(unfinished_ + "/" + name, &lacks_);
        tar_->cut_to(end);
        name_ = name;
        samples_ = samples;
        next_ = std::max(next_, number_in(name) + 1);
        if (samples_ >= options_.samples_per_tar) close();
    }
    void write(Written& /*written*/) override {}
    void commit(std::span<Written> group) override {
        while (!group.empty()) {
            if (!tar_) open();
            const auto n = std::min<std::size_t>(group.size(), static_cast<std::size_t>(options_.samples_per_tar - samples_));
            append(group.first(n));
            group = group.subspan(n);
            if (samples_ == options_.samples_per_tar) close();
        }
    }
    void finish() override {
        if (tar_) close();
    }

  private:
    [[nodiscard]] int number_in(const std::string& name) const {
        const std::string start = "shard" + suffix_ + "-";
        if (!name.starts_with(start) || !name.ends_with(".tar")) return -1;
        const std::string digits = name.substr(start.size(), name.size() - start.size() - 4);
        return digits.size() > 8 || digits.starts_with('-') ? -1 : parse_number<int>(digits).value_or(-1);
    }
    void open() {
        const std::string digits = std::to_string(next_++);
        name_ = "shard" + suffix_ + "-" + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits + ".tar";
        tar_ = std::make_unique<AppendFile>(unfinished_ + "/" + name_, &lacks_);
        tar_->cut_to(0);
        samples_ = 0;
    }
    void append(std::span<Written> group) {
        std::string bytes;
        const std::uint64_t begin = tar_->size_bytes();
        const auto member = [&](const std::string& name, std::string_view content) {
            bytes += tar_header(name, content.size());
            bytes += content;
            bytes.append(tar_padding(content.size()), '\0');
        };
        for (Written& w : group) {
            w.record.file = name_;
            w.record.offset = begin + bytes.size() + tar_block_bytes;
            member(w.picture.id + extension_of(options_.encoding.format),
                   {reinterpret_cast<const char*>(w.bytes.data()), w.bytes.size()});
            member(w.picture.id + ".json", w.record.parameters);
            member(w.picture.id + ".txt", w.picture.text->prompt);
            w.record.tar_end = begin + bytes.size();
        }
        tar_->append(bytes);
        for (Written& w : group) w.bytes = {};
        samples_ += static_cast<int>(group.size());
    }
    void close() {
        tar_->append(tar_end());
        const std::string from = tar_->path();
        tar_.reset();
        std::error_code ec;
        fs::rename(from, fs::path(options_.folder) / name_, ec);
        if (ec) throw Error(ErrorCode::input, "cannot be written: " + ec.message(), options_.folder + "/" + name_);
        sync_folder(options_.folder, lacks_);
        finished_.push_back(name_);
    }

    OutputOptions options_;
    std::string unfinished_, suffix_, name_;
    FileSystemLacks& lacks_;
    std::unique_ptr<AppendFile> tar_;
    int next_ = 0, samples_ = 0;
};

// Archives that are named in the journals but stand only among unfinished files: how much of them the journals hold.
struct OpenTar {
    std::uint64_t end = 0;
    int samples = 0;
};
std::map<std::string, OpenTar> open_tars(const std::string& folder, const JournalIndex& index,
                                         const std::set<std::string>& candidates) {
    std::map<std::string, OpenTar> found;
    if (candidates.empty()) return found;
    for (const auto& path : index.paths())
        read_journal(path, [&](const JournalRecord& r, std::uint64_t) {
            if (r.tar_end == 0 || !candidates.contains(r.file)) return;
            OpenTar& tar = found[r.file];
            tar.end = std::max(tar.end, r.tar_end);
            ++tar.samples;
        });
    std::erase_if(found, [&](const auto& item) { return fs::exists(fs::path(folder) / item.first); });
    return found;
}

std::set<std::string> tars_in(const std::string& folder) {
    std::set<std::string> names;
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec))
        if (entry.path().extension() == ".tar") names.insert(entry.path().filename().string());
    return names;
}

}  // namespace

std::string unfinished_folder(const std::string& folder, const Shard& shard) {
    return folder + "/" + unfinished_start + shard.suffix();
}

std::vector<std::string> unfinished_folders(const std::string& folder) {
    std::vector<std::string> found;
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec))
        if (entry.path().filename().string().starts_with(unfinished_start)) found.push_back(entry.path().string());
    return found;
}

std::unique_ptr<Outputs> open_outputs(const OutputOptions& options, const Shard& shard, const JournalIndex& known,
                                      FileSystemLacks& lacks, std::span<const std::string> unrecorded) {
    const std::string own = unfinished_folder(options.folder, shard);
    // The whole run cleans up after all; a shard, beside which others may be at work, after itself.
    std::vector<std::string> others = shard.is_whole() ? unfinished_folders(options.folder) : std::vector<std::string>{};
    std::erase(others, own);
    close_left_tars(options.folder, known, others, lacks);
    for (const auto& other : others) remove_folder(other);
    if (!options.webdataset) {
        close_left_tars(options.folder, known, std::vector{own}, lacks);
        remove_folder(own);
        make_folder(own);
        return std::make_unique<FolderOutputs>(options, own, unrecorded, lacks);
    }
    make_folder(own);
    const auto left = open_tars(options.folder, known, tars_in(own));
    for (const auto& name : tars_in(own))
        if (!left.contains(name)) remove_folder(own + "/" + name);
    auto tars = std::make_unique<TarOutputs>(options, own, shard.suffix(), lacks);
    if (!left.empty()) tars->resume(left.rbegin()->first, left.rbegin()->second.end, left.rbegin()->second.samples);
    return tars;
}

void close_left_tars(const std::string& folder, const JournalIndex& index, std::span<const std::string> unfinished,
                     FileSystemLacks& lacks) {
    for (const auto& from : unfinished)
        for (const auto& [name, tar] : open_tars(folder, index, tars_in(from))) {
            {
                AppendFile file(from + "/" + name, &lacks);
                file.cut_to(tar.end);
                file.append(tar_end());
            }
            std::error_code ec;
            fs::rename(from + "/" + name, fs::path(folder) / name, ec);
            if (ec) throw Error(ErrorCode::input, "cannot be written: " + ec.message(), folder + "/" + name);
            sync_folder(folder, lacks);
        }
}

std::string file_of(const OutputOptions& options, const Picture& picture) {
    const auto values = name_fields(picture);
    std::string name =
        fill(options.name, [&](const std::string& field) { return values.at(field); }) + extension_of(options.encoding.format);
    if (fs::path(name).filename().string().size() > file_name_limit)
        throw Error(ErrorCode::input,
                    "its file's name would have over " + std::to_string(file_name_limit) + " bytes: " + in_quotes(name));
    return options.sub_folders ? hex_text(hash64(picture.id)).substr(0, 2) + "/" + name : name;
}

void check_name_template(const std::string& name) {
    static const std::vector<std::string> known{"id", "seed", "prompt", "number", "width", "height", "steps", "sampler"};
    bool has_id = false;
    fill(name, [&](const std::string& field) {
        if (std::ranges::find(known, field) == known.end()) {
            const auto near = nearest_name(field, known);
            throw Error(ErrorCode::invalid_argument,
                        "unknown field {" + field + "}" + (near.empty() ? "" : "; did you mean {" + near + "}?"), Field{"name"});
        }
        has_id = has_id || field == "id";
        return std::string();
    });
    if (!has_id) throw Error(ErrorCode::invalid_argument, "has no {id}, so that two pictures could get one name", Field{"name"});
    const fs::path path(name);
    if (path.is_absolute() || std::ranges::any_of(path, [](const fs::path& part) { return part.string().starts_with('.'); }))
        throw Error(ErrorCode::invalid_argument, "leads out of the output folder or begins with a dot", Field{"name"});
}

bool is_there(const std::string& folder, const JournalRecord& record, bool quick) {
    fs::path path = fs::path(folder) / record.file;
    std::error_code ec;
    if (record.tar_end > 0 && !fs::exists(path, ec)) {
        // Still open: among the unfinished files of the process that made it.
        for (const auto& unfinished : unfinished_folders(folder))
            if (fs::exists(fs::path(unfinished) / record.file)) path = fs::path(unfinished) / record.file;
    }
    const auto size = fs::file_size(path, ec);
    if (ec) return false;
    if (record.tar_end > 0 ? size < record.tar_end : size != record.bytes) return false;
    if (quick) return true;
    try {
        return sha256_of_file(path.string(), record.offset, record.bytes) == record.sha256;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace t2i::batch
