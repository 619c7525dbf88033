// What surrounds the CUDA backend and needs no GPU: which code runs where, the search for libraries, the algorithm cache,
// the loading of the module.
#include <dlfcn.h>

#include <cmath>
#include <cstdlib>
#include <optional>

#include "backend/cuda_module.h"
#include "backend/cuda_support/algorithm_cache.h"
#include "backend/cuda_support/architectures.h"
#include "backend/cuda_support/shared_library.h"
#include "backend/registry.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/place.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;
namespace fs = std::filesystem;

namespace {

std::string chosen(std::string_view architectures, int major, int minor) {
    const auto codes = parse_gpu_code(architectures);
    const GpuCode* code = code_for(codes, major, minor);
    return code ? name_of(*code) : "";
}

// A library that any machine has and the loader takes: the C library of mathematics.
fs::path some_library() {
    Dl_info info{};
    const auto function = static_cast<double (*)(double)>(std::cbrt);
    REQUIRE(dladdr(reinterpret_cast<const void*>(function), &info) != 0);
    return fs::canonical(info.dli_fname);
}

// Puts a copy of a real library there.
std::string place_library(const fs::path& path) {
    fs::create_directories(path.parent_path());
    fs::copy_file(some_library(), path);
    return path.string();
}

// Sets an environment variable for as long as it lives.
class Environment {
  public:
    Environment(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name)) before_ = before;
        ::setenv(name, value.c_str(), 1);
    }
    ~Environment() {
        if (before_) ::setenv(name_, before_->c_str(), 1);
        else ::unsetenv(name_);
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

  private:
    const char* name_;
    std::optional<std::string> before_;
};

AlgorithmCache::Entry entry(std::uint64_t first) {
    return {.algorithm = {first, 0, UINT64_MAX, 4, 5, 6, 7, 0x8000000000000000U}, .workspace_bytes = 33554432};
}

}  // namespace

TEST_CASE("gpu code: what runs on which GPU") {
    CHECK(names_of(parse_gpu_code("90a-real;80-virtual")) == "sm_90a, PTX compute_80");
    CHECK(names_of(parse_gpu_code("86")) == "sm_86, PTX compute_86");
    CHECK(names_of(parse_gpu_code("native;;x;9;80-real")) == "sm_80");

    CHECK(chosen("90a-real;80-virtual", 9, 0) == "sm_90a");
    CHECK(chosen("90a-real;80-virtual", 8, 9) == "PTX compute_80");
    CHECK(chosen("90a-real;80-virtual", 12, 0) == "PTX compute_80");
    CHECK(chosen("90a-real;80-virtual", 7, 5).empty());
    // Machine code runs on later minors of its major, not on earlier ones and not on other majors.
    CHECK(chosen("80-real", 8, 6) == "sm_80");
    CHECK(chosen("86-real", 8, 0).empty());
    CHECK(chosen("80-real", 9, 0).empty());
    CHECK(chosen("80-real;86-real", 8, 9) == "sm_86");
    // Made for one GPU only, text included.
    CHECK(chosen("90a", 10, 0).empty());
    CHECK(chosen("90a-virtual", 9, 0) == "PTX compute_90a");
    CHECK(chosen("100f-real", 10, 3) == "sm_100f");
    CHECK(chosen("100f-virtual", 12, 0).empty());
}

TEST_CASE("libraries are looked for in toolkits, then in wheels, then by the loader") {
    const TempFolder folder;
    const LibraryRoots roots{.toolkits = {folder.path() / "cuda"}, .python_prefixes = {folder.path() / "venv"}};
    const std::string name = "libt2i_test_of_search.so.9";

    const SharedLibrary missing = load_library(name, roots);
    CHECK_FALSE(missing);
    CHECK(contains(missing.problem, name));
    CHECK(contains(missing.problem, (folder.path() / "cuda").string()));
    CHECK(contains(missing.problem, (folder.path() / "venv").string()));
    CHECK_FALSE(contains(missing.problem, "\n"));
    CHECK(missing.symbol("cbrt") == nullptr);

    const std::string wheel = place_library(folder.path() / "venv/lib/python3.11/site-packages/nvidia/cudnn/lib" / name);
    CHECK(load_library(name, roots).path == wheel);
    const std::string toolkit = place_library(folder.path() / "cuda/lib64" / name);
    CHECK(library_candidates(roots, name) == std::vector<fs::path>{toolkit, wheel});
    const SharedLibrary loaded = load_library(name, roots);
    CHECK(loaded.path == toolkit);
    CHECK(loaded.problem.empty());
    CHECK(loaded.symbol("cbrt") != nullptr);
    CHECK(loaded.symbol("t2i_no_such_function") == nullptr);

    const LibraryRoots none;
    CHECK(load_library("libm.so.6", none).symbol("cbrt") != nullptr);
}

