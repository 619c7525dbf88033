// `t2i batch` from outside: formats, bad lines, independence, names, shards, tar shards.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "checkpoint/safetensors.h"
#include "e2e/batch_process.h"
#include "e2e/tiny_model.h"
#include "support/catch.h"
#include "text/tokenizer.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& [name, bytes] : pictures_in(folder)) names.insert(name);
    return names;
}

TEST_CASE("batch: the same requests as text, flag lines, JSON, CSV and TSV give the same files") {
    const TempFolder folder;
    write_file(
        folder / "a.txt",
        "# a comment\n\n--prompt \"a red apple\" --seed 7 --steps 3 --cfg_scale 4 --width 64 --height 64 --sampler_name euler\r\n"
        "--prompt 红苹果 --negative-prompt blurry, dark --seed=8 --batch_size 2\na plain prompt -- with dashes\n");
    write_file(
        folder / "a.jsonl",
        R"({"prompt": "a red apple", "seed": 7, "steps": 3, "cfg-scale": 4, "width": 64, "height": 64, "sampler_name": "euler"})"
        "\n\n"
        R"({"negative_prompt": "blurry, dark", "prompt": "红苹果", "seed": 8, "batch_size": 2, "steps": null})"
        "\n"
        R"({"prompt": "a plain prompt -- with dashes"})");
    write_file(folder / "a.csv",
               "\xEF\xBB\xBFprompt,negative_prompt,seed,steps,cfg_scale,width,height,sampler_name,batch_size\n"
               "a red apple,,7,3,4,64,64,euler,\n红苹果,\"blurry, dark\",8,,,,,,2\n\na plain prompt -- with dashes\n");
    write_file(folder / "a.tsv",
               "batch_count\tprompt\tnegative-prompt\tseed\tsteps\tguidance_scale\twidth\theight\tsampling_method\n"
               "\ta red apple\t\t7\t3\t4\t64\t64\teuler\n2\t红苹果\tblurry, dark\t8\n\ta plain prompt -- with dashes\n");
    std::map<std::string, std::string> first;
    for (const char* name : {"a.txt", "a.jsonl", "a.csv", "a.tsv"}) {
        const std::string out = folder / (std::string("out-") + name);
        const Outcome run = run_batch(folder / name, out);
        INFO(name << ": " << run.err);
        REQUIRE(run.code == 0);
        const auto pictures = pictures_in(out);
        CHECK(pictures.size() == 4);
        if (first.empty()) first = pictures;
        CHECK((pictures == first));
        for (const auto& [file, bytes] : pictures) CHECK(run.out.find(out + "/" + file + "\n") != std::string::npos);
    }
}

TEST_CASE("batch: a line's picture has the bytes that `t2i generate` makes of the same request") {
    const TempFolder folder;
    const std::string file = write_file(
        folder / "a.jsonl", R"({"prompt": "a cat", "seed": 5, "id": "cat", "negative_prompt": "dog", "cfg_scale": 3.5})");
    REQUIRE(run_batch(file, folder / "out").code == 0);
    const Outcome one = run_t2i({"-m", tiny_model().string(), "--steps", "2", "-p", "a cat", "-n", "dog", "-s", "5",
                                 "--cfg-scale", "3.5", "-o", folder / "one.png"});
    REQUIRE(one.code == 0);
    CHECK((pictures_in(folder / "out").at("cat.png") == file_text(folder / "one.png")));
}

