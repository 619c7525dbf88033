// Which files of a component's folder are opened: diffusers' and transformers' rules.
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "checkpoint/component.h"
#include "checkpoint/safetensors.h"
#include "support/files.h"
#include "unit/expect_error.h"

using namespace t2i;
using namespace t2i::test;

namespace fs = std::filesystem;

namespace {

class Component {
  public:
    // Empty files and links by name: what is chosen depends on names alone. "a -> b" is a link.
    Component& with(std::initializer_list<const char*> names) {
        for (const std::string name : names)
            if (const auto arrow = name.find(" -> "); arrow == std::string::npos) (void)write_file(folder_ / name, "");
            else fs::create_symlink(name.substr(arrow + 4), folder_ / name.substr(0, arrow));
        return *this;
    }
    [[nodiscard]] std::string path() const { return folder_.path().string(); }
    [[nodiscard]] std::string file(const std::string& name) const { return folder_ / name; }
    [[nodiscard]] std::string choice(Library library, const std::string& variant = {}) const {
        return fs::path(component_checkpoint({path(), library, variant})).filename().string();
    }
    [[nodiscard]] std::string problem(Library library, const std::string& variant = {}) const {
        return message_of(ErrorCode::input, [&] { (void)component_checkpoint({path(), library, variant}); });
    }

  private:
    TempFolder folder_;
};

constexpr Library diffusers = Library::diffusers, transformers = Library::transformers;

// A shard that holds `tensors`, one number each.
void write_shard(const std::string& path, const std::map<std::string, float>& tensors) {
    std::vector<Tensor> owned;
    std::vector<NamedTensor> named;
    for (const auto& [name, value] : tensors) owned.push_back(Tensor::from(std::vector<float>{value}, {1}));
    std::size_t i = 0;
    for (const auto& [name, value] : tensors) named.push_back({name, owned[i++]});
    write_safetensors(path, named);
}

}  // namespace

TEST_CASE("component: of an index and a whole file diffusers takes the index, transformers the file") {
    Component d, t;
    d.with({"diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", "model.safetensors"});
    CHECK(d.choice(diffusers) == "diffusion_pytorch_model.safetensors");
    CHECK(d.choice(transformers) == "model.safetensors");
    d.with({"diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model.bin.index.json"});
    CHECK(d.choice(diffusers) == "diffusion_pytorch_model.safetensors.index.json");
    t.with({"model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"});
    CHECK(t.choice(transformers) == "model.safetensors.index.json");
    t.with({"model.safetensors"});
    CHECK(t.choice(transformers) == "model.safetensors");
}

TEST_CASE("component: .bin comes after safetensors, the other library's names after this one's") {
    Component c;
    c.with({"pytorch_model.bin.index.json"});
    CHECK(c.choice(transformers) == "pytorch_model.bin.index.json");
    c.with({"pytorch_model.bin"});
    CHECK(c.choice(transformers) == "pytorch_model.bin");
    CHECK(c.choice(diffusers) == "pytorch_model.bin");
    c.with({"diffusion_pytorch_model.bin"});
    CHECK(c.choice(diffusers) == "diffusion_pytorch_model.bin");
    CHECK(c.choice(transformers) == "pytorch_model.bin");
}

TEST_CASE("component: a variant where it is asked for or stands alone, in each spelling") {
    struct Spelling {
        const char* file;
        Library library;
    };
    for (const auto& [file, library] :
         {Spelling{"diffusion_pytorch_model.fp16.safetensors", diffusers},
          Spelling{"diffusion_pytorch_model.fp16.bin", diffusers},
          Spelling{"diffusion_pytorch_model.safetensors.index.fp16.json", diffusers},
          Spelling{"diffusion_pytorch_model.safetensors.fp16.index.json", diffusers},
          Spelling{"model.fp16.safetensors", transformers}, Spelling{"model.safetensors.index.fp16.json", transformers},
          Spelling{"model.fp16.safetensors.index.json", transformers}, Spelling{"pytorch_model.fp16.bin", transformers},
          Spelling{"pytorch_model.bin.index.fp16.json", transformers}}) {
        INFO(file);
        Component c;
        // Shards and their names in the middle are nothing that could be opened.
        c.with({file, "model.fp16-00001-of-00002.safetensors", "diffusion_pytorch_model-00001-of-00002.bf16.safetensors"});
        CHECK(c.choice(library) == file);
        CHECK(c.choice(library, "fp16") == file);
        CHECK(has_variant({c.path(), library, "fp16"}));
        CHECK_FALSE(has_variant({c.path(), library, "bf16"}));
        CHECK(contains(c.problem(library, "bf16"), "only the fp16 variant is here, not \"bf16\": name it as the variant"));
        const char* plain = library == diffusers ? "diffusion_pytorch_model.safetensors" : "model.safetensors";
        c.with({plain});
        CHECK(c.choice(library) == plain);
        CHECK(c.choice(library, "fp16") == file);
        CHECK(c.choice(library, "bf16") == plain);
    }
    // As of plain files: of an index and a whole file.
    Component d, t;
    d.with({"diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors.index.fp16.json",
            "diffusion_pytorch_model.safetensors.index.json"});
    CHECK(d.choice(diffusers, "fp16") == "diffusion_pytorch_model.safetensors.index.fp16.json");
    t.with({"model.fp16.safetensors", "model.safetensors.index.fp16.json"});
    CHECK(t.choice(transformers, "fp16") == "model.fp16.safetensors");
}

TEST_CASE("component: several variants and no plain files are no choice") {
    Component c;
    c.with({"model.fp16.safetensors", "model.bf16.safetensors"});
    CHECK(contains(c.problem(transformers), "only the bf16, fp16 variants are here: name one of them as the variant"));
    CHECK(c.choice(transformers, "bf16") == "model.bf16.safetensors");
}

