// The arrows between rooms: who may include whom, as the table of src/README.md says. A new room or arrow is a row there.
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/files.h"
#include "support/place.h"

using namespace t2i::test;
namespace fs = std::filesystem;

namespace {

// Room → rooms and single headers that it may include besides itself. "t2i" is include/t2i.
using Arrows = std::map<std::string, std::set<std::string>>;

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) {
        part.erase(std::remove(part.begin(), part.end(), '`'), part.end());
        const std::size_t first = part.find_first_not_of(' ');
        parts.push_back(first == std::string::npos ? "" : part.substr(first, part.find_last_not_of(' ') + 1 - first));
    }
    return parts;
}

// "core/" → "core", "../include/t2i/" → "t2i".
std::string room_of_cell(std::string cell) {
    if (!cell.empty() && cell.back() == '/') cell.pop_back();
    return cell.substr(cell.find_last_of('/') + 1);
}

// The rows below "| room | … | may include |" of a README, as far as its table goes.
Arrows arrows_of(const std::string& markdown) {
    Arrows arrows;
    bool in_table = false;
    std::istringstream lines(markdown);
    for (std::string line; std::getline(lines, line);) {
        const std::vector<std::string> cells = split(line, '|');
        if (cells.size() != 4 || !cells[0].empty()) {
            in_table = false;
        } else if (cells[1] == "room" && cells[3] == "may include") {
            in_table = true;
        } else if (in_table && cells[1].rfind("---", 0) != 0) {
            std::set<std::string>& allowed = arrows[room_of_cell(cells[1])];
            for (const std::string& name : split(cells[3], ','))
                if (name != "nothing of ours") allowed.insert(name);
        }
    }
    return arrows;
}

// The arrows of this source tree.
const Arrows& our_arrows() {
    static const Arrows arrows = arrows_of(file_text((source_folder() / "src" / "README.md").string()));
    return arrows;
}

// Rooms that stand in a circle of arrows, or above one.
std::vector<std::string> rooms_in_a_circle(Arrows arrows) {
    // A room that includes none of those left can stand in no circle.
    const auto includes_none = [&](const auto& row) {
        return std::none_of(row.second.begin(), row.second.end(),
                            [&](const std::string& name) { return arrows.contains(name.substr(0, name.find('/'))); });
    };
    for (auto row = arrows.begin(); row != arrows.end();) {
        if (includes_none(*row)) {
            arrows.erase(row);
            row = arrows.begin();
        } else {
            ++row;
        }
    }
    std::vector<std::string> rooms;
    for (const auto& [room, allowed] : arrows) rooms.push_back(room);
    return rooms;
}

// "src/checkpoint/open.cpp" → "checkpoint", "include/t2i/error.h" → "t2i", "kernels/ref/x.h" → "kernels".
std::string room_of_file(const std::string& path) {
    const fs::path p(path);
    auto part = p.begin();
    if (*part == "src" || *part == "include") ++part;
    return part->string();
}

struct Include {
    std::string target;
    bool is_quoted;
};

std::vector<Include> includes_of(const std::string& text) {
    static const std::regex pattern(R"re(^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">])re");
    std::vector<Include> found;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (std::regex_search(line, match, pattern)) found.push_back({match[2], match[1] == "\""});
    }
    return found;
}

bool starts_with_any(const std::string& text, std::initializer_list<const char*> prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(), [&](const char* p) { return text.rfind(p, 0) == 0; });
}

// A library header is named without a folder (<vector>, C's <stdint.h>); third-party ones are named with one, or end in .h or
// .hpp.
bool is_standard_header(const std::string& target) {
    if (target == "stddef.h" || target == "stdint.h") return true;
    return target.find('/') == std::string::npos && target.find('.') == std::string::npos;
}

// What is wrong with one #include of the file at `path`, if anything.
std::optional<std::string> include_problem(const Arrows& arrows, const std::string& path, const Include& include) {
    const std::string& target = include.target;
    const auto stands_in = [&](std::initializer_list<const char*> folders) { return starts_with_any(path, folders); };
    if (starts_with_any(target, {"immintrin.h", "arm_neon.h", "hwy/"}) && !stands_in({"kernels/cpu/"})) {
        return "Highway and intrinsics belong in kernels/cpu";
    }
    if (starts_with_any(target, {"cuda", "cublas", "cudnn", "nccl", "nvtx", "cutlass", "cooperative_groups", "mma.h"}) &&
        !stands_in({"kernels/cuda/", "kernels/emulation/", "src/backend/cuda/", "src/backend/gpu/"})) {
        return "CUDA belongs in kernels/cuda, src/backend/cuda and src/backend/gpu";
    }
    const std::string room = room_of_file(path);
    const auto row = arrows.find(room);
    if (row == arrows.end()) return "the room " + room + " is not in the table of src/README.md";
    if (!include.is_quoted) {
        if (room == "t2i" && !is_standard_header(target)) return "include/t2i needs the standard library alone";
        return std::nullopt;
    }
    const std::string target_room = target.substr(0, target.find('/'));
    const bool is_beside = target.find('/') == std::string::npos;  // a header in the same folder
    if (is_beside || target_room == room) return std::nullopt;
    if (target_room == "hwy") return std::nullopt;  // Highway includes its own target headers in quotes
    if (target_room == "t2i" && stands_in({"src/"})) return std::nullopt;
    if (row->second.contains(target_room) || row->second.contains(target)) return std::nullopt;
    return room + " may not include " + target_room;
}