TEST_CASE("batch: bad lines of every kind are listed with their number and reason, and the rest is done") {
    const TempFolder folder;
    std::string lines;
    std::vector<std::string> reasons;  // of line i + 1; empty: good
    const auto add = [&](const std::string& line, const std::string& reason) {
        lines += line + "\n";
        reasons.push_back(reason);
    };
    add(R"({"prompt": "a cat", "id": "one"})", "");
    add("{\"prompt\": \"\xFF\xFE cat\"}", "line is not UTF-8 (byte ");
    add(R"({"prompt": "a cat")", "not valid JSON");
    add(R"({"promt": "a cat"})", "unknown name \"promt\"; did you mean prompt?");
    add(R"({"prompt": "a cat", "steps": 0})", "steps: 0 is out of range [1, 1000]");
    add(R"({"prompt": "a cat", "sampler_name": "eulr"})", "sampler_name: no sampling method \"eulr\"");
    add(R"({"prompt": "another cat", "id": "one"})", "id is used by an earlier line: \"one\"");
    add(R"({"prompt": ")" + std::string(1 << 20, 'a') + "\"}", "prompt has 1048576 bytes; at most 65536 are taken");
    add(R"({"prompt": ")" + std::string(5 << 20, 'a') + "\"}", "line is over 4 MiB");
    add(R"({"prompt": "a cat", "width": 65})", "width: 65 is not divisible by");
    add(R"({"prompt": "a cat", "seed": 1.5})", "seed: \"1.5\" is not a whole number");
    add(R"({"prompt": "a cat", "seed": "x"})", "seed: \"x\" is not a whole number");
    add(R"({"prompt": 7})", "prompt must be a text");
    add(R"({"prompt": "a cat", "prompt": "a dog"})", "prompt is given twice");
    add(R"({"steps": 2})", "has no prompt");
    add(R"(["a cat"])", "unexpected an array");
    add(R"({"prompt": "a cat", "id": "../cat"})", "id begins with a dot");
    add(R"({"prompt": "a cat", "id": "a/cat"})", "id holds a slash");
    add(R"({"prompt": "a cat", "batch_size": 0})", "batch_size: 0 is out of range [1, 100000]");
    add(R"({"prompt": "the last cat", "id": "last"})", "");
    const fs::path out = folder / "out";
    const Outcome run = run_batch(write_file(folder / "bad.jsonl", lines), out.string());
    CHECK(run.code == 5);
    CHECK(names_in(out) == std::set<std::string>{"one.png", "last.png"});
    const auto failed = json_lines(out / "failed.jsonl");
    std::size_t next = 0;
    for (std::size_t i = 0; i < reasons.size(); ++i) {
        if (reasons[i].empty()) continue;
        INFO("line " << i + 1 << ", expected: " << reasons[i]);
        REQUIRE(next < failed.size());
        CHECK(failed[next]["line"] == i + 1);
        const auto reason = failed[next++]["reason"].get<std::string>();
        INFO("found: " << reason);
        CHECK(reason.find(reasons[i]) != std::string::npos);
        CHECK(run.err.find("t2i: line " + std::to_string(i + 1) + ": " + reason) != std::string::npos);
    }
    CHECK(next == failed.size());
    CHECK(run_t2i({"batch", "--verify", "-o", out.string()}).code == 0);
}

TEST_CASE("batch: bad flag lines and bad CSV rows do not stop the rest, and a bad header does") {
    const TempFolder folder;
    const std::string text =
        write_file(folder / "a.txt",
                   "a cat\na cat --steps 2\n--prompt \"a cat\n--prompt cat --stps 2\n--prompt cat --seed\n--steps 2\na dog\n");
    CHECK(run_batch(text, folder / "text").code == 5);
    CHECK(pictures_in(folder / "text").size() == 2);
    std::vector<int> lines;
    for (const auto& line : json_lines(folder / "text/failed.jsonl")) lines.push_back(line["line"]);
    CHECK(lines == std::vector<int>{2, 3, 4, 5, 6});

    const std::string csv = write_file(
        folder / "a.csv", "id,prompt,seed\na,a cat,1\nb,\"a\" cat,2\nc,\"two\nlines\",3\nd,a dog,4,5,6\ne,a dog,x\nf,a fox,7\n");
    CHECK(run_batch(csv, folder / "csv").code == 5);
    CHECK(names_in(folder / "csv") == std::set<std::string>{"a.png", "c.png", "f.png"});
    lines.clear();
    for (const auto& line : json_lines(folder / "csv/failed.jsonl")) lines.push_back(line["line"]);
    CHECK(lines == std::vector<int>{3, 6, 7});

    const Outcome header = run_batch(write_file(folder / "h.csv", "promt\na cat\n"), folder / "header");
    CHECK(header.code == 3);
    CHECK(header.err.find("h.csv, line 1: header: unknown name \"promt\"; did you mean prompt?") != std::string::npos);
}

