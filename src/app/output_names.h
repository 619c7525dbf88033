// Where the pictures of one run go.
#pragma once

#include <optional>
#include <string>

#include "t2i/picture.h"

namespace t2i::app {

// Before the work: throws Error{invalid_argument} about `flag` when the plain file that it writes, at `path`, is also `other`,
// which is read or written as `what` says. Empty paths, devices and pipes are nobody's.
void refuse_same_file(const std::string& flag, const std::string& path, const std::string& other, const std::string& what);

// What -o says: a file, a name with a place for the picture's number, a folder, a device, or "-".
class OutputNames {
  public:
    // `output`: a name that ends in a known extension; one with %d or %0Nd in its last part, where %% is a percent sign; a
    // folder, which ends in '/' or is there; "-"; or what is there and neither file nor folder, such as /dev/null. format: of
    // --image-format; what has no extension is a PNG without it. Throws Error: invalid_argument (no extension or an unknown one,
    // another than `format`, another % conversion, several pictures for one device), input (what is written to is not there or
    // cannot be written; the last folder alone may be missing, see make_folder()).
    OutputNames(const std::string& output, int count, std::optional<PictureFormat> format);

    [[nodiscard]] PictureFormat format() const { return format_; }
    // Of picture i: name.png of a single one, name_0.png, name_1.png … of several; in a folder 000.png, 001.png …
    [[nodiscard]] std::string path(int i) const;
    // To be made before the first picture is written; "": there is none to make.
    [[nodiscard]] const std::string& folder() const { return folder_; }

  private:
    void read_file_name(const std::string& name);

    std::string start_, end_;  // of the path, before and after the number
    std::size_t digits_ = 0;   // at least so many
    bool is_numbered_ = false;
    PictureFormat format_ = PictureFormat::png;
    std::string folder_;
};

}  // namespace t2i::app