// A preprocessor condition that asks which backend is built, if the text has one.
std::optional<std::string> backend_condition(const std::string& text) {
    static const std::regex pattern(
        R"(^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)\b.*(T2I_(WITH_|HAVE_|USE_|ENABLE_)?(CUDA|CPU|REF|GPU|BACKEND)|__CUDACC__|__CUDA_ARCH__).*)");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (std::regex_match(line, pattern)) return line;
    return std::nullopt;
}

// What a kernel's source must leave to the headers that <t2i_…> finds, so that nvcc and the host compile the same lines:
// conditions, inline assembly, launches and shared memory by CUDA's own syntax.
std::optional<std::string> kernel_problem(const std::string& path, const std::string& text) {
    if (path.rfind("kernels/cuda/", 0) != 0 || path.rfind("kernels/cuda/ptx/", 0) == 0) return std::nullopt;
    static const std::regex pattern(R"re(^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)\b.*|^[^/"]*(\basm\b|<<<|__shared__).*)re");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (std::regex_match(line, pattern)) return line;
    return std::nullopt;
}

// A call that changes the whole process under the feet of a program that uses the library, if the text has one. Commands may do
// so.
std::optional<std::string> process_wide_call(const std::string& path, const std::string& text) {
    if (starts_with_any(path, {"src/app/"})) return std::nullopt;
    static const std::regex pattern(
        R"(\b(umask|chdir|fchdir|setenv|unsetenv|putenv|setlocale|locale::global|signal|sigaction|srand|fesetround|)"
        R"(setrlimit|_?exit|atexit)\s*\()");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (std::regex_search(line.substr(0, line.find("//")), pattern)) return line;
    return std::nullopt;
}

// A thread that is started by another way than core/threads.h, if the text has one: what the system refuses would end the
// process.
std::optional<std::string> bare_thread(const std::string& path, const std::string& text) {
    if (path == "src/core/threads.h") return std::nullopt;
    static const std::regex pattern(R"(\bstd::(jthread\b|async\b|thread( \w+)?[({])|pthread_create)");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (std::regex_search(line.substr(0, line.find("//")), pattern)) return line;
    return std::nullopt;
}

// What stands between quotation marks in a line of C++, one after the other.
std::string literals_of(const std::string& line) {
    std::string literals;
    char quote = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (quote && line[i] == '\\') ++i;
        else if (quote && line[i] == quote) quote = 0;
        else if (quote == '"') literals += line[i];
        else if (!quote && (line[i] == '"' || line[i] == '\'')) {
            quote = line[i];
            literals += '\n';
        }
    }
    return literals;
}

// The library prints nothing and knows no flags: the line below app/ that does, if the text has one. Flags in a prompt file are a
// file's format.
std::optional<std::string> command_line_talk(const std::string& path, const std::string& text) {
    if (!starts_with_any(path, {"src/", "include/"}) || starts_with_any(path, {"src/app/"})) return std::nullopt;
    static const std::regex prints(
        R"(\b(v?f?printf|v?dprintf|f?puts|putchar|fputc|fwrite|perror|psignal)\s*\(|(^|[^/\w])std(out|err)\b|\b(cout|cerr|clog)\b)");
    static const std::regex flag(R"((^|[^-\w])--[a-z])");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::string code = line.substr(0, line.find("//"));
        if (std::regex_search(code, prints) || std::regex_search(literals_of(code), flag)) return line;
    }
    return std::nullopt;
}

