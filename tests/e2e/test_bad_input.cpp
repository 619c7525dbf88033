// Whatever is wrong, the program says so in one line that names it, with the promised exit code, and leaves no file.
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>

#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "support/run_t2i.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

// The code; one line of error, the last, with every word of `named` in it; nothing in the output folder.
void expect_failure(const Outcome& run, int code, const std::vector<std::string>& named, const fs::path& out) {
    INFO("stderr: " << run.err);
    CHECK(run.code == code);
    CHECK(run.out.empty());
    REQUIRE(run.err.ends_with("\n"));
    const auto before = run.err.rfind('\n', run.err.size() - 2);
    const std::string error = before == std::string::npos ? run.err : run.err.substr(before + 1);
    CHECK(error.starts_with("t2i: error: "));
    CHECK(run.err.find("error") == run.err.size() - error.size() + 5);
    for (const auto& word : named) CHECK(error.find(word) != std::string::npos);
    if (fs::is_directory(out)) CHECK(fs::is_empty(out));
}

struct BadFlags {
    std::vector<std::string> arguments;
    int code;
    std::vector<std::string> named;
};

TEST_CASE("bad flags and values") {
    const auto bad = GENERATE(values<BadFlags>({
        {{"-p", "a", "--stepz", "3"}, 2, {"--stepz", "--steps"}},
        {{"-p", "a", "--steps", "0"}, 2, {"--steps", "0"}},
        {{"-p", "a", "--steps", "1000000"}, 2, {"--steps", "1000"}},
        {{"-p", "a", "--steps", "many"}, 2, {"--steps"}},
        {{"-p", "a", "-W", "70"}, 2, {"--width", "70", "64", "80"}},
        {{"-p", "a", "-H", "-64"}, 2, {"--height"}},
        {{"-p", "a", "--cfg-scale", "nan"}, 2, {"--cfg-scale"}},
        {{"-p", "a", "-b", "0"}, 2, {"--batch-count"}},
        {{"-p", "a", "--sampling-method", "eulr"}, 2, {"eulr", "euler"}},
        {{"-p", "a", "--scheduler", "karas"}, 2, {"karas", "karras"}},
        {{"-p", "a", "--device", "tpu"}, 2, {"--device", "tpu"}},
        {{"-p", "a", "--device", "cuda"}, 4, {"--device"}},
        {{"-p", "a", "--dtype", "f8"}, 2, {"--dtype", "f8"}},
        {{"-p", "a", "-o", "%s.png"}, 2, {"--output"}},
        {{"-p", "a", "picture"}, 2, {"picture"}},
        {{"--steps", "3"}, 2, {"--prompt"}},
        {{"-p",
          "a\xff"
          "b"},
         3,
         {"--prompt", "UTF-8"}},
        {{"-p", "a", "-n", "\xc3("}, 3, {"--negative-prompt", "UTF-8"}},
    }));
    const TempFolder folder;
    std::vector<std::string> arguments{"-m", tiny_model().string()};
    arguments.insert(arguments.end(), bad.arguments.begin(), bad.arguments.end());
    if (std::find(arguments.begin(), arguments.end(), "-o") == arguments.end())
        arguments.insert(arguments.end(), {"-o", (folder.path() / "a.png").string()});
    expect_failure(run_t2i(arguments), bad.code, bad.named, folder.path());
}

struct BadModel {
    std::string what;
    std::function<void(const fs::path& model)> damage;
    std::vector<std::string> named;
};

void overwrite(const fs::path& file, const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
}

const std::string weights = "transformer/diffusion_pytorch_model.safetensors";

// Sets the first value of a tensor's data to NaN: the last 4 bytes of the file belong to some f32 tensor.
void poison(const fs::path& file) {
    std::fstream f(file, std::ios::binary | std::ios::in | std::ios::out);
    f.seekp(-4, std::ios::end);
    f.write("\x00\x00\xc0\x7f", 4);
}

