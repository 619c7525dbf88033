// A library's algorithms found best on a device, kept in a file between runs, so that a machine searches once and a picture
// is made by the same algorithms every time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace t2i {

class AlgorithmCache {
  public:
    struct Entry {
        std::array<std::uint64_t, 8> algorithm{};  // of a product: cublasLtMatmulAlgo_t, valid for one version of cuBLASLt
        std::uint64_t workspace_bytes = 0;
        bool operator==(const Entry&) const = default;
    };
    using Warn = std::function<void(const std::string& line)>;

    // $XDG_CACHE_HOME/t2i/<library>-<device>-<driver>-<version>.json, else under $HOME/.cache; empty: neither is set.
    [[nodiscard]] static std::string path_for(std::string_view library, std::string_view device, std::string_view driver,
                                              std::string_view version);

    // Reads `path`; a missing file is an empty cache, one that is no cache is ignored with a warning and overwritten later.
    // An empty path: kept in memory alone.
    AlgorithmCache(std::string path, Warn warn);

    [[nodiscard]] std::optional<Entry> find(const std::string& key) const;
    // Keeps it and writes the file, atomically, with what other processes have put there meanwhile. A file that cannot be
    // written is a warning, once: the next run searches again.
    void put(const std::string& key, const Entry& entry);

  private:
    void write();

    std::string path_;
    Warn warn_;
    std::map<std::string, Entry> entries_;
    bool has_warned_ = false;
};

}  // namespace t2i