TEST_CASE("batch: a picture depends on its request alone: engine batches of 1, 3 and 32, the order, shards") {
    const TempFolder folder;
    const std::string lines = prompt_lines(40);
    const std::string file = write_file(folder / "a.jsonl", lines);
    std::vector<std::string> reversed;
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) reversed.insert(reversed.begin(), line + "\n");
    std::string backwards;
    for (const auto& line : reversed) backwards += line;
    const std::string back = write_file(folder / "b.jsonl", backwards);

    const auto make = [&](const std::string& from, const std::string& name, const std::vector<std::string>& more) {
        const Outcome run = run_batch(from, folder / name, more);
        INFO(run.err);
        REQUIRE(run.code == 0);
        return pictures_in(folder / name);
    };
    const auto one = make(file, "one", {"--engine-batch", "1"});
    CHECK(one.size() == 40);
    CHECK((make(file, "three", {"--engine-batch", "3"}) == one));
    CHECK((make(file, "many", {"--engine-batch", "32"}) == one));
    CHECK((make(file, "auto", {"--engine-batch", "auto", "-t", "1"}) == one));
    CHECK((make(back, "back", {"--engine-batch", "8"}) == one));
    std::map<std::string, std::string> shards;
    for (const char* shard : {"0/3", "1/3", "2/3"}) shards = make(file, "shards", {"--shard", shard, "--engine-batch", "5"});
    CHECK((shards == one));
}

TEST_CASE("batch: lines without an id are named by their request, wherever they stand, and repeated ones are numbered") {
    const TempFolder folder;
    const std::string a = write_file(folder / "a.txt", "a cat\na dog\na cat\na cat\n"),
                      b = write_file(folder / "b.txt", "a dog\na cat\n");
    REQUIRE(run_batch(a, folder / "a").code == 0);
    REQUIRE(run_batch(b, folder / "b").code == 0);
    const auto names = names_in(folder / "a"), fewer = names_in(folder / "b");
    CHECK(names.size() == 4);
    for (const auto& name : fewer) CHECK(names.contains(name));
    std::size_t numbered = 0;
    for (const auto& name : names) numbered += name.ends_with("-2.png") || name.ends_with("-3.png");
    CHECK(numbered == 2);
    for (const auto& name : fewer) CHECK(name.size() == 16 + 4);
}

TEST_CASE("batch: a seed below 0 is another for each line, and the same one in every run") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.txt", "--prompt cat --seed -1\n--prompt cat --seed -1\n");
    REQUIRE(run_batch(file, folder / "a").code == 0);
    REQUIRE(run_batch(file, folder / "b").code == 0);
    CHECK((pictures_in(folder / "a") == pictures_in(folder / "b")));
    std::set<std::string> seeds;
    for (const auto& line : json_lines(folder / "a/manifest.jsonl")) seeds.insert(line["seed"].dump());
    CHECK(seeds.size() == 2);
}