TEST_CASE("component: what stands in the way is said with what to do") {
    const std::string whole = "diffusion_pytorch_model.safetensors";
    CHECK(contains(message_of(ErrorCode::input, [] { (void)component_checkpoint({"/nowhere/vae", diffusers, {}}); }),
                   "/nowhere/vae: no such folder"));
    CHECK(contains(Component().problem(diffusers), "neither " + whole + " nor " + whole + ".index.json"));
    CHECK(contains(Component().problem(transformers), "neither model.safetensors nor"));
    CHECK(contains(Component().with({"diffusion_pytorch_model-00001-of-00002.safetensors"}).problem(diffusers),
                   "but not their index: fetch that as well"));
    CHECK(contains(Component().with({"my-own.safetensors"}).problem(diffusers), "there is \"my-own.safetensors\""));
    CHECK(contains(Component().with({"t5-Q8_0.gguf"}).problem(transformers), "there is \"t5-Q8_0.gguf\""));
    CHECK(contains(Component().with({"flax_model.msgpack"}).problem(transformers), "of another framework"));
    CHECK(contains(Component().with({"model.safetensors.part"}).problem(transformers), "has not finished"));
    CHECK(contains(Component().with({"0a1b.incomplete"}).problem(transformers), "has not finished"));
    Component file;
    file.with({"vae"});
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)component_checkpoint({file.file("vae"), diffusers, {}}); }),
                   "is not a folder"));
    // A variant beside a link to nothing is not what the folder is about.
    Component dangling;
    dangling.with({"diffusion_pytorch_model.safetensors -> ../../blobs/0", "diffusion_pytorch_model.fp16.safetensors"});
    const std::string said = dangling.problem(diffusers);
    CHECK(contains(said, dangling.file(whole) + ": this link points to nothing (../../blobs/0)"));
    // But another file of the same weights is what the library would take.
    dangling.with({"diffusion_pytorch_model.bin"});
    CHECK(dangling.choice(diffusers) == "diffusion_pytorch_model.bin");
    Component linked;
    linked.with({"none -> gone"});
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)component_checkpoint({linked.file("none"), diffusers, {}}); }),
                   "this link points to nothing (gone)"));
}

TEST_CASE("component: one shard of several is told by its name, and its index named") {
    Component folder;
    CHECK(shard_problem(folder.file("model.safetensors")).empty());
    CHECK(shard_problem(folder.file("model-00001-of-00001.safetensors")).empty());
    CHECK(shard_problem(folder.file("state-of-the-art.safetensors")).empty());
    for (const char* name : {"model-00002-of-00002.safetensors", "pytorch_model-00001-of-00002.bin",
                             "diffusion_pytorch_model-00001-of-00003.fp16.safetensors", "m.fp16-00001-of-00003.safetensors"})
        CHECK(contains(shard_problem(folder.file(name)), "is one shard of several; give their index (….index.json), which"));
    folder.with({"model.safetensors.index.json"});
    CHECK(shard_problem(folder.file("model-00002-of-00002.safetensors")) ==
          "is one shard of several; give their index, \"model.safetensors.index.json\"");
}

TEST_CASE("component: a download that the hub's own tool left unfinished beside the model") {
    const TempFolder model;
    fs::create_directories(model / "vae");
    fs::create_directories(model / ".cache/huggingface/download/vae");
    (void)write_file(model / ".cache/huggingface/download/vae/0a1b.2c3d.incomplete", "1");
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)component_checkpoint({model / "vae", diffusers, {}}); }),
                   "their download has not finished"));
}

TEST_CASE("component: an index names shards, and the shards say what they hold") {
    const TempFolder folder;
    const std::string index = folder / "model.safetensors.index.json";
    write_shard(folder / "model-1.safetensors", {{"a", 1.0F}, {"b", 2.0F}});
    write_shard(folder / "model-2.safetensors", {{"b", 3.0F}, {"c", 4.0F}});
    // a lies elsewhere than it says, c is not named, d does not exist; there may be no "metadata".
    (void)write_file(index, R"({"weight_map":{"a":"model-2.safetensors","d":"model-1.safetensors"}})");
    const auto reader = open_component({folder.path().string(), transformers, {}});
    REQUIRE(reader->entries().size() == 3);
    for (const auto& [name, value] : std::map<std::string, float>{{"a", 1.0F}, {"b", 3.0F}, {"c", 4.0F}})
        CHECK(reader->tensor(name).as<float>()[0] == value);  // of b the last shard's
    CHECK(contains(reader->entries()[1].file, "model-2.safetensors"));
    CHECK(contains(message_of(ErrorCode::input, [&] { (void)reader->tensor("d"); }), "\"d\" is in none of the shards"));
    CHECK(component_checkpoint_files({folder.path().string(), transformers, {}}) ==
          std::vector<std::string>{index, folder / "model-1.safetensors", folder / "model-2.safetensors"});

    (void)write_file(index, R"({"weight_map":{"a":"model-3.safetensors"}})");
    const auto problem = [&] {
        return message_of(ErrorCode::input, [&] { (void)open_component({folder.path().string(), transformers, {}}); });
    };
    CHECK(contains(problem(), "model-3.safetensors: cannot open"));
    fs::create_symlink("gone", folder / "model-3.safetensors");
    CHECK(contains(problem(), "model-3.safetensors: this link points to nothing"));
    (void)write_file(index, R"({"weight_map":{"a":"model.safetensors.index.json"}})");
    CHECK(contains(problem(), "not a shard"));
}
