// A model's hash covers the files that are read for its pictures, and nothing that merely lies beside them.
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "core/files.h"
#include "generators/model_hash.h"
#include "models/registry.h"
#include "pipeline/engine.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/fixture.h"
#include "text/tokenizer.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

class Model {
  public:
    Model() { write_pipeline(read_manifest("pipeline")["cases"].front()["pipeline"], folder_.path() / "model"); }
    [[nodiscard]] fs::path root() const { return folder_.path() / "model"; }
    [[nodiscard]] std::string hash() const { return hash_model(read_model_folder(root().string())).model; }
    [[nodiscard]] std::set<std::string> files() const {
        std::set<std::string> all;
        for (const auto& entry : fs::recursive_directory_iterator(root()))
            if (entry.is_regular_file()) all.insert(fs::relative(entry.path(), root()).generic_string());
        return all;
    }
    // The hash with another file in the place of one, which is put back.
    [[nodiscard]] std::string hash_with(const std::string& file, const std::function<std::string(std::string)>& change) const {
        const std::string path = (root() / file).string(), before = file_text(path);
        write_file(path, change(before));
        const std::string changed = hash();
        write_file(path, before);
        return changed;
    }

  private:
    TempFolder folder_;
};

// Which files below a folder are opened while something runs.
class OpenedFiles {
  public:
    explicit OpenedFiles(const fs::path& root) : root_(root), fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
        REQUIRE(fd_ >= 0);
        watch(root);
        for (const auto& entry : fs::recursive_directory_iterator(root))
            if (entry.is_directory()) watch(entry.path());
    }
    ~OpenedFiles() { ::close(fd_); }
    OpenedFiles(const OpenedFiles&) = delete;
    OpenedFiles& operator=(const OpenedFiles&) = delete;
    [[nodiscard]] std::set<std::string> all() const {
        std::set<std::string> found;
        alignas(inotify_event) std::array<char, 1 << 16> buffer{};
        for (ssize_t n = 0; (n = ::read(fd_, buffer.data(), buffer.size())) > 0;)
            for (ssize_t at = 0; at < n;) {
                const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
                if (!(event->mask & IN_ISDIR) && event->len > 0)
                    found.insert(fs::relative(folders_.at(event->wd) / event->name, root_).generic_string());
                at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
            }
        return found;
    }

  private:
    void watch(const fs::path& folder) {
        const int watch = ::inotify_add_watch(fd_, folder.c_str(), IN_OPEN);
        REQUIRE(watch >= 0);
        folders_[watch] = folder;
    }
    fs::path root_;
    int fd_;
    std::map<int, fs::path> folders_;
};

}  // namespace

TEST_CASE("model hash: exactly the files that loading opens change it") {
    const Model model;
    // What lies beside: another precision of the weights, a PyTorch file, notes, another tokenizer's file, a folder of its own.
    for (const char* beside : {"transformer/diffusion_pytorch_model.fp16.safetensors", "transformer/diffusion_pytorch_model.bin",
                               "transformer/model.safetensors", "text_encoder/model.safetensors.index.json",
                               "text_encoder/pytorch_model.bin", "vae/diffusion_pytorch_model.bf16.safetensors", "README.md",
                               "tokenizer/special_tokens_map.json", "scheduler/config.json"})
        write_file((model.root() / beside).string(), "{\"beside\": 1}");
    fs::create_directory(model.root() / "safety_checker");
    write_file((model.root() / "safety_checker/model.safetensors").string(), "no weights");

    std::set<std::string> opened;
    {
        const OpenedFiles watch(model.root());
        PipelineOptions options;
        options.model = model.root().string();
        options.device = "cpu";
        const Engine engine(options, {.hash = [] { return ModelHashes{}; }});
        opened = watch.all();
    }
    CHECK(opened.contains("scheduler/scheduler_config.json"));
    CHECK(opened.contains("tokenizer/spiece.model"));
    CHECK(opened.contains("text_encoder/config.json"));
    const std::string hash = model.hash();
    CHECK(hash.size() == 10);
    for (const auto& file : model.files()) {
        // Of these two what counts is read out of them: see the next test.
        if (file == "model_index.json" || file == "t2i.json") continue;
        INFO(file);
        // A blank at the end: no JSON changes by it, and a safetensors file would be refused, but nothing is loaded here.
        const bool changes = model.hash_with(file, [](const std::string& text) { return text + " "; }) != hash;
        CHECK(changes == opened.contains(file));
    }
    CHECK(model.hash() == hash);
}

TEST_CASE("model hash: of t2i.json and model_index.json what changes a picture counts") {
    const Model model;
    const auto with_t2i = [&](const std::string& text) {
        write_file((model.root() / "t2i.json").string(), text);
        return model.hash();
    };
    const std::string hash = with_t2i(R"({"max_prompt_tokens": 77})");
    CHECK(with_t2i(R"({"max_prompt_tokens": 77, "steps": 3, "cfg_scale": 2, "vocabulary": "apples"})") == hash);
    CHECK(with_t2i(R"({"max_prompt_tokens": 76})") != hash);
    CHECK(with_t2i(R"({"max_prompt_tokens": 77})") == hash);
    const auto replaced = [](const std::string& from, const std::string& to) {
        return [from, to](std::string text) {
            REQUIRE(text.find(from) != std::string::npos);
            return text.replace(text.find(from), from.size(), to);
        };
    };
    CHECK(model.hash_with("model_index.json", replaced("{", R"({"_diffusers_version": "9",)")) == hash);
    CHECK(model.hash_with("model_index.json", replaced("{", R"({"id2label": {"0": "a cat"},)")) != hash);
}