TEST_CASE("batch: standard input is read as it comes") {
    const TempFolder folder;
    const fs::path out = folder / "out";
    std::array<int, 2> pipe{};
    REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
    Process run(batch_arguments("-", out.string()), {.input = pipe[0]});
    ::close(pipe[0]);
    const auto send = [&](const std::string& line) {
        REQUIRE(::write(pipe[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    };
    send("a cat\n");
    CHECK(run.wait_until([&] { return lines_in(out / "journal.jsonl") == 1; }));
    send("a dog\na fox");
    CHECK(run.wait_until([&] { return lines_in(out / "journal.jsonl") == 2; }));
    ::close(pipe[1]);
    CHECK(run.wait().code == 0);
    CHECK(pictures_in(out).size() == 3);
}

TEST_CASE("batch: a million lines start at once") {
    const TempFolder folder;
    std::string lines;
    for (int i = 0; i < 1'000'000; ++i) lines += "a cat number " + std::to_string(i) + "\n";
    const std::string file = write_file(folder / "a.txt", lines);
    const fs::path out = folder / "out";
    Process run(batch_arguments(file, out.string()));
    CHECK(run.wait_until([&] { return fs::exists(out / "journal.jsonl") && lines_in(out / "journal.jsonl") > 0; }));
    run.signal(SIGINT);
    CHECK(run.wait().code == 130);
    CHECK(fs::exists(out / "journal.jsonl"));
    // Beyond 10,000 pictures they stand in sub-folders.
    for (const auto& name : names_in(out)) CHECK(name.find('/') == 2);
}

TEST_CASE("batch: a picture that cannot be made is listed, the others of its batch are made, and it is tried again when asked") {
    const TempFolder folder;
    const fs::path model = folder / "model";
    copy_tiny_model(model);
    // All weights are finite (others are refused): channel 0 of the residual stream is 0 but for one piece of one prompt, and
    // the last norm makes an infinity of that.
    const auto tokenizer = load_tokenizer((model / "tokenizer").string());
    const auto poisoned = tokenizer->encode("zebra", 120).ids,
               healthy = tokenizer->encode("a cat a dog a fox a pear a plum", 120).ids;
    std::int64_t piece = -1;
    for (const auto id : poisoned)
        if (std::ranges::find(healthy, id) == healthy.end()) piece = id;
    REQUIRE(piece >= 0);
    const fs::path weights = model / "text_encoder/model.safetensors";
    std::string bytes = file_text(weights.string());
    const std::uint64_t header_size = *reinterpret_cast<const std::uint64_t*>(bytes.data());
    const json header = json::parse(bytes.substr(8, header_size));
    int changed = 0;
    for (const auto& [name, tensor] : header.items()) {
        if (name == "__metadata__") continue;
        REQUIRE(tensor["dtype"] == "F32");
        const auto begin = 8 + header_size + tensor["data_offsets"][0].get<std::size_t>();
        const auto shape = tensor["shape"].get<std::vector<std::size_t>>();
        const auto put = [&](std::size_t element, float value) {
            std::memcpy(bytes.data() + begin + element * sizeof value, &value, sizeof value);
        };
        if (name == "shared.weight" || name == "encoder.embed_tokens.weight") {
            for (std::size_t row = 0; row < shape[0]; ++row)
                put(row * shape[1], row == static_cast<std::size_t>(piece) ? 1e6F : 0.0F);
        } else if (name.ends_with("SelfAttention.o.weight") || name.ends_with("DenseReluDense.wo.weight")) {
            for (std::size_t column = 0; column < shape[1]; ++column) put(column, 0.0F);  // what is added to channel 0
        } else if (name == "encoder.final_layer_norm.weight") {
            put(0, 3e38F);
        } else {
            continue;
        }
        ++changed;
    }
    REQUIRE(changed >= 4);
    write_file(weights.string(), bytes);

    const std::string file = write_file(folder / "a.txt", "a cat\na dog\nzebra\na fox\na pear\na plum\n");
    const fs::path out = folder / "out";
    const auto run = [&](std::vector<std::string> more) {
        std::vector<std::string> all{"batch", file, "-o", out.string(), "-m", model.string(), "--steps", "2"};
        all.insert(all.end(), more.begin(), more.end());
        return run_t2i(all);
    };
    const Outcome first = run({"--engine-batch", "6"});
    INFO(first.err);
    CHECK(first.code == 5);
    CHECK(pictures_in(out).size() == 5);
    REQUIRE(lines_in(out / "failed.jsonl") == 1);
    CHECK(json_lines(out / "failed.jsonl")[0]["line"] == 3);
    CHECK(lines_in(out / "journal.jsonl") == 6);

    CHECK(run({}).code == 5);  // still failed, not tried again
    CHECK(lines_in(out / "journal.jsonl") == 6);
    CHECK(lines_in(out / "failed.jsonl") == 1);
    CHECK(run({"--retry-failed"}).code == 5);
    CHECK(lines_in(out / "journal.jsonl") == 7);
}

TEST_CASE("batch: shards are split by hash of the id, merge into one folder, and can be split anew") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(30) + "{\"promt\": 1}\n");
    REQUIRE(run_batch(file, folder / "whole").code == 5);
    const auto expected = pictures_in(folder / "whole");
    const fs::path out = folder / "out";
    // From Slurm's variables, from Open MPI's, from the flag: three of four shards, the fourth never came.
    const auto error_with = [&](const std::vector<std::string>& environment) {
        return run_batch(file, out.string(), {}, environment).err;
    };
    CHECK(error_with({"SLURM_ARRAY_TASK_ID=1", "SLURM_ARRAY_TASK_MIN=1", "SLURM_ARRAY_TASK_COUNT=4"})
              .find("shard 0/4 (SLURM_ARRAY_TASK_ID)") != std::string::npos);
    CHECK(error_with({"OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=4"}).find("shard 1/4 (OMPI_COMM_WORLD_RANK)") !=
          std::string::npos);
    static_cast<void>(run_batch(file, out.string(), {"--shard", "2/4"}));
    const auto some = pictures_in(out).size();
    CHECK(some > 5);
    CHECK(some < 30);
    // Split anew into two: each makes what is left of its own.
    std::size_t failed_codes = 0;
    for (const char* shard : {"0/2", "1/2"}) failed_codes += run_batch(file, out.string(), {"--shard", shard}).code == 5;
    CHECK(failed_codes == 1);  // the bad line is one shard's
    CHECK((pictures_in(out) == expected));
    const Outcome merged = run_t2i({"batch", "--merge", "-o", out.string()});
    INFO(merged.out << merged.err);
    CHECK(merged.code == 0);
    CHECK(merged.out == "5 journals merged: 30 pictures, 0 failed\n");
    CHECK(lines_in(out / "journal.jsonl") == 30);
    CHECK(lines_in(out / "manifest.jsonl") == 30);
    CHECK(lines_in(out / "failed.jsonl") == 1);
    CHECK(!fs::exists(out / "journal.0-of-4.jsonl"));
    CHECK(run_t2i({"batch", "--verify", "-o", out.string()}).code == 0);
    CHECK(run_batch(file, out.string()).err.find("0 pictures made") != std::string::npos);
    CHECK(leftovers_in(out).empty());
}

TEST_CASE("batch: folders of several machines are merged into one") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(20));
    REQUIRE(run_batch(file, folder / "whole").code == 0);
    REQUIRE(run_batch(file, folder / "a", {"--shard", "0/2"}).code == 0);
    REQUIRE(run_batch(file, folder / "b", {"--shard", "1/2"}).code == 0);
    const fs::path all = folder / "all";
    const Outcome merged = run_t2i({"batch", "--merge", "-o", all.string(), folder / "a", folder / "b"});
    INFO(merged.out << merged.err);
    REQUIRE(merged.code == 0);
    CHECK((pictures_in(all) == pictures_in(folder / "whole")));
    CHECK(lines_in(all / "manifest.jsonl") == 20);
    CHECK(run_t2i({"batch", "--verify", "-o", all.string()}).code == 0);
    CHECK(run_batch(file, all.string()).err.find("0 pictures made") != std::string::npos);
}