TEST_CASE("a library that the loader refuses gives way to the next, or is the reason") {
    const TempFolder folder;
    LibraryRoots roots{.toolkits = {folder.path() / "cuda"}, .python_prefixes = {}};
    const std::string name = "libt2i_test_of_refusal.so.9";
    fs::create_directories(folder.path() / "cuda/lib64");
    const std::string broken = write_file((folder.path() / "cuda/lib64" / name).string(), "no library");

    const SharedLibrary refused = load_library(name, roots);
    CHECK_FALSE(refused);
    CHECK(contains(refused.problem, broken));

    roots.toolkits.push_back(folder.path() / "other");
    const std::string good = place_library(folder.path() / "other/lib" / name);
    CHECK(load_library(name, roots).path == good);
}

TEST_CASE("library roots: environment first, each folder once, only what exists") {
    const TempFolder folder;
    fs::create_directories(folder.path() / "toolkit");
    fs::create_directories(folder.path() / "venv/bin");
    write_file(folder / "venv/bin/python3", "");
    const Environment home("CUDA_HOME", folder / "toolkit"), same("CUDA_PATH", folder / "toolkit/../toolkit"),
        path("PATH", (folder / "venv/bin") + ":" + (folder / "nothing")), venv("VIRTUAL_ENV", folder / "gone"),
        conda("CONDA_PREFIX", "");
    const LibraryRoots roots = library_roots();
    REQUIRE_FALSE(roots.toolkits.empty());
    CHECK(roots.toolkits.front() == folder.path() / "toolkit");
    CHECK((roots.toolkits.size() == 1 || roots.toolkits[1].string().starts_with("/usr/local/cuda")));
    REQUIRE_FALSE(roots.python_prefixes.empty());
    CHECK(roots.python_prefixes.front() == folder.path() / "venv");
    for (const auto& prefix : roots.python_prefixes) CHECK(fs::is_directory(prefix));
}

TEST_CASE("the algorithm cache keeps what was found, between runs and between processes") {
    const TempFolder folder;
    const Environment cache_home("XDG_CACHE_HOME", folder / "cache");
    const std::string path = AlgorithmCache::path_for("cublaslt", "NVIDIA H100 80GB/HBM3", "13.0", "13.1.0");
    CHECK(path == folder / "cache/t2i/cublaslt-NVIDIA_H100_80GB_HBM3-13.0-13.1.0.json");
    std::vector<std::string> warnings;
    const auto warn = [&](const std::string& line) { warnings.push_back(line); };

    AlgorithmCache first(path, warn);
    CHECK_FALSE(first.find("a").has_value());
    first.put("a", entry(1));
    CHECK(first.find("a") == entry(1));
    AlgorithmCache second(path, warn);
    CHECK(second.find("a") == entry(1));
    first.put("b", entry(2));
    second.put("c", entry(3));  // did not know of b
    second.put("a", entry(4));
    AlgorithmCache third(path, warn);
    CHECK(third.find("a") == entry(4));
    CHECK(third.find("b") == entry(2));
    CHECK(third.find("c") == entry(3));
    CHECK(warnings.empty());
    CHECK(std::distance(fs::directory_iterator(folder.path() / "cache/t2i"), fs::directory_iterator()) == 1);  // no leftovers
}

TEST_CASE("the algorithm cache: without a home it lives in memory") {
    const Environment cache_home("XDG_CACHE_HOME", "relative"), home("HOME", "");
    CHECK(AlgorithmCache::path_for("cublaslt", "gpu", "1", "2").empty());
    AlgorithmCache cache("", [](const std::string& line) { FAIL(line); });
    cache.put("a", entry(1));
    CHECK(cache.find("a") == entry(1));
}

TEST_CASE("a file that is no algorithm cache is ignored with a warning, and replaced") {
    const std::string content = GENERATE(
        as<std::string>(), "", "{", "[]", "{\"format\": 2, \"algorithms\": {}}", "{\"format\": 1, \"algorithms\": 3}",
        R"({"format": 1, "algorithms": {"a": {"algorithm": ["1"], "workspace_bytes": 0}}})",
        R"({"format": 1, "algorithms": {"a": {"algorithm": ["1","2","3","4","5","6","7","x"], "workspace_bytes": 0}}})",
        R"({"format": 1, "algorithms": {"a": {"algorithm": [1,2,3,4,5,6,7,8], "workspace_bytes": 0}}})",
        R"({"format": 1, "algorithms": {"a": {"algorithm": ["1","2","3","4","5","6","7","8"]}}})",
        R"({"format": 1, "algorithms": {"a": {"algorithm": ["1","2","3","4","5","6","7","8"], "workspace_bytes": 1e80}}})",
        "\xff\xfe\x00 bytes");
    INFO(content);
    const TempFolder folder;
    const std::string path = write_file(folder / "cache.json", content);
    std::vector<std::string> warnings;
    const auto warn = [&](const std::string& line) { warnings.push_back(line); };
    AlgorithmCache cache(path, warn);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].starts_with(path));
    CHECK_FALSE(cache.find("a").has_value());
    cache.put("b", entry(7));
    CHECK(AlgorithmCache(path, warn).find("b") == entry(7));
    CHECK(warnings.size() == 1);
}

