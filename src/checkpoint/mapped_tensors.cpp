#include "checkpoint/mapped_tensors.h"

#include <utility>

#include "checkpoint/stored_dtype.h"

namespace t2i {

namespace {

class MappedTensors final : public CheckpointReader {
  public:
    MappedTensors(MappedFile file, std::vector<Entry> entries, std::vector<std::size_t> offsets,
                  std::map<std::string, std::string> metadata)
        : file_(std::move(file)), entries_(std::move(entries)), offsets_(std::move(offsets)), metadata_(std::move(metadata)) {}

    [[nodiscard]] const std::vector<Entry>& entries() const override { return entries_; }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const override { return metadata_; }
    [[nodiscard]] TensorView tensor(const std::string& name) const override {
        const std::size_t i = entry_index(*this, name, file_.path());
        // TensorView has no read-only form; the mapping itself refuses writes.
        return {const_cast<std::byte*>(file_.bytes().data()) + offsets_[i], dtype_of(entries_[i]), Device::host,
                entries_[i].shape};
    }
    void release(const std::string& name) const override {
        const TensorView view = tensor(name);
        file_.drop_pages(view.data, view.bytes());
    }

  private:
    MappedFile file_;
    std::vector<Entry> entries_;
    std::vector<std::size_t> offsets_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace

std::unique_ptr<CheckpointReader> map_tensors(MappedFile file, std::vector<CheckpointReader::Entry> entries,
                                              std::vector<std::size_t> offsets, std::map<std::string, std::string> metadata) {
    return std::make_unique<MappedTensors>(std::move(file), std::move(entries), std::move(offsets), std::move(metadata));
}

}  // namespace t2i
