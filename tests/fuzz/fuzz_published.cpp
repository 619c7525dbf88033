// Any names and shapes of tensors are a part of a model, whose config and renamed entries fit each other, or nobody's, or an
// Error{input}. Lines: the file's name, then "name extent extent …".
#include <algorithm>
#include <cstdint>
#include <sstream>

#include "fuzz/fuzz_target.h"
#include "models/published.h"

namespace {

class NamesAndShapes final : public t2i::CheckpointReader {
  public:
    explicit NamesAndShapes(std::istream& lines) {
        for (std::string line; std::getline(lines, line);) {
            std::istringstream words(line);
            Entry entry{.name = {}, .dtype = "F32", .shape = {}, .bytes = 0, .file = "fuzz"};
            std::vector<std::int64_t> extents;
            words >> entry.name;
            for (std::int64_t extent = 0; words >> extent;) extents.push_back(extent);
            entry.shape = t2i::Shape(extents);
            // What a reader has checked: the bytes are in the file.
            if (entry.shape.elements() > (std::int64_t{1} << 40)) continue;
            entries_.push_back(std::move(entry));
        }
        std::ranges::sort(entries_, {}, &Entry::name);
        const auto is_same = [](const Entry& a, const Entry& b) { return a.name == b.name; };
        entries_.erase(std::unique(entries_.begin(), entries_.end(), is_same), entries_.end());
    }
    [[nodiscard]] const std::vector<Entry>& entries() const override { return entries_; }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const override { return metadata_; }
    [[nodiscard]] t2i::TensorView tensor(const std::string&) const override { return {}; }

  private:
    std::vector<Entry> entries_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    t2i::fuzz::expect_input_error_or_success([&] {
        std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
        t2i::PartHints hints;
        std::getline(lines, hints.file);
        std::erase(hints.file, '\0');
        std::unique_ptr<t2i::CheckpointReader> reader = std::make_unique<NamesAndShapes>(lines);
        const auto published = t2i::recognise(reader, hints);
        T2I_CHECK(published.has_value() != (reader != nullptr), "a reader that is taken, or not, by halves");
        if (!published) return;
        static_cast<void>(t2i::ModelConfig::parse(published->config, "fuzz").class_name());
        const auto& entries = published->reader->entries();
        T2I_CHECK(std::ranges::is_sorted(entries, {}, &t2i::CheckpointReader::Entry::name), "entries in name order");
    });
    return 0;
}
