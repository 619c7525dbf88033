#include "checkpoint/component.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "core/files.h"
#include "core/nearest.h"
#include "core/stand_in.h"
#include "t2i/error.h"

namespace t2i {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 3> stems{"diffusion_pytorch_model", "model", "pytorch_model"};

// One format under one library's name: "model" and "safetensors".
struct Naming {
    std::string_view stem, extension;
    bool index_first;
};
// In the order in which a library looks.
constexpr std::array<Naming, 2> diffusers_names{
    {{"diffusion_pytorch_model", "safetensors", true}, {"diffusion_pytorch_model", "bin", true}}};
constexpr std::array<Naming, 2> transformers_names{{{"model", "safetensors", false}, {"pytorch_model", "bin", false}}};

std::vector<Naming> names_of(Library library) {
    std::vector<Naming> names;
    const auto add = [&](const auto& more) { names.insert(names.end(), more.begin(), more.end()); };
    if (library == Library::diffusers) add(diffusers_names), add(transformers_names);
    else add(transformers_names), add(diffusers_names);
    return names;
}

// The files that may be opened, first choice first.
std::vector<std::string> candidates(const Naming& n, const std::string& variant) {
    const std::string stem(n.stem), extension(n.extension), middle = variant.empty() ? "" : "." + variant;
    const std::string whole = stem + middle + "." + extension;
    std::vector<std::string> files{stem + "." + extension + ".index" + middle + ".json"};
    if (!variant.empty()) {  // how older versions, and people, spelt it
        files.push_back(stem + "." + extension + middle + ".index.json");
        files.push_back(stem + middle + "." + extension + ".index.json");
    }
    files.insert(n.index_first ? files.end() : files.begin(), whole);
    return files;
}

// The first choice that is there; empty: none.
std::string find(const ComponentFolder& folder, const std::string& variant) {
    for (const Naming& n : names_of(folder.library))
        for (const std::string& name : candidates(n, variant))
            if (const fs::path path = fs::path(folder.path) / name; is_plain_file(path.string())) return path.string();
    return {};
}

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code ec;
    for (auto at = fs::directory_iterator(folder, ec); !ec && at != fs::directory_iterator(); at.increment(ec))
        names.push_back(at->path().filename().string());
    std::ranges::sort(names);
    return names;
}

// "-00001-of-00002" at the end of a text is taken away.
std::string without_shard_number(std::string text) {
    constexpr std::size_t length = std::string_view("-00001-of-00002").size();
    if (text.size() >= length && text.substr(text.size() - length + 6, 4) == "-of-") text.resize(text.size() - length);
    return text;
}

// Between the dots of a name: before the extension, or before the variant, as older versions have it.
bool is_shard_of_several(const std::string& name) {
    if (!name.ends_with(".safetensors") && !name.ends_with(".bin")) return false;
    for (std::size_t at = 0, end = name.find('.'); end != std::string::npos; at = end + 1, end = name.find('.', at)) {
        const std::string word = name.substr(at, end - at);
        if (without_shard_number(word) != word && !word.ends_with("-of-00001")) return true;
    }
    return false;
}

// The variants of which a folder has all that loading asks for.
std::set<std::string> variants_in(const ComponentFolder& folder, const std::vector<std::string>& names) {
    std::set<std::string> words;
    for (const std::string& name : names) {
        if (std::ranges::none_of(stems, [&](std::string_view stem) { return name.starts_with(std::string(stem) + "."); }))
            continue;
        for (std::size_t at = name.find('.'); at != std::string::npos;) {
            const std::size_t end = name.find('.', at + 1);
            const std::string word = without_shard_number(name.substr(at + 1, end == std::string::npos ? end : end - at - 1));
            if (word != "safetensors" && word != "bin" && word != "index" && word != "json" && !word.empty()) words.insert(word);
            at = end;
        }
    }
    std::erase_if(words, [&](const std::string& word) { return find(folder, word).empty(); });
    return words;
}

std::string list(const std::set<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
}

// What a folder that holds no checkpoint of a known name holds instead.
std::string what_is_there(const std::vector<std::string>& names) {
    const auto ends = [](const std::string& name, std::initializer_list<const char*> endings) {
        return std::ranges::any_of(endings, [&](const char* ending) { return name.ends_with(ending); });
    };
    const auto first = [&](const auto& test) {
        const auto found = std::ranges::find_if(names, test);
        return found == names.end() ? std::string() : *found;
    };
    if (const std::string shard = first(is_shard_of_several); !shard.empty())
        return "; there are shards (" + in_quotes(shard) + ") but not their index: fetch that as well";
    if (const std::string half = first(is_unfinished_download); !half.empty())
        return "; " + in_quotes(half) + " is of a download that has not finished: let it finish, or fetch the file again";
    if (const std::string other = first([&](const std::string& n) {
            return std::ranges::any_of(checkpoint_extensions(), [&](std::string_view e) { return n.ends_with(e); });
        });
        !other.empty())
        return "; there is " + in_quotes(other) + ", which neither diffusers nor transformers would look for under this name";
    if (const std::string foreign = first([&](const std::string& n) { return ends(n, {".msgpack", ".h5", ".onnx", ".ot"}); });
        !foreign.empty())
        return "; " + in_quotes(foreign) + " is of another framework, which is not read: fetch the safetensors file";
    return "; fetch one of them";
}