TEST_CASE("damaged models") {
    const auto bad = GENERATE(values<BadModel>({
        {"no model_index.json", [](const fs::path& m) { fs::remove(m / "model_index.json"); }, {"model_index.json"}},
        {"model_index.json is no JSON",
         [](const fs::path& m) { overwrite(m / "model_index.json", "{\"_class"); },
         {"model_index.json"}},
        {"unknown pipeline",
         [](const fs::path& m) { overwrite(m / "model_index.json", R"({"_class_name": "FluxPipeline"})"); },
         {"FluxPipeline", "PixArtAlphaPipeline"}},
        {"no transformer", [](const fs::path& m) { fs::remove_all(m / "transformer"); }, {"transformer"}},
        {"no weights", [](const fs::path& m) { fs::remove(m / weights); }, {"transformer"}},
        {"truncated weights", [](const fs::path& m) { fs::resize_file(m / weights, fs::file_size(m / weights) / 2); }, {weights}},
        {"empty weights", [](const fs::path& m) { overwrite(m / weights, ""); }, {weights}},
        {"weights are no safetensors", [](const fs::path& m) { overwrite(m / weights, std::string(5000, 'x')); }, {weights}},
        {"NaN in the weights", [](const fs::path& m) { poison(m / weights); }, {"NaN"}},
        {"config is no JSON", [](const fs::path& m) { overwrite(m / "vae/config.json", "[1, 2"); }, {"vae/config.json"}},
        {"unknown scheduler",
         [](const fs::path& m) {
             auto index = nlohmann::json::parse(file_text((m / "model_index.json").string()));
             index["scheduler"][1] = "NoScheduler";
             overwrite(m / "model_index.json", index.dump());
         },
         {"scheduler_config.json", "NoScheduler"}},
        {"corrupt vocabulary",
         [](const fs::path& m) { overwrite(m / "tokenizer/spiece.model", "not a model"); },
         {"spiece.model"}},
        {"no vocabulary", [](const fs::path& m) { fs::remove(m / "tokenizer/spiece.model"); }, {"spiece.model"}},
        {"t2i.json out of range",
         [](const fs::path& m) { overwrite(m / "t2i.json", R"({"steps": -1})"); },
         {"t2i.json", "steps"}},
        {"a keyword that stands for nothing",
         [](const fs::path& m) { overwrite(m / "t2i.json", R"({"vocabulary": {"keywords": {"en": ["kitten"]}}})"); },
         {"t2i.json", "kitten", "KEYWORD: NAME"}},
    }));
    const TempFolder folder;
    const auto model = folder.path() / "model", out = folder.path() / "out";
    copy_tiny_model(model);
    fs::create_directory(out);
    bad.damage(model);
    INFO(bad.what);
    expect_failure(run_t2i({"-m", model.string(), "-p", "a", "--steps", "2", "-o", (out / "a.png").string()}), 3, bad.named, out);
}

TEST_CASE("latents that overflow name the step") {
    const TempFolder folder;
    const auto model = folder.path() / "model", out = folder.path() / "out";
    fs::create_directory(out);
    auto pipeline = read_manifest("pipeline")["cases"].front()["pipeline"];
    for (auto& tensor : pipeline["components"]["transformer"]["tensors"])
        if (tensor["name"] == "proj_out.weight") tensor["scale"] = 3e38;  // finite, until it meets activations
    write_pipeline(pipeline, model);
    expect_failure(run_t2i({"-m", model.string(), "-p", "a", "--steps", "3", "-o", (out / "a.png").string()}), 3,
                   {"NaN or Inf", "step 1 of 3"}, out);
}

TEST_CASE("a model that is not there") {
    const TempFolder folder;
    expect_failure(run_t2i({"-m", "/nowhere/model", "-p", "a", "-o", (folder.path() / "a.png").string()}), 3, {"/nowhere/model"},
                   folder.path());
}

TEST_CASE("output folder missing, read-only, or a full disk") {
    const TempFolder folder;
    const std::vector<std::string> base{"-m", tiny_model().string(), "-p", "a", "--steps", "2", "-o"};
    const auto with = [&](const fs::path& out) {
        auto a = base;
        a.push_back(out.string());
        return run_t2i(a);
    };
    expect_failure(with(folder.path() / "none/a.png"), 3, {"none"}, folder.path() / "none");
    if (::geteuid() != 0) {  // root may write anywhere
        const auto locked = folder.path() / "locked";
        fs::create_directory(locked);
        fs::permissions(locked, fs::perms::owner_read | fs::perms::owner_exec);
        expect_failure(with(locked / "a.png"), 3, {"locked"}, locked);
    }
    const auto small = folder.path() / "small";
    fs::create_directory(small);
    if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=4096") != 0) {
        WARN("skipped: mounting a small tmpfs needs root; the full disk was not tested");
        return;
    }
    expect_failure(with(small / "a.png"), 3, {"a.png", "No space left"}, small);
    REQUIRE(::umount(small.c_str()) == 0);
}

