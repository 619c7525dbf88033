// What -o means: names, numbers, folders, devices, formats.
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <vector>

#include "app/output_names.h"
#include "support/files.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;
using app::OutputNames;

// The paths below `folder` of `count` pictures.
std::vector<std::string> names(const TempFolder& folder, const std::string& output, int count,
                               std::optional<PictureFormat> format = std::nullopt) {
    const OutputNames all(folder / output, count, format);
    std::vector<std::string> found;
    for (int i = 0; i < count; ++i) {
        const std::string path = all.path(i), start = folder / "";
        REQUIRE(path.starts_with(start));
        found.push_back(path.substr(start.size()));
    }
    return found;
}

std::string refusal(const TempFolder& folder, const std::string& output, ErrorCode code = ErrorCode::invalid_argument) {
    return message_of(code, [&] { (void)OutputNames(folder / output, 1, std::nullopt); });
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("output names: one picture has the name itself, several are numbered before the extension") {
    const TempFolder folder;
    CHECK(names(folder, "a.png", 1) == Names{"a.png"});
    CHECK(names(folder, "a.b.png", 2) == Names{"a.b_0.png", "a.b_1.png"});
    CHECK(names(folder, "a%03d.webp", 2) == Names{"a000.webp", "a001.webp"});
    CHECK(names(folder, "%d-a.jpg", 1) == Names{"0-a.jpg"});
    CHECK(names(folder, "a%02d.png", 101).back() == "a100.png");
    CHECK(OutputNames("a.png", 1, std::nullopt).path(0) == "a.png");
}

TEST_CASE("output names: only the last part of a path is looked at for a number, and %% is a percent sign") {
    const TempFolder folder;
    fs::create_directory(folder / "100%d%");
    CHECK(names(folder, "100%d%/a.png", 2) == Names{"100%d%/a_0.png", "100%d%/a_1.png"});
    CHECK(names(folder, "100%d%/a%d.png", 2) == Names{"100%d%/a0.png", "100%d%/a1.png"});
    CHECK(names(folder, "100%d%/", 1) == Names{"100%d%/000.png"});
    CHECK(names(folder, "100%d%", 1) == Names{"100%d%/000.png"});
    CHECK(names(folder, "50%%.png", 1) == Names{"50%.png"});
    CHECK(names(folder, "50%%.png", 2) == Names{"50%_0.png", "50%_1.png"});
    CHECK(names(folder, "50%%-%02d%%.png", 2) == Names{"50%-00%.png", "50%-01%.png"});
    for (const char* bad : {"%s.png", "50%.png", "%d%d.png", "%", "%12345678901d.png", "a.%"}) {
        INFO(bad);
        CHECK(contains(refusal(folder, bad), "%%"));
    }
}

TEST_CASE("output names: a folder ends in a slash or is there, and its last part alone may be missing") {
    const TempFolder folder;
    fs::create_directory(folder / "old");
    fs::create_directory_symlink("old", folder / "link");
    CHECK(names(folder, "old", 2) == Names{"old/000.png", "old/001.png"});
    CHECK(names(folder, "link", 1) == Names{"link/000.png"});
    CHECK(names(folder, "old/", 1, PictureFormat::webp) == Names{"old/000.webp"});
    const OutputNames made(folder / "new/", 2, PictureFormat::jpeg);
    CHECK(made.path(1) == folder / "new/001.jpg");
    CHECK(made.folder() == folder / "new/");
    CHECK_FALSE(fs::exists(folder / "new"));  // not before there is a picture
    CHECK(OutputNames(folder / "a.png", 1, std::nullopt).folder().empty());

    CHECK(contains(refusal(folder, "none/new/", ErrorCode::input), (folder / "none") + ": output folder does not exist"));
    CHECK(contains(refusal(folder, "none/a.png", ErrorCode::input), (folder / "none") + ": output folder does not exist"));
    write_file(folder / "file", "x");
    CHECK(refusal(folder, "file/", ErrorCode::input) == (folder / "file") + ": is a file, not a folder");
    fs::create_symlink("nowhere", folder / "dangling");
    CHECK(refusal(folder, "dangling/", ErrorCode::input) ==
          (folder / "dangling") + ": is a link to \"nowhere\", which is not there");
}

TEST_CASE("output names: the extension says the format, whatever its case, and an unknown one is refused") {
    const TempFolder folder;
    const auto format = [&](const std::string& output) { return OutputNames(folder / output, 1, std::nullopt).format(); };
    CHECK(format("a.PNG") == PictureFormat::png);
    CHECK(format("a.Jpg") == PictureFormat::jpeg);
    CHECK(format("a%d.jpeg") == PictureFormat::jpeg);
    CHECK(format("a.png.webp") == PictureFormat::webp);
    CHECK(names(folder, "a.JPG", 2) == Names{"a_0.JPG", "a_1.JPG"});
    for (const char* bad : {"a", "a.", ".png", "a.bmp", "a.jpg.bak", "a.png ", "a%d", "png"}) {
        INFO(bad);
        const std::string line = refusal(folder, bad);
        CHECK(contains(line, ".png, .jpg, .jpeg or .webp"));
        CHECK(contains(line, "--output"));
    }
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)OutputNames("", 1, std::nullopt); }), "empty"));
    CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)OutputNames(folder / "a.png", 1, PictureFormat::jpeg); }),
                   "--image-format says JPEG"));
    CHECK(OutputNames(folder / "a.png", 1, PictureFormat::png).format() == PictureFormat::png);
}

TEST_CASE("output names: standard output, devices and pipes are written as they are") {
    const TempFolder folder;
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    for (const std::string& special : {std::string("-"), std::string("/dev/null"), std::string("/dev/stdout"), folder / "pipe"}) {
        if (special == "/dev/null" && !fs::exists(special)) continue;  // a bare root has no devices
        const OutputNames one(special, 1, std::nullopt);
        CHECK(one.path(0) == (special == "-" ? "/dev/stdout" : special));
        CHECK(contains(message_of(ErrorCode::invalid_argument, [&] { (void)OutputNames(special, 2, std::nullopt); }),
                       "one picture, not 2"));
        CHECK(one.format() == PictureFormat::png);
        CHECK(OutputNames(special, 1, PictureFormat::jpeg).format() == PictureFormat::jpeg);
    }
    // A folder of memory is a folder like any other.
    if (fs::is_directory("/dev/shm") && ::access("/dev/shm", W_OK) == 0)
        CHECK(OutputNames("/dev/shm/t2i-a.jpg", 2, std::nullopt).path(1) == "/dev/shm/t2i-a_1.jpg");
}

TEST_CASE("output names: millions of pictures take no memory before the request is checked") {
    const TempFolder folder;
    CHECK(OutputNames(folder / "a.png", INT_MAX, std::nullopt).path(INT_MAX - 1) == folder / "a_2147483646.png");
    CHECK(OutputNames(folder / "a.png", -5, std::nullopt).path(0) == folder / "a.png");
}

}  // namespace t2i::test