// A download tool of Hugging Face leaves its half files beside the model, in a cache of the whole folder.
bool has_unfinished_download(const std::string& folder) {
    const fs::path path(folder);
    const fs::path cache = path.parent_path() / ".cache" / "huggingface" / "download" / path.filename();
    return std::ranges::any_of(names_in(cache.string()), is_unfinished_download);
}

[[noreturn]] void fail(const std::string& problem, const std::string& where) {
    throw Error(ErrorCode::input, problem, where);
}

// Why the names in a folder are not known; empty: they are.
std::string listing_problem(const std::string& folder) {
    std::error_code ec;
    const fs::directory_iterator at(folder, ec);
    return ec ? "cannot be listed: " + ec.message() : std::string();
}

[[noreturn]] void nothing_to_choose(const ComponentFolder& folder) {
    std::error_code ec;
    if (const auto status = fs::status(folder.path, ec); !fs::is_directory(status)) {
        const std::string problem = absence_problem(folder.path);
        fail(!problem.empty() ? problem : fs::exists(status) ? "is not a folder" : "no such folder", folder.path);
    }
    for (const Naming& n : names_of(folder.library))
        for (const std::string& name : candidates(n, {})) {
            const std::string path = (fs::path(folder.path) / name).string();
            if (const std::string problem = absence_problem(path); !problem.empty()) fail(problem, path);
            check_is_no_device(path);
        }
    if (const std::string problem = listing_problem(folder.path); !problem.empty()) fail(problem, folder.path);
    const std::vector<std::string> names = names_in(folder.path);
    if (const auto variants = variants_in(folder, names); !variants.empty())
        fail("only the " + list(variants) + (variants.size() == 1 ? " variant is" : " variants are") + " here" +
                 (folder.variant.empty() ? "" : ", not " + in_quotes(folder.variant)) + ": name " +
                 (variants.size() == 1 ? "it" : "one of them") + " as the variant, or fetch the files that are asked for",
             folder.path);
    if (has_unfinished_download(folder.path)) fail("no weights: their download has not finished; run it again", folder.path);
    const std::string stem = folder.library == Library::diffusers ? "diffusion_pytorch_model" : "model";
    fail("no weights: neither " + stem + ".safetensors nor " + stem + ".safetensors.index.json with its shards" +
             what_is_there(names),
         folder.path);
}

}  // namespace

std::string shard_problem(const std::string& path) {
    const fs::path file(path);
    if (!is_shard_of_several(file.filename().string())) return {};
    const std::vector<std::string> names = names_in(file.has_parent_path() ? file.parent_path().string() : ".");
    const auto index = std::ranges::find_if(
        names, [](const std::string& n) { return n.find(".index.") != std::string::npos && n.ends_with(".json"); });
    return "is one shard of several; give their index" +
           (index == names.end() ? std::string(" (….index.json), which has to be fetched as well") : ", " + in_quotes(*index));
}

std::string component_checkpoint(const ComponentFolder& folder) {
    if (!folder.variant.empty())
        if (std::string path = find(folder, folder.variant); !path.empty()) return path;
    if (std::string path = find(folder, {}); !path.empty()) return path;
    // A link to the plain files whose target is missing is a fault, not a wish for a variant.
    if (folder.variant.empty()) {
        const auto variants = variants_in(folder, names_in(folder.path));
        const bool dangles = std::ranges::any_of(names_of(folder.library), [&](const Naming& n) {
            return std::ranges::any_of(candidates(n, {}), [&](const std::string& name) {
                std::error_code ec;
                return fs::is_symlink(fs::path(folder.path) / name, ec);
            });
        });
        if (variants.size() == 1 && !dangles) return find(folder, *variants.begin());
    }
    nothing_to_choose(folder);
}

std::unique_ptr<CheckpointReader> open_component(const ComponentFolder& folder) {
    return open_checkpoint(component_checkpoint(folder));
}

std::vector<std::string> component_checkpoint_files(const ComponentFolder& folder) {
    return checkpoint_files(component_checkpoint(folder));
}

bool has_variant(const ComponentFolder& folder) {
    return !find(folder, folder.variant).empty();
}

}  // namespace t2i
