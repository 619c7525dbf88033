// Small zip archives for tests, right ones and broken ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace t2i::test {

class ZipBuilder {
  public:
    struct Entry {
        std::string name, content;
        std::uint16_t method = 0, flags = 0;
        std::string local_name{};                 // empty: the name
        std::int64_t stored = -1, unpacked = -1;  // -1: as the content is
        std::int64_t header = -1;                 // where it says that its header is; -1: where it is
        std::string central_extra{};
    };
    ZipBuilder& add(std::string_view name, std::string_view content) {
        return add(Entry{.name = std::string(name), .content = std::string(content)});
    }
    ZipBuilder& add(const Entry& e) {
        const auto begin = static_cast<std::int64_t>(data_.size());
        const std::string& local = e.local_name.empty() ? e.name : e.local_name;
        data_ += "PK\x03\x04";
        numbers(data_, {{2, 0},
                        {2, e.flags},
                        {2, e.method},
                        {4, 0},
                        {4, 0},
                        {4, as_u64(e.content.size())},
                        {4, as_u64(e.content.size())},
                        {2, as_u64(local.size())},
                        {2, 0}});
        data_ += local + e.content;
        central_ += "PK\x01\x02";
        const auto size = static_cast<std::int64_t>(e.content.size());
        numbers(central_, {{2, 0},
                           {2, 0},
                           {2, e.flags},
                           {2, e.method},
                           {4, 0},
                           {4, 0},
                           {4, as_u64(e.stored < 0 ? size : e.stored)},
                           {4, as_u64(e.unpacked < 0 ? size : e.unpacked)},
                           {2, as_u64(e.name.size())},
                           {2, as_u64(e.central_extra.size())},
                           {2, 0},
                           {2, 0},
                           {2, 0},
                           {4, 0},
                           {4, as_u64(e.header < 0 ? begin : e.header)}});
        central_ += e.name + e.central_extra;
        ++count_;
        return *this;
    }
    // claimed: how many entries it says that it has; -1: as it is.
    [[nodiscard]] std::string build(std::int64_t claimed = -1) const {
        std::string file = data_ + central_ + "PK\x05\x06";
        const std::uint64_t entries = claimed < 0 ? count_ : as_u64(claimed);
        numbers(file,
                {{2, 0}, {2, 0}, {2, entries}, {2, entries}, {4, as_u64(central_.size())}, {4, as_u64(data_.size())}, {2, 0}});
        return file;
    }

  private:
    struct Number {
        int bytes;
        std::uint64_t value;
    };
    template <typename T>
    static std::uint64_t as_u64(T value) {
        return static_cast<std::uint64_t>(value);
    }
    static void numbers(std::string& to, const std::vector<Number>& list) {
        for (const auto& [bytes, value] : list)
            for (int i = 0; i < bytes; ++i) to += static_cast<char>((value >> (8 * i)) & 0xFFU);
    }
    std::string data_, central_;
    std::uint64_t count_ = 0;
};

}  // namespace t2i::test
