#include "checkpoint/dictionary.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

class DictionaryReader final : public CheckpointReader {
  public:
    DictionaryReader(std::unique_ptr<CheckpointReader> reader, std::string prefix)
        : reader_(std::move(reader)), prefix_(std::move(prefix)) {
        const auto& all = reader_->entries();
        for (auto entry = std::ranges::lower_bound(all, prefix_, {}, &Entry::name);
             entry != all.end() && entry->name.starts_with(prefix_); ++entry) {
            entries_.push_back(*entry);
            entries_.back().name.erase(0, prefix_.size());
        }
    }

    [[nodiscard]] const std::vector<Entry>& entries() const override { return entries_; }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const override { return reader_->metadata(); }
    [[nodiscard]] TensorView tensor(const std::string& name) const override { return reader_->tensor(prefix_ + name); }
    void release(const std::string& name) const override { reader_->release(prefix_ + name); }

  private:
    std::unique_ptr<CheckpointReader> reader_;
    std::string prefix_;
    std::vector<Entry> entries_;
};

// "ema, model, opt": what stands before the first dot of names.
std::string beginnings(const CheckpointReader& reader) {
    constexpr std::size_t most_named = 8;
    std::set<std::string> names;
    for (const auto& entry : reader.entries())
        if (names.size() <= most_named && entry.name.find('.') != std::string::npos)
            names.insert(entry.name.substr(0, entry.name.find('.')));
    std::string text;
    std::size_t count = 0;
    for (const auto& name : names) text += count++ == most_named ? ", …" : (text.empty() ? "" : ", ") + in_quotes(name);
    return text;
}

}  // namespace

std::unique_ptr<CheckpointReader> take_dictionary(std::unique_ptr<CheckpointReader> reader, const std::string& dictionary) {
    if (dictionary.empty()) return reader;
    const std::string file = reader->entries().empty() ? std::string() : reader->entries().front().file;
    const std::string names = beginnings(*reader);
    auto part = std::make_unique<DictionaryReader>(std::move(reader), dictionary + ".");
    if (part->entries().empty())
        throw Error(ErrorCode::input,
                    "no tensors in " + in_quotes(dictionary) + (names.empty() ? std::string() : "; there are " + names), file);
    return part;
}

}  // namespace t2i