TEST_CASE("model hash: the class that reads spiece.model counts, whose rules make other ids of it") {
    const Model model;
    const auto with_class = [&](const std::string& name) {
        return model.hash_with("model_index.json", [&](const std::string& text) {
            auto index = nlohmann::json::parse(text);
            index["tokenizer"] = {"transformers", name};
            return index.dump();
        });
    };
    CHECK(with_class("T5Tokenizer") == model.hash());
    CHECK(with_class("T5TokenizerFast") != model.hash());
    CHECK(with_class("T5TokenizerFast") == with_class("AutoTokenizer"));
}

TEST_CASE("model hash: a class that model_index.json alone names counts where it makes another picture") {
    const Model model;
    const std::string hash = model.hash();
    const auto replaced = [](const std::string& from, const std::string& to) {
        return [from, to](std::string text) {
            REQUIRE(text.find(from) != std::string::npos);
            return text.replace(text.find(from), from.size(), to);
        };
    };
    CHECK(model.hash_with("model_index.json", replaced("DPMSolverMultistepScheduler", "EulerDiscreteScheduler")) != hash);
    CHECK(model.hash_with("model_index.json", replaced("PixArtTransformer2DModel", "Transformer2DModel")) == hash);
}

TEST_CASE("model hash: of a variant the files that are read") {
    const Model model;
    const std::string hash = model.hash();
    const fs::path plain = model.root() / "vae/diffusion_pytorch_model.safetensors",
                   half = model.root() / "vae/diffusion_pytorch_model.fp16.safetensors";
    const auto hash_of = [&] {
        return hash_model(read_model_folder(model.root().string(), {.variant = "fp16", .log = {}})).model;
    };
    fs::copy(plain, half);
    CHECK(hash_of() == hash);  // the same bytes under another name are the same picture
    write_file(half.string(), file_text(half.string()) + " ");
    CHECK(hash_of() != hash);
    CHECK(model.hash() == hash);
}

TEST_CASE("model hash: a folder of 0.1.0 is hashed past what cannot be read") {
    const Model model;
    const std::string hash = hash_weights_0_1(model.root().string());
    const fs::path lost = model.root() / "lost+found";
    fs::create_directory(lost);
    fs::permissions(lost, fs::perms::none);
    CHECK(hash_weights_0_1(model.root().string()) == hash);
    fs::create_symlink("gone", model.root() / "link.txt");
    CHECK(hash_weights_0_1(model.root().string()) == hash);
    fs::permissions(lost, fs::perms::owner_all);
}

TEST_CASE("model hash: links are followed, and the folder's own name and place are no part of it") {
    const Model model;
    const std::string hash = model.hash();
    const TempFolder other;
    const fs::path moved = other.path() / "moved";
    fs::create_directory(moved);
    fs::create_directory_symlink(model.root() / "transformer", moved / "transformer");  // a folder that is a link
    for (const char* part : {"scheduler", "tokenizer", "text_encoder", "vae"}) {
        fs::create_directory(moved / part);
        for (const auto& entry :
             fs::directory_iterator(model.root() / part))  // files that are links, as a download cache has them
            fs::create_symlink(entry.path(), moved / part / entry.path().filename());
    }
    for (const auto& entry : fs::directory_iterator(model.root()))
        if (entry.is_regular_file()) fs::copy(entry.path(), moved / entry.path().filename());
    CHECK(hash_model(read_model_folder(moved.string())).model == hash);
    write_file((model.root() / "transformer/config.json").string(),
               file_text((model.root() / "transformer/config.json").string()) + " ");
    CHECK(hash_model(read_model_folder(moved.string())).model != hash);
}

TEST_CASE("model hash: with another decoder the model's own is no part of it, and the other has a hash of its own") {
    const Model model;
    const TempFolder other;
    const std::string vae = other / "other-vae";
    fs::copy(model.root() / "vae", vae, fs::copy_options::recursive);
    const auto hashes = [&] { return hash_model(read_model_folder(model.root().string()), vae); };
    const ModelHashes first = hashes();
    CHECK(first.model != model.hash());
    CHECK(first.decoder.size() == 10);
    write_file(vae + "/config.json", file_text(vae + "/config.json") + " ");
    const ModelHashes second = hashes();
    CHECK(second.model == first.model);
    CHECK(second.decoder != first.decoder);
    fs::remove_all(model.root() / "vae");
    CHECK(hashes().model == first.model);
}

TEST_CASE("model hash: of a checkpoint in shards the index and the shards that it names are read") {
    const TempFolder folder;
    write_file(folder / "a.safetensors", "a");
    write_file(folder / "b.safetensors", "b");
    write_file(folder / "c.safetensors", "c");
    const std::string index = write_file(folder / "model.safetensors.index.json",
                                         R"({"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}})");
    write_file(folder / "config.json", "{}");
    CHECK(text_encoder_files(folder.path().string()) ==
          std::vector<std::string>{folder / "config.json", index, folder / "a.safetensors", folder / "b.safetensors"});
    // Contents are told apart even where the bytes one after the other are the same.
    write_file(folder / "1", "ab");
    write_file(folder / "2", "c");
    const std::string one = hash_files(std::vector{folder / "1", folder / "2"});
    write_file(folder / "1", "a");
    write_file(folder / "2", "bc");
    CHECK(hash_files(std::vector{folder / "1", folder / "2"}) != one);
    CHECK_THROWS_AS(hash_files(std::vector{folder / "none"}), Error);
}

}  // namespace t2i::test
