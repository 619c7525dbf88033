#include "checkpoint/sharded.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "checkpoint/json_events.h"
#include "checkpoint/mapped_file.h"
#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

// Reads "weight_map" and steps over everything else at the top level ("metadata" is only advisory).
class IndexEvents final : public JsonEvents {
  public:
    explicit IndexEvents(const std::string& where) : JsonEvents(where, "shard index") {}
    std::map<std::string, std::string> weight_map;

    bool null() override { return skip("null"); }
    bool boolean(bool /*value*/) override { return skip("a boolean"); }
    bool number_integer(std::int64_t /*value*/) override { return skip("a number"); }
    bool number_unsigned(std::uint64_t /*value*/) override { return skip("a number"); }
    bool number_float(double /*value*/, const std::string& /*text*/) override { return skip("a number"); }
    bool start_array(std::size_t /*elements*/) override {
        skip("an array");
        ++depth_;
        return true;
    }
    bool end_array() override {
        --depth_;
        return true;
    }
    bool start_object(std::size_t /*elements*/) override {
        if (in_weight_map_ && depth_ != 1) unexpected("an object");
        ++depth_;
        return true;
    }
    bool end_object() override {
        if (--depth_ == 0 && !saw_weight_map_) fail("has no \"weight_map\"");
        return true;
    }
    bool key(std::string& name) override {
        if (depth_ == 1) {
            in_weight_map_ = name == "weight_map";
            if (in_weight_map_ && std::exchange(saw_weight_map_, true)) fail("duplicate key \"weight_map\"");
        }
        key_ = std::move(name);
        return true;
    }
    bool string(std::string& file) override {
        if (!in_weight_map_) return skip("a string");
        if (depth_ != 2) unexpected("a string");
        const bool is_plain =
            !file.empty() && file != "." && file != ".." && file.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
        if (!is_plain) fail("shard " + in_quotes(file) + " of tensor " + in_quotes(key_) + " is not a plain file name");
        if (!weight_map.emplace(key_, std::move(file)).second) fail("duplicate key " + in_quotes(key_));
        return true;
    }

  private:
    bool skip(const char* event) {
        if (in_weight_map_ || depth_ == 0) unexpected(event);
        return true;
    }
    [[nodiscard]] std::string place() const override { return depth_ == 0 ? std::string() : "at " + in_quotes(key_); }

    std::size_t depth_ = 0;
    bool in_weight_map_ = false, saw_weight_map_ = false;
    std::string key_;
};

class ShardedReader final : public CheckpointReader {
  public:
    explicit ShardedReader(const std::string& index_path) : index_path_(index_path) {
        std::set<std::string> files;
        {
            const MappedFile index(index_path);
            const std::string_view text(reinterpret_cast<const char*>(index.bytes().data()), index.bytes().size());
            for (auto& [tensor, file] : parse_shard_index(text, index_path)) files.insert(std::move(file));
        }
        const auto folder = std::filesystem::path(index_path).parent_path();
        std::map<std::string, Place> places;
        for (const std::string& file : files) {
            const auto& shard = *shards_.emplace_back(open_shard((folder / file).string()));
            metadata_.insert(shard.metadata().begin(), shard.metadata().end());
            for (const Entry& entry : shard.entries()) places[entry.name] = {&shard, &entry};
        }
        for (const auto& [name, place] : places) {
            entries_.push_back(*place.entry);
            shard_of_.push_back(place.shard);
        }
    }
    [[nodiscard]] const std::vector<Entry>& entries() const override { return entries_; }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const override { return metadata_; }
    [[nodiscard]] TensorView tensor(const std::string& name) const override { return shard_of(name).tensor(name); }
    void release(const std::string& name) const override { shard_of(name).release(name); }

  private:
    struct Place {
        const CheckpointReader* shard = nullptr;
        const Entry* entry = nullptr;
    };
    [[nodiscard]] const CheckpointReader& shard_of(const std::string& name) const {
        const Entry* entry = find_entry(*this, name);
        if (!entry) throw Error(ErrorCode::input, "tensor " + in_quotes(name) + " is in none of the shards", index_path_);
        return *shard_of_[static_cast<std::size_t>(entry - entries_.data())];
    }
    std::string index_path_;
    std::map<std::string, std::string> metadata_;
    std::vector<std::unique_ptr<CheckpointReader>> shards_;
    std::vector<Entry> entries_;                     // in name order
    std::vector<const CheckpointReader*> shard_of_;  // of each entry
};

}  // namespace

std::map<std::string, std::string> parse_shard_index(std::string_view json, const std::string& where) {
    IndexEvents events(where);
    parse_json_events(json, events);
    return std::move(events.weight_map);
}

std::unique_ptr<CheckpointReader> open_sharded(const std::string& index_path) {
    return std::make_unique<ShardedReader>(index_path);
}

}  // namespace t2i