TEST_CASE("an algorithm cache that cannot be written warns once and still serves") {
    const TempFolder folder;
    write_file(folder / "file", "");
    std::vector<std::string> warnings;
    AlgorithmCache cache(folder / "file/cache.json", [&](const std::string& line) { warnings.push_back(line); });
    cache.put("a", entry(1));
    cache.put("b", entry(2));
    REQUIRE(warnings.size() == 1);
    CHECK(contains(warnings[0], "cannot be written"));
    CHECK(cache.find("a") == entry(1));
    CHECK(cache.find("b") == entry(2));
}

TEST_CASE("the CUDA module: absent, broken or of another t2i, it is a line and not a crash") {
    const TempFolder folder;
    const auto load = [](const std::vector<std::string>& places) { return load_cuda_module(places); };

    const auto absent = load({folder / "a.so", folder / "b.so"});
    CHECK(absent.module == nullptr);
    CHECK(contains(absent.problem, folder / "a.so"));
    CHECK(contains(absent.problem, folder / "b.so"));

    const std::string broken = write_file(folder / "broken.so", "no library");
    const std::string other = place_library(folder / "other.so");
    for (const auto& place : {broken, other}) {
        const auto refused = load({folder / "a.so", place});
        CHECK(refused.module == nullptr);
        CHECK(contains(refused.problem, place));
        CHECK_FALSE(contains(refused.problem, "\n"));
    }
    CHECK(contains(load({other}).problem, "not a module of t2i"));
    CHECK(load({broken, other}).path == broken);  // no later place is tried

    const auto places = cuda_module_places();
    REQUIRE(places.size() >= 2);
    CHECK(places[0] == (fs::read_symlink("/proc/self/exe").parent_path() / cuda_module_file).string());
    CHECK(std::ranges::any_of(places, [](const std::string& place) { return contains(place, "/lib/t2i/"); }));
}

TEST_CASE("the CUDA module that was built loads, and one of another version is refused") {
    const LoadedCudaModule& loaded = cuda_module();
    if (!loaded.module) {
        CHECK(contains(loaded.problem, "no CUDA module"));  // whatever else is wrong must not be skipped
        WARN("skipped: " << loaded.problem);
        return;
    }
    const CudaReport report = loaded.module->report();
    CHECK_FALSE(report.toolkit.empty());
    CHECK_FALSE(report.architectures.empty());
    CHECK(report.problem.empty() == (!report.devices.empty() && report.cublaslt.problem.empty()));
    CHECK((report.cublaslt.path.empty() != report.cublaslt.problem.empty()));
    CHECK((report.cudnn.path.empty() == !report.cudnn.problem.empty()));

    // The same file with another ABI.
    std::string bytes = file_text(loaded.path);
    const std::string abi(cuda_module_abi());
    std::size_t changed = 0;
    for (auto at = bytes.find(abi); at != std::string::npos; at = bytes.find(abi, at + 1), ++changed) bytes[at] = '?';
    REQUIRE(changed > 0);
    const TempFolder folder;
    const std::string other = write_file(folder / "other.so", bytes);
    const std::vector<std::string> places{other};
    const auto refused = load_cuda_module(places);
    CHECK(refused.module == nullptr);
    CHECK(contains(refused.problem, "built for another t2i"));
    CHECK(contains(refused.problem, "?" + abi.substr(1)));
}

TEST_CASE("a GPU that is not there is one line that names it") {
    CHECK(contains(message_of(ErrorCode::invalid_argument, [] { static_cast<void>(make_backend("cuda:x")); }), "cuda:x"));
    CHECK(contains(message_of(ErrorCode::invalid_argument, [] { static_cast<void>(make_backend("cuda:-1")); }), "cuda:-1"));
    const std::string far = message_of(ErrorCode::resource, [] { static_cast<void>(make_backend("cuda:99")); });
    CHECK(far.starts_with("device: "));
    CHECK_FALSE(contains(far, "\n"));
    const auto names = backend_names();
    const std::string reason = cuda_unavailable_reason();
    CHECK((std::find(names.begin(), names.end(), "cuda") != names.end()) == reason.empty());
    if (!reason.empty()) CHECK_FALSE(contains(reason, "\n"));
}
