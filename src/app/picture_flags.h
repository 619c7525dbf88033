// --image-format and --quality: what files of pictures are written.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "t2i/picture.h"

namespace t2i::app {

class PictureFlags {
  public:
    // about: the help of --image-format.
    void add_to(CLI::App& app, const std::string& about);
    // What --image-format names; nothing without the flag. Throws Error{invalid_argument}.
    [[nodiscard]] std::optional<PictureFormat> format() const;
    // That format at what --quality says. Throws Error{invalid_argument}: no quality, or one that the format does not have.
    [[nodiscard]] PictureEncoding encoding(PictureFormat format) const;

  private:
    std::string format_, quality_;
};

}  // namespace t2i::app