std::vector<std::string> problems_of(const Arrows& arrows, const std::string& path, const std::string& text) {
    std::vector<std::string> problems;
    for (const Include& include : includes_of(text)) {
        if (const auto problem = include_problem(arrows, path, include)) {
            problems.push_back(path + " includes " + include.target + ": " + *problem);
        }
    }
    const bool may_ask =
        path == "src/backend/registry.cpp" || path.rfind("src/backend/cuda/", 0) == 0 || path.rfind("kernels/", 0) == 0;
    if (const auto line = may_ask ? std::nullopt : backend_condition(text)) {
        problems.push_back(path + ": only backend/registry.cpp asks for a backend: " + *line);
    }
    if (const auto line = process_wide_call(path, text)) problems.push_back(path + ": changes the whole process: " + *line);
    if (const auto line = bare_thread(path, text)) problems.push_back(path + ": starts a thread past core/threads.h: " + *line);
    if (const auto line = command_line_talk(path, text)) problems.push_back(path + ": prints, or knows a flag: " + *line);
    if (const auto line = kernel_problem(path, text)) problems.push_back(path + ": not for a kernel's source: " + *line);
    return problems;
}

}  // namespace

TEST_CASE("layers: every include follows the arrows of the design") {
    const fs::path& root = source_folder();
    if (!fs::exists(root / "src")) {
        WARN("skipped: there are no sources beside this test");  // an unpacked archive
        return;
    }
    std::size_t files = 0;
    for (const char* folder : {"src", "kernels", "include"}) {
        for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
            const std::string extension = entry.path().extension().string();
            if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
            ++files;
            const std::string path = fs::relative(entry.path(), root).generic_string();
            for (const std::string& problem : problems_of(our_arrows(), path, file_text(entry.path().string())))
                FAIL_CHECK(problem);
        }
    }
    CHECK(files > 30);
}

TEST_CASE("layers: the table of src/README.md and the folders are the same rooms") {
    const fs::path& root = source_folder();
    if (!fs::exists(root / "src")) {
        WARN("skipped: there are no sources beside this test");  // an unpacked archive
        return;
    }
    const auto folder_of = [&](const std::string& room) {
        return room == "t2i" ? root / "include" / room : room == "kernels" ? root / room : root / "src" / room;
    };
    for (const auto& entry : fs::directory_iterator(root / "src")) {
        if (!entry.is_directory()) continue;
        INFO("src/" << entry.path().filename().string() << " has no row in the table of src/README.md");
        CHECK(our_arrows().contains(entry.path().filename().string()));
    }
    CHECK(our_arrows().size() > 10);
    for (const auto& [room, allowed] : our_arrows()) {
        INFO("the row of " << room << " in src/README.md");
        CHECK(fs::is_directory(folder_of(room)));
        for (const std::string& name : allowed) {
            INFO("names " << name << ", which is no room and no header");
            CHECK((our_arrows().contains(name) || (name.ends_with(".h") && fs::exists(root / "src" / name))));
        }
    }
    for (const std::string& room : rooms_in_a_circle(our_arrows()))
        FAIL_CHECK(room << " stands in a circle of arrows, or above one");
}