// Members of a tar archive by name, as GNU tar or Python would find them.
std::map<std::string, std::string> tar_members(const fs::path& path) {
    std::map<std::string, std::string> members;
    const std::string tar = file_text(path.string());
    std::size_t at = 0;
    while (at + 512 <= tar.size() && tar[at] != '\0') {
        REQUIRE(tar.compare(at + 257, 5, "ustar") == 0);
        const std::size_t size = std::stoull(tar.substr(at + 124, 11), nullptr, 8);
        members[std::string(tar.c_str() + at)] = tar.substr(at + 512, size);
        at += 512 + (size + 511) / 512 * 512;
    }
    CHECK(tar.size() == at + 1024);
    return members;
}

TEST_CASE("batch: WebDataset shards hold picture, parameters and prompt, and a kill loses nothing of them") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(25));
    REQUIRE(run_batch(file, folder / "files").code == 0);
    const fs::path out = folder / "out";
    const std::vector<std::string> more{"--format", "webdataset", "--tar-samples", "10"};
    Process run(batch_arguments(file, out.string(), more));
    REQUIRE(run.wait_until([&] { return lines_in(out / "journal.jsonl") >= 12; }));
    run.signal(SIGKILL);
    static_cast<void>(run.wait());
    const std::size_t before = lines_in(out / "journal.jsonl");
    const Outcome rest = run_batch(file, out.string(), more);
    INFO(rest.err);
    REQUIRE(rest.code == 0);
    CHECK(rest.err.find(std::to_string(before) + " were done already") != std::string::npos);
    std::map<std::string, std::string> all;
    for (const char* name : {"shard-000000.tar", "shard-000001.tar", "shard-000002.tar"}) all.merge(tar_members(out / name));
    CHECK(all.size() == 75);
    for (const auto& [name, bytes] : pictures_in(folder / "files")) CHECK((all.at(name) == bytes));
    CHECK(json::parse(all.at("p3.json"))["prompt"] == all.at("p3.txt"));
    CHECK(leftovers_in(out).empty());
    const Outcome verify = run_t2i({"batch", "--verify", "-o", out.string()});
    INFO(verify.out);
    CHECK(verify.code == 0);
}

