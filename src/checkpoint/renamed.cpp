#include "checkpoint/renamed.h"

#include <algorithm>
#include <deque>
#include <mutex>

#include "core/nearest.h"
#include "t2i/error.h"

namespace t2i {

namespace {

using Entry = CheckpointReader::Entry;

class RenamedReader final : public CheckpointReader {
  public:
    RenamedReader(std::unique_ptr<CheckpointReader> reader, std::vector<RenamedTensor> table)
        : reader_(std::move(reader)), table_(std::move(table)) {
        std::ranges::sort(table_, {}, &RenamedTensor::name);
        for (const RenamedTensor& row : table_) {
            entries_.push_back(entry_of(row));
            if (entries_.size() > 1 && entries_[entries_.size() - 2].name == row.name)
                throw Error(ErrorCode::input, "holds tensor " + in_quotes(row.name) + " twice, under two names",
                            entries_.back().file);
        }
    }

    [[nodiscard]] const std::vector<Entry>& entries() const override { return entries_; }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const override { return reader_->metadata(); }
    [[nodiscard]] TensorView tensor(const std::string& name) const override {
        const RenamedTensor& row = row_of(name);
        TensorView view = reader_->tensor(row.source);
        if (row.rows > 0) view = view.slice(row.first_row, row.rows);
        if (row.shape) view = view.reshaped(*row.shape);
        return row.scale.empty() ? view : scaled(row, view);
    }
    void release(const std::string& name) const override {
        const RenamedTensor& row = row_of(name);
        reader_->release(row.source);
        const std::lock_guard lock(mutex_);
        std::erase_if(scaled_, [&](const auto& kept) { return kept.first == name; });
    }

  private:
    [[nodiscard]] const RenamedTensor& row_of(const std::string& name) const {
        const auto row = std::ranges::lower_bound(table_, name, {}, &RenamedTensor::name);
        if (row == table_.end() || row->name != name)
            throw Error(ErrorCode::input, "tensor " + in_quotes(name) + " is not in the file");
        return *row;
    }
    [[nodiscard]] Entry entry_of(const RenamedTensor& row) const {
        const Entry* source = find_entry(*reader_, row.source);
        if (!source) throw Error(ErrorCode::input, "tensor " + in_quotes(row.source) + " is missing");
        const auto fail = [&](const std::string& problem) {
            return Error(ErrorCode::input, "tensor " + in_quotes(row.source) + ": " + problem, source->file);
        };
        Entry entry = *source;
        entry.name = row.name;
        if (row.rows > 0) {
            if (entry.shape.rank() == 0 || row.first_row + row.rows > entry.shape[0])
                throw fail("shape " + entry.shape.text() + " has no rows up to " + std::to_string(row.first_row + row.rows));
            std::vector<std::int64_t> dims{row.rows};
            for (int i = 1; i < entry.shape.rank(); ++i) dims.push_back(entry.shape[i]);
            entry.bytes = entry.bytes / static_cast<std::size_t>(entry.shape[0]) * static_cast<std::size_t>(row.rows);
            entry.shape = Shape(dims);
        }
        if (row.shape) {
            if (row.shape->elements() != entry.shape.elements())
                throw fail("shape " + entry.shape.text() + ", expected as many elements as " + row.shape->text());
            entry.shape = *row.shape;
        }
        if (!row.scale.empty()) {
            const Entry* scale = find_entry(*reader_, row.scale);
            if (!scale || scale->shape.elements() != 1) throw fail(in_quotes(row.scale) + ", its scale, is not one number");
            entry.dtype = "F32";
            entry.bytes = static_cast<std::size_t>(entry.shape.elements()) * sizeof(float);
        }
        return entry;
    }

    [[nodiscard]] TensorView scaled(const RenamedTensor& row, const TensorView& view) const {
        const std::lock_guard lock(mutex_);
        const auto known = std::ranges::find(scaled_, row.name, &std::pair<std::string, Tensor>::first);
        if (known != scaled_.end()) return known->second;
        const TensorView factor = reader_->tensor(row.scale);
        float scale = 0;
        convert_to_f32(factor.data, factor.dtype, 1, &scale);
        Tensor tensor = Tensor::host(view.shape);
        const auto values = tensor.as<float>();
        convert_to_f32(view.data, view.dtype, values.size(), values.data());
        for (float& value : values) value *= scale;
        if (scaled_.size() > scaled_tensors_kept) scaled_.pop_front();
        return scaled_.emplace_back(row.name, std::move(tensor)).second;
    }

    std::unique_ptr<CheckpointReader> reader_;
    std::vector<RenamedTensor> table_;  // in name order, as the entries
    std::vector<Entry> entries_;
    mutable std::mutex mutex_;
    mutable std::deque<std::pair<std::string, Tensor>> scaled_;  // of mutex_, the newest last
};

}  // namespace

std::unique_ptr<CheckpointReader> rename_tensors(std::unique_ptr<CheckpointReader> reader, std::vector<RenamedTensor> table) {
    return std::make_unique<RenamedReader>(std::move(reader), std::move(table));
}

}  // namespace t2i