TEST_CASE("an existing file survives a failure and is replaced by a success") {
    const TempFolder folder;
    const auto out = folder.path() / "a.png";
    overwrite(out, "precious");
    const Outcome failed = run_t2i({"-m", tiny_model().string(), "-p", "a", "--steps", "0", "-o", out.string()});
    CHECK(failed.code == 2);
    CHECK(fs::file_size(out) == 8);
    CHECK(run_t2i({"-m", tiny_model().string(), "-p", "a", "--steps", "2", "-o", out.string()}).code == 0);
    CHECK(fs::file_size(out) > 100);
}

TEST_CASE("an empty value is said to be empty, and stands for nothing") {
    const auto said = [](const std::string& flag) {
        return "t2i: error: " + flag + ": the value is empty (a variable that is not set?)\n";
    };
    for (const char* flag :
         {"--model", "--base", "--variant", "--transformer", "--text-encoder", "--tokenizer", "--as", "--vae", "--taesd",
          "--device", "--dtype", "--output", "--image-format", "--quality", "--sampling-method", "--scheduler", "--trace"}) {
        const Outcome run = run_t2i({"-p", "a cat", flag, ""});
        INFO(flag);
        CHECK(run.code == 2);
        CHECK(run.err == said(flag));
    }
    CHECK(run_t2i({"-p", "a cat", "-m", ""}).err == said("--model"));
    const TempFolder folder;
    overwrite(folder.path() / "t2i.toml", "model = \"\"\n");
    CHECK(run_t2i({"-p", "a cat", "--config", folder / "t2i.toml"}).err == said("--model"));
    for (const char* flag :
         {"--text-cache", "--encoding", "--prompt-column", "--name", "--shard", "--metrics-file", "--output"}) {
        std::vector<std::string> arguments{"batch", folder / "p.txt", flag, ""};
        if (std::string(flag) != "--output") arguments.insert(arguments.end(), {"-o", folder / "out"});
        const Outcome run = run_t2i(arguments);
        INFO(flag);
        CHECK(run.code == 2);
        CHECK(run.err == said(flag));
    }
    CHECK(run_t2i({"batch", "", "-o", folder / "out"}).err == said("FILE"));
    CHECK(run_t2i({"inspect", ""}).err == said("PATH"));
    CHECK(run_t2i({"verify", ""}).err == said("PICTURE"));
    CHECK(run_t2i({"convert", tiny_model().string(), ""}).err == said("IN OUT"));
    CHECK(run_t2i({"bench", "--op", ""}).err == said("--op"));
    CHECK(run_t2i({"doctor", "--device", ""}).err == said("--device"));
    CHECK_FALSE(fs::exists(folder.path() / "out"));
}

TEST_CASE("standard output is no place for folders and weights") {
    const TempFolder folder;
    const auto refused = [&](std::vector<std::string> arguments, const std::string& says) {
        const Outcome run = Process(std::move(arguments), {.folder = folder.path().string()}).wait();
        INFO(run.err);
        CHECK(run.code == 2);
        CHECK(run.err == "t2i: error: " + says + "\n");
        CHECK(fs::is_empty(folder.path()));
    };
    refused({"convert", tiny_model().string(), "-"}, "OUT: standard output cannot take weights; name a file or a folder");
    refused({"convert", tiny_model().string(), "/dev/stdout"},
            "OUT: standard output cannot take weights; name a file or a folder");
    refused({"batch", "p.txt", "-o", "-"}, "--output: standard output cannot take the pictures of a batch; name a folder");
    refused({"batch", "p.txt", "-o", "out", "--text-cache", "-"},
            "--text-cache: standard output cannot take encoded prompts; name a folder");
    refused({"bench", "--random", "dit-xl-2", "--weights", "-"}, "--weights: standard output cannot take weights; name a folder");
}