TEST_CASE("batch: encoded prompts kept on disk give the same pictures, also when their files are damaged") {
    const TempFolder folder;
    const std::string two_of_a_length = R"({"prompt": "a red apple"})"
                                        "\n"
                                        R"({"prompt": "red a apple"})"
                                        "\n";
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(8) + two_of_a_length), cache = folder / "cache";
    REQUIRE(run_batch(file, folder / "plain").code == 0);
    const auto expected = pictures_in(folder / "plain");
    REQUIRE(run_batch(file, folder / "first", {"--text-cache", cache}).code == 0);
    CHECK((pictures_in(folder / "first") == expected));
    std::vector<fs::path> texts;
    for (const auto& entry : fs::recursive_directory_iterator(cache))
        if (entry.is_regular_file()) texts.push_back(entry.path());
    REQUIRE(texts.size() == 8);  // five lengths, the two and the empty one: this model's vocabulary has no digits
    std::string broken = file_text(texts[0].string());
    broken.back() = static_cast<char>(broken.back() ^ 1);
    write_file(texts[0].string(), broken);
    fs::resize_file(texts[1], 20);
    REQUIRE(run_batch(file, folder / "second", {"--text-cache", cache}).code == 0);
    CHECK((pictures_in(folder / "second") == expected));
    // Of another origin, which could have other bits, they are encoded anew.
    const auto files = [&] {
        return std::ranges::count_if(fs::recursive_directory_iterator(cache),
                                     [](const auto& entry) { return entry.is_regular_file(); });
    };
    const auto once = files();
    REQUIRE(run_batch(file, folder / "other", {"--text-cache", cache, "--fast-math"}).code == 0);
    CHECK(files() == 2 * once);
    // Swapped files prove that they are read: the pictures change. A text of another length would not be taken.
    std::ranges::sort(texts, {}, [](const fs::path& text) { return fs::file_size(text); });
    const auto pair = std::ranges::adjacent_find(texts, {}, [](const fs::path& text) { return fs::file_size(text); });
    REQUIRE(pair != texts.end());
    const std::string one = file_text(pair[0].string()), other = file_text(pair[1].string());
    write_file(pair[0].string(), other);
    write_file(pair[1].string(), one);
    REQUIRE(run_batch(file, folder / "third", {"--text-cache", cache}).code == 0);
    CHECK((pictures_in(folder / "third") != expected));
}

TEST_CASE("batch: file names by a template, and one that is not unique or leads away is refused") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", R"({"prompt": "A red apple, big!", "id": "x", "seed": 9})");
    REQUIRE(run_batch(file, folder / "out", {"--name", "{sampler}/{prompt}_{seed}_{id}"}).code == 0);
    CHECK(names_in(folder / "out") == std::set<std::string>{"dpm++2m/A-red-apple-big_9_x.png"});
    CHECK(run_batch(file, folder / "no", {"--name", "{seed}"}).err.find("has no {id}") != std::string::npos);
    CHECK(run_batch(file, folder / "no", {"--name", "../{id}"}).code == 2);
    CHECK(run_batch(file, folder / "no", {"--name", "{idd}"}).err.find("did you mean {id}?") != std::string::npos);
    CHECK(!fs::exists(folder / "no"));
}

TEST_CASE("batch: a dry run counts and estimates, and writes nothing") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(10) + "{}\n");
    const Outcome dry = run_batch(file, folder / "out", {"--dry-run", "--log-format", "json"});
    INFO(dry.err);
    REQUIRE(dry.code == 5);  // as the run: a line is bad
    const json found = json::parse(dry.out);
    CHECK(found["lines"] == 11);
    CHECK(found["bad_lines"] == 1);
    CHECK(found["to_make"] == 10);
    CHECK(found["seconds"].get<double>() > 0);
    CHECK(found["disk_bytes"].get<double>() > 1000);
    CHECK(!fs::exists(folder / "out"));
    static_cast<void>(run_batch(file, folder / "out"));
    CHECK(json::parse(run_batch(file, folder / "out", {"--dry-run", "--log-format", "json"}).out)["done"] == 10);
}

TEST_CASE("batch: JSON logs and a metrics file say what happened") {
    const TempFolder folder;
    const std::string file = write_file(folder / "a.jsonl", prompt_lines(5) + "{}\n"), metrics = folder / "t2i.prom";
    const Outcome run = run_batch(file, folder / "out", {"--log-format", "json", "--metrics-file", metrics});
    CHECK(run.code == 5);
    std::vector<std::string> events;
    std::istringstream err(run.err);
    for (std::string line; std::getline(err, line);) events.push_back(json::parse(line)["event"]);
    REQUIRE(events.size() >= 3);
    CHECK(events.front() == "start");
    CHECK(events.back() == "end");
    const std::string text = file_text(metrics);
    CHECK(text.find("t2i_batch_pictures_total{state=\"made\"} 5\n") != std::string::npos);
    CHECK(text.find("t2i_batch_bad_lines_total 1\n") != std::string::npos);
    CHECK(text.find("t2i_batch_finished 1\n") != std::string::npos);
}

}  // namespace
}  // namespace t2i::test
