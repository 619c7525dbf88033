#include "batch/gzip_source.h"

#include <zlib.h>

#include <array>

#include "t2i/error.h"

namespace t2i::batch {

namespace {

class GzipSource : public ByteSource {
  public:
    GzipSource(std::unique_ptr<ByteSource> packed, std::string name) : packed_(std::move(packed)), name_(std::move(name)) {
        constexpr int gzip_window = 15 + 16;  // the largest window; gzip's header and trailer alone
        if (inflateInit2(&stream_, gzip_window) != Z_OK) throw Error(ErrorCode::resource, "out of memory while unpacking gzip");
    }
    ~GzipSource() override { inflateEnd(&stream_); }
    GzipSource(const GzipSource&) = delete;
    GzipSource& operator=(const GzipSource&) = delete;

    std::size_t read(std::span<char> to) override {
        stream_.next_out = reinterpret_cast<Bytef*>(to.data());
        stream_.avail_out = static_cast<uInt>(to.size());
        while (stream_.avail_out == to.size()) {
            if (between_ && !next_member()) return 0;
            if (stream_.avail_in == 0 && !fill()) throw Error(ErrorCode::input, "is cut short (gzip)", name_);
            const int result = inflate(&stream_, Z_NO_FLUSH);
            if (result == Z_STREAM_END) between_ = true;
            else if (result == Z_MEM_ERROR) throw Error(ErrorCode::resource, "out of memory while unpacking gzip");
            else if (result != Z_OK && result != Z_BUF_ERROR) throw Error(ErrorCode::input, "is damaged (gzip)", name_);
        }
        return to.size() - stream_.avail_out;
    }
    [[nodiscard]] bool is_live() const override { return packed_->is_live(); }

  private:
    bool fill() {
        stream_.next_in = reinterpret_cast<Bytef*>(block_.data());
        stream_.avail_in = static_cast<uInt>(packed_->read(block_));
        return stream_.avail_in > 0;
    }
    // False: the file ends here.
    bool next_member() {
        while (stream_.avail_in > 0 || fill()) {
            if (*stream_.next_in != 0) {
                inflateReset(&stream_);
                between_ = false;
                return true;
            }
            ++stream_.next_in;
            --stream_.avail_in;
        }
        return false;
    }

    std::unique_ptr<ByteSource> packed_;
    std::string name_;
    z_stream stream_{};
    std::array<char, std::size_t{32} << 10> block_{};
    bool between_ = false;  // after a member's end
};

}  // namespace

std::unique_ptr<ByteSource> unpack_gzip(std::unique_ptr<ByteSource> packed, std::string name) {
    return std::make_unique<GzipSource>(std::move(packed), std::move(name));
}

}  // namespace t2i::batch