// None of these gives a byte: whoever reads one as a file waits for ever.
TEST_CASE("a named pipe, a device or a socket in place of a file is said in one line") {
    const TempFolder folder;
    const std::string model = tiny_model().string(), out = folder / "out";
    struct Special {
        std::string path, said;
    };
    const std::string fifo = folder / "fifo", named = folder / "fifo.safetensors", picture = folder / "fifo.png",
                      socket = folder / "socket";
    for (const auto& path : {fifo, named, picture}) REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(socket.size() < sizeof address.sun_path);
    std::ranges::copy(socket, address.sun_path);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(fd);
    for (const auto& [path, kind] : {std::pair{fifo, "a named pipe"},
                                     {named, "a named pipe"},
                                     {picture, "a named pipe"},
                                     {std::string("/dev/null"), "a device"},
                                     {socket, "a socket"}}) {
        const std::string says = path + ": is " + kind + ", not a file";
        INFO(path);
        expect_failure(run_t2i({"inspect", path}), 3, {says}, "");
        CHECK(contains(run_t2i({"verify", path}).out, std::string(": not checked: is ") + kind + ", not a file\n"));
        expect_failure(run_t2i({"convert", path, out}), 3, {says}, "");
        expect_failure(run_t2i({"-m", path, "-p", "a cat", "-o", out + "/"}), 3, {says}, "");
        for (const char* flag : {"--vae", "--transformer", "--text-encoder", "--tokenizer", "--base"}) {
            INFO(flag);
            std::vector<std::string> arguments{"-m", model, "-p", "a cat", "-o", out + "/", flag, path};
            expect_failure(run_t2i(arguments), 3, {says}, "");
        }
    }
    // What stands inside a model, too.
    const fs::path damaged = folder.path() / "model";
    copy_tiny_model(damaged);
    for (const char* name : {"model_index.json", "transformer/config.json", "vae/diffusion_pytorch_model.safetensors",
                             "tokenizer/spiece.model", "scheduler/scheduler_config.json", "t2i.json"}) {
        const std::string file = (damaged / name).string();
        std::error_code ignored;
        fs::rename(file, file + ".kept", ignored);
        REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
        expect_failure(run_t2i({"-m", damaged.string(), "-p", "a cat", "-o", out + "/"}), 3, {"is a named pipe, not a file"}, "");
        fs::remove(file);
        fs::rename(file + ".kept", file, ignored);
    }
    // A prompt file may be a pipe; what a run keeps may not.
    expect_failure(run_t2i({"batch", socket, "-m", model, "-o", out}), 3, {socket + ": is a socket, not a file"}, "");
    fs::create_directory(out);
    REQUIRE(::mkfifo((out + "/journal.jsonl").c_str(), 0600) == 0);
    expect_failure(run_t2i({"batch", "--verify", "-o", out}), 3, {"journal.jsonl: is a named pipe, not a file"}, "");
}

TEST_CASE("a prompt file may be a named pipe, or a descriptor as process substitution gives it") {
    const TempFolder folder;
    const std::string fifo = folder / "prompts";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const auto writer = std::async(std::launch::async, [&] { overwrite(fifo, "a cat\n"); });
    const Outcome run =
        run_t2i({"batch", fifo, "--input-format", "txt", "-m", tiny_model().string(), "--steps", "1", "-o", folder / "a"});
    INFO(run.err);
    CHECK(run.code == 0);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(::write(ends[1], "a cat\n", 6) == 6);
    ::close(ends[1]);
    Process given({"batch", "/dev/fd/" + std::to_string(ends[0]), "--input-format", "txt", "-m", tiny_model().string(), "--steps",
                   "1", "-o", folder / "b"});
    const Outcome second = given.wait();
    ::close(ends[0]);
    INFO(second.err);
    CHECK(second.code == 0);
    const auto pictures = [&](const char* name) {
        return std::ranges::count_if(fs::directory_iterator(folder / name),
                                     [](const auto& entry) { return entry.path().extension() == ".png"; });
    };
    CHECK(pictures("a") == 1);
    CHECK(pictures("b") == 1);
}

TEST_CASE("inspect: what is not there, not a PNG, cut short") {
    const TempFolder folder;
    const auto file = folder.path() / "a.png";
    expect_failure(run_t2i({"inspect", file.string()}), 3, {"a.png"}, "");
    overwrite(file, "hello");
    expect_failure(run_t2i({"inspect", file.string()}), 3, {"a.png", "not a PNG"}, "");
    overwrite(file, std::string("\x89PNG\r\n\x1a\n", 8) + std::string(6, '\0'));
    expect_failure(run_t2i({"inspect", file.string()}), 3, {"a.png", "cut short"}, "");
}

}  // namespace
}  // namespace t2i::test
