// scripts/README.md lists every script, and nothing that is gone.
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "support/catch.h"
#include "support/files.h"
#include "support/place.h"

using namespace t2i::test;
namespace fs = std::filesystem;

namespace {

using Paths = std::set<std::string>;

// The first cells of the tables: | `path` | …
Paths listed_in(const std::string& markdown) {
    static const std::regex row(R"(^\| `([^`]+)` \| .+)");
    Paths paths;
    std::istringstream lines(markdown);
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (std::regex_match(line, match, row)) paths.insert(match[1]);
    }
    return paths;
}

Paths files_below(const fs::path& folder) {
    Paths paths;
    for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
        if (entry->path().filename() == "__pycache__") entry.disable_recursion_pending();
        else if (entry->is_regular_file()) paths.insert(fs::relative(entry->path(), folder).generic_string());
    }
    return paths;
}

}  // namespace

TEST_CASE("scripts: the README lists every file, and nothing that is gone") {
    const fs::path folder = source_folder() / "scripts";
    if (!fs::exists(folder / "README.md")) {
        WARN("skipped: there are no sources beside this test");  // an unpacked archive
        return;
    }
    const Paths listed = listed_in(file_text((folder / "README.md").string()));
    Paths files = files_below(folder);
    files.erase("README.md");
    CHECK(files.size() > 10);
    for (const std::string& path : files)
        if (!listed.contains(path)) FAIL_CHECK("scripts/README.md has no line for " << path);
    for (const std::string& path : listed)
        if (!files.contains(path)) FAIL_CHECK("scripts/README.md lists " << path << ", which is not there");
}

TEST_CASE("scripts: a table's first cells are what it lists") {
    CHECK(listed_in("| script | does |\n| --- | --- |\n| `a.sh` | x |\n| `b/c.py` | `d.py` |\n`e.sh`\n") ==
          Paths{"a.sh", "b/c.py"});
}
