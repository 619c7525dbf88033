#include "app/output_names.h"

#include <cctype>
#include <filesystem>

#include "app/standard_streams.h"
#include "core/files.h"
#include "core/folders.h"
#include "core/nearest.h"
#include "pipeline/picture_format.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

namespace {

Error output_error(const std::string& message) {
    return {ErrorCode::invalid_argument, message, "--output"};
}

std::string padded(int value, std::size_t width) {
    std::string digits = std::to_string(value);
    return digits.size() >= width ? digits : std::string(width - digits.size(), '0') + digits;
}

// What takes the bytes of one picture: standard output, a device, a FIFO.
bool is_a_stream(const std::string& path) {
    std::error_code ec;
    return own_descriptor(path) || (fs::exists(path, ec) && !fs::is_regular_file(path, ec) && !fs::is_directory(path, ec));
}

PictureFormat format_of_name(const std::string& name, std::optional<PictureFormat> wanted) {
    const std::string extension = fs::path(name).extension().string();
    const auto format = format_of_extension(extension);
    if (!format)
        throw output_error(
            (extension.size() < 2 ? in_quotes(name) + " names no format" : "no format is called " + in_quotes(extension)) +
            "; a file ends in " + known_extensions() + ", a folder in /");
    if (wanted && *wanted != *format)
        throw output_error(in_quotes(name) + " is a " + row_of(*format).name + ", --image-format says " + row_of(*wanted).name);
    return *format;
}

}  // namespace

void refuse_same_file(const std::string& flag, const std::string& path, const std::string& other, const std::string& what) {
    if (path.empty() || other.empty() || is_a_stream(path) || is_a_stream(other)) return;
    std::error_code ec;
    const bool both_there = fs::exists(path, ec) && fs::exists(other, ec);
    const bool same = both_there
                          ? fs::equivalent(path, other, ec)
                          : fs::weakly_canonical(fs::absolute(path, ec), ec) == fs::weakly_canonical(fs::absolute(other, ec), ec);
    if (same && !ec) throw Error(ErrorCode::invalid_argument, in_quotes(path) + " is " + what + "; name another file", flag);
}

// Sets the text before and after the number, if there is a place for one.
void OutputNames::read_file_name(const std::string& name) {
    std::string* part = &start_;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name[i] != '%') {
            *part += name[i];
            continue;
        }
        std::size_t at = i + 1, width = 0;
        if (at < name.size() && name[at] == '%') {
            *part += '%';
            i = at;
            continue;
        }
        while (at < name.size() && std::isdigit(static_cast<unsigned char>(name[at])) && width < 10)
            width = width * 10 + static_cast<std::size_t>(name[at++] - '0');
        if (is_numbered_ || at >= name.size() || name[at] != 'd' || width > 9)
            throw output_error("only one %d or %0Nd may stand in a file's name, and a percent sign is written %%: " +
                               in_quotes(name));
        is_numbered_ = true;
        digits_ = width;
        part = &end_;
        i = at;
    }
}

OutputNames::OutputNames(const std::string& flag, int count, std::optional<PictureFormat> format) {
    if (flag.empty()) throw output_error("the name is empty");
    const std::string output = output_path(flag);
    format_ = format.value_or(PictureFormat::png);
    if (std::error_code ec; output.ends_with('/') || fs::is_directory(output, ec)) {
        check_folder(output);
        folder_ = output;
        start_ = output + (output.ends_with('/') ? "" : "/");
        end_ = extension_of(format_);
        digits_ = 3;
        is_numbered_ = true;
        return;
    }
    if (is_a_stream(output)) {
        if (count > 1) throw output_error(in_quotes(flag) + " takes one picture, not " + std::to_string(count));
        if (is_standard_output(output)) refuse_terminal("--output", "a picture");
        check_can_be_written(output);
        start_ = output;
        return;
    }
    const std::size_t name_at = output.rfind('/') + 1;  // npos + 1 is 0
    read_file_name(output.substr(name_at));
    format_ = format_of_name(start_ + end_, format);
    if (!is_numbered_ && count > 1) {
        const std::string extension = fs::path(start_).extension().string();
        start_.resize(start_.size() - extension.size());
        start_ += "_";
        end_ = extension;
        is_numbered_ = true;
    }
    start_ = output.substr(0, name_at) + start_;
    check_can_be_written(path(0));
}

std::string OutputNames::path(int i) const {
    return is_numbered_ ? start_ + padded(i, digits_) + end_ : start_;
}

}  // namespace t2i::app
