// Runs a fuzz target without libFuzzer: every file of a corpus folder, then deterministic mutations of them.
// Usage: test_fuzz_TARGET CORPUS_FOLDER [MUTATIONS_PER_FILE]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes content_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// One to four of: change, insert, delete, repeat or truncate. mt19937 gives the same numbers everywhere,
// unlike the standard distributions.
Bytes mutated(Bytes bytes, std::mt19937& random) {
    using namespace std::string_literals;
    static const std::string interesting = "\0\x01\x7F\x80\xFF{}[],:\"0919e-\\/ntf"s;
    const auto below = [&](std::size_t n) { return n == 0 ? std::size_t{0} : random() % n; };
    const std::size_t changes = 1 + below(4);
    for (std::size_t i = 0; i < changes; ++i) {
        const std::size_t at = below(bytes.size());
        const auto byte =
            static_cast<std::uint8_t>(below(2) ? interesting[below(interesting.size())] : static_cast<char>(below(256)));
        const auto position = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        switch (bytes.empty() ? 1 : below(6)) {
            case 0:
                *position = byte;
                break;
            case 1:
                bytes.insert(position, byte);
                break;
            case 2:
                bytes.erase(position);
                break;
            case 3:
                *position = static_cast<std::uint8_t>(*position ^ (1U << below(8)));
                break;
            case 4: {
                const Bytes part(position,
                                 position + static_cast<std::ptrdiff_t>(below(std::min<std::size_t>(bytes.size() - at, 64)) + 1));
                bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size())), part.begin(), part.end());
                break;
            }
            default:
                bytes.resize(at);
                break;
        }
    }
    return bytes;
}

bool survives(const Bytes& bytes, const std::string& what) {
    try {
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
        return true;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", what.c_str(), error.what());
        std::ofstream("fuzz-finding.bin", std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        return false;
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const int mutations = argc > 2 ? std::stoi(argv[2]) : 1000;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    if (files.empty()) {
        std::fprintf(stderr, "no corpus in %s\n", argv[1]);
        return 1;
    }
    bool is_clean = true;
    for (const auto& file : files) {
        const Bytes seed = content_of(file);
        is_clean &= survives(seed, file.string());
        std::mt19937 random(1);
        for (int i = 0; i < mutations; ++i) {
            is_clean &= survives(mutated(seed, random), file.string() + ", mutation " + std::to_string(i));
        }
    }
    std::printf("%zu files, %d mutations each: %s\n", files.size(), mutations, is_clean ? "clean" : "findings");
    return is_clean ? 0 : 1;
}