TEST_CASE("layers: a table is read as it is written") {
    const Arrows arrows = arrows_of(
        "| what | touches |\n| --- | --- |\n| `a/` | b |\n\n"
        "| room | holds | may include |\n| --- | --- | --- |\n"
        "| `a/` | one thing, another | nothing of ours |\n"
        "| `b/` | | a |\n"
        "| `../include/t2i/` | | `b`, a/x.h |\n\n"
        "| `c/` | | b |\n");
    CHECK(arrows == Arrows{{"a", {}}, {"b", {"a"}}, {"t2i", {"a/x.h", "b"}}});
    CHECK(rooms_in_a_circle(arrows).empty());
    CHECK(rooms_in_a_circle({{"a", {"b/x.h"}}, {"b", {"a"}}, {"c", {}}, {"d", {"c"}}}) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("layers: the check notices made-up offences") {
    const Arrows arrows{
        {"core", {}},      {"kernels", {}},
        {"t2i", {}},       {"ops", {"core"}},
        {"models", {}},    {"backend", {"ops", "core", "kernels"}},
        {"app", {"core"}}, {"pipeline", {"models", "backend/registry.h"}},
    };
    const auto count = [&](const std::string& path, const std::string& text) { return problems_of(arrows, path, text).size(); };
    CHECK(count("src/core/x.cpp", "#include \"ops/backend.h\"\n") == 1);
    CHECK(count("src/core/x.cpp", "std::fprintf(stderr, \"x\");\n") == 1);
    CHECK(count("src/core/x.cpp", "std::printf(\"x\");\n") == 1);
    CHECK(count("src/core/x.cpp", "flush(stdout);\n") == 1);
    CHECK(count("src/core/x.cpp", "return path == \"/dev/stdout\";\n") == 0);
    CHECK(count("src/core/x.cpp", "perror(\"x\");\n") == 1);
    CHECK(count("include/t2i/x.h", "std::cerr << 1;\n") == 1);
    CHECK(count("src/core/x.cpp", "std::snprintf(a, n, \"%d\", i);  // not printf(stdout)\n") == 0);
    CHECK(count("src/core/x.cpp", "fail(\"--steps\");\n") == 1);
    CHECK(count("src/core/x.cpp", "fail(\"fewer pictures (--engine-batch)\");\n") == 1);
    CHECK(count("src/core/x.cpp", "a = \"x\" + b[--i] + \"--\" + flag;\n") == 0);
    CHECK(count("src/app/x.cpp", "std::printf(\"--steps\");\n") == 0);
    CHECK(count("src/models/x.cpp", "#include \"sampling/sampler.h\"\n") == 1);
    CHECK(count("src/pipeline/x.cpp", "  #  include \"backend/cpu/cpu_backend.h\"\n") == 1);
    CHECK(count("src/pipeline/x.cpp", "#include \"backend/registry.h\"\n") == 0);
    CHECK(count("src/backend/cpu/x.cpp", "#include <immintrin.h>\n") == 1);
    CHECK(count("kernels/cpu/x.cpp", "#include <immintrin.h>\n") == 0);
    CHECK(count("src/backend/cpu/x.cpp", "#include <hwy/highway.h>\n") == 1);
    CHECK(count("kernels/cpu/x.cpp", "#include \"hwy/highway.h\"\n") == 0);
    CHECK(count("src/core/x.cpp", "#include \"t2i/error.h\"\n") == 0);
    CHECK(count("kernels/ref/x.h", "#include \"t2i/error.h\"\n") == 1);
    CHECK(count("src/backend/cpu/x.cpp", "#include <cuda_runtime.h>\n") == 1);
    CHECK(count("src/backend/cuda_support/x.cpp", "#include <cuda_runtime.h>\n") == 1);
    CHECK(count("src/backend/gpu/x.cpp", "#include <cuda_runtime.h>\n") == 0);
    CHECK(count("kernels/cuda/x.cu", "#include <cuda_bf16.h>\n") == 0);
    CHECK(count("kernels/ref/x.h", "#include \"core/shape.h\"\n") == 1);
    CHECK(count("include/t2i/x.h", "#include <nlohmann/json.hpp>\n#include <vector>\n") == 1);
    CHECK(count("include/t2i/x.h", "#include \"core/tensor.h\"\n") == 1);
    CHECK(count("src/newroom/x.h", "#include <vector>\n") == 1);
    CHECK(count("src/models/x.cpp", "#ifdef T2I_CUDA\n#endif\n") == 1);
    CHECK(count("src/models/x.cpp", "#if defined(T2I_WITH_CUDA) && 1\n#endif\n") == 1);
    CHECK(count("src/backend/registry.cpp", "#ifdef T2I_CUDA\n#endif\n") == 0);
    CHECK(count("kernels/cuda/x.cu", "#ifdef __CUDA_ARCH__\n#endif\n") == 1);
    CHECK(count("kernels/cuda/x.cuh", "#if T2I_EMULATED\n#endif\n") == 1);
    CHECK(count("kernels/cuda/x.cu", "    __shared__ float x;\n") == 1);
    CHECK(count("kernels/cuda/x.cu", "    kernel<<<1, 2>>>(x);\n") == 1);
    CHECK(count("kernels/cuda/x.cuh", "    asm volatile(\"ret;\");\n") == 1);
    CHECK(count("kernels/cuda/x.cuh", "#pragma once\nvoid f();  // sources need no <<<>>>\n") == 0);
    CHECK(count("kernels/cuda/ptx/x.cuh", "    asm(\"ret;\");\n") == 0);
    CHECK(count("src/pipeline/x.cpp", "    const mode_t mask = ::umask(0);\n") == 1);
    CHECK(count("src/core/x.cpp", "std::locale::global(std::locale());\n") == 1);
    CHECK(count("src/batch/x.cpp", "f();  // no chdir() here\n") == 0);
    CHECK(count("src/app/x.cpp", "    std::signal(SIGINT, on_signal);\n") == 0);
    CHECK(count("src/core/x.cpp", "    worker_ = std::thread([this] { work(); });\n") == 1);
    CHECK(count("src/app/x.cpp", "    std::thread reader(read);\n") == 1);
    CHECK(count("src/core/x.cpp", "    hash_ = std::async(std::launch::async, hash);\n") == 1);
    CHECK(count("src/core/x.cpp", "    std::thread thread_;\n    std::vector<std::thread::id> ids_;\n") == 0);
    CHECK(count("src/app/x.cpp", "#include \"core/log.h\"\n// #include \"nn/linear.h\"\n") == 0);
}
