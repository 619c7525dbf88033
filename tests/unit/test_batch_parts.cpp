// The parts of a batch that can be asked without a model.
#include <map>
#include <random>
#include <set>
#include <thread>

#include "batch/files.h"
#include "batch/folded_names.h"
#include "batch/id_table.h"
#include "batch/journal.h"
#include "batch/manifest.h"
#include "batch/outputs.h"
#include "batch/progress.h"
#include "batch/request_id.h"
#include "batch/shards.h"
#include "batch/tar.h"
#include "core/bounded_queue.h"
#include "support/catch.h"
#include "support/files.h"
#include "t2i/error.h"
#include "unit/expect_error.h"

namespace t2i::batch {
namespace {

using test::message_of;
using test::TempFolder;

TEST_CASE("id table: a hundred thousand ids are found again, others are not") {
    IdTable table;
    for (int i = 0; i < 100'000; ++i) table.at(hash64(std::to_string(i))).offset = static_cast<std::uint64_t>(i);
    CHECK(table.size() == 100'000);
    for (int i = 0; i < 100'000; ++i) REQUIRE(table.look_up(hash64(std::to_string(i)))->offset == static_cast<std::uint64_t>(i));
    CHECK(table.look_up(hash64("none")) == nullptr);
}

TEST_CASE("shards: each id has one owner, from the flag or from the cluster's variables") {
    std::map<int, int> owned;
    for (int i = 0; i < 1000; ++i) {
        int owners = 0;
        for (int shard = 0; shard < 4; ++shard)
            if (Shard{shard, 4, {}}.owns("id" + std::to_string(i))) {
                ++owners;
                ++owned[shard];
            }
        REQUIRE(owners == 1);
    }
    for (const auto& [shard, n] : owned) CHECK((n > 200 && n < 300));
    CHECK(parse_shard("3/4").suffix() == ".3-of-4");
    for (const char* bad : {"4/4", "-1/4", "1", "1/", "/2", "1/0", "a/b", "1/9000"}) {
        INFO(bad);
        CHECK_THROWS_AS(parse_shard(bad), Error);
    }
    const auto from = [](const std::map<std::string, std::string>& variables) {
        const Shard shard = shard_from_environment([&](const char* name) {
            const auto found = variables.find(name);
            return found == variables.end() ? nullptr : found->second.c_str();
        });
        return std::to_string(shard.index) + "/" + std::to_string(shard.count);
    };
    CHECK(from({}) == "0/1");
    CHECK(from({{"SLURM_ARRAY_TASK_ID", "5"}, {"SLURM_ARRAY_TASK_MIN", "3"}, {"SLURM_ARRAY_TASK_COUNT", "4"}}) == "2/4");
    CHECK(from({{"SLURM_ARRAY_TASK_ID", "6"},
                {"SLURM_ARRAY_TASK_MIN", "2"},
                {"SLURM_ARRAY_TASK_STEP", "2"},
                {"SLURM_ARRAY_TASK_COUNT", "4"}}) == "2/4");
    CHECK(from({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "3"}}) == "1/3");
    CHECK(from({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "3"}, {"OMPI_COMM_WORLD_RANK", "4"}, {"OMPI_COMM_WORLD_SIZE", "6"}}) ==
          "4/6");
    CHECK(from({{"SLURM_ARRAY_TASK_ID", "1"}, {"SLURM_ARRAY_TASK_COUNT", "2"}, {"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "3"}}) ==
          "5/6");
    CHECK_THROWS_AS(from({{"SLURM_PROCID", "x"}}), Error);
    // sbatch --array=1-7:2, and --array=3,7, of which Slurm tells no more than this: no task is taken for another.
    const auto array = [&](const char* task, const char* tasks, const char* first, const char* last, const char* step) {
        return from({{"SLURM_ARRAY_TASK_ID", task},
                     {"SLURM_ARRAY_TASK_COUNT", tasks},
                     {"SLURM_ARRAY_TASK_MIN", first},
                     {"SLURM_ARRAY_TASK_MAX", last},
                     {"SLURM_ARRAY_TASK_STEP", step}});
    };
    CHECK(array("7", "4", "1", "7", "2") == "3/4");
    for (const char* task : {"3", "7"}) {
        const std::string message = message_of(ErrorCode::input, [&] { static_cast<void>(array(task, "2", "3", "7", "1")); });
        CHECK(message.find("SLURM_ARRAY_TASK_ID: the array from 3 to 7 has gaps (2 tasks)") != std::string::npos);
        CHECK(message.find("number the tasks without gaps") != std::string::npos);
    }
    CHECK_THROWS_AS(array("4", "4", "1", "7", "2"), Error);
    CHECK_THROWS_AS(array("2147483647", "2147483647", "-2147483648", "2147483647", "1"), Error);
    CHECK_THROWS_AS(from({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "3"}}), Error);
}

TEST_CASE("batch parts: names that differ in capitals alone are one where a folder does not tell them apart") {
    FoldedNames names;
    CHECK(names.claim("Cat"));
    CHECK(names.claim("Cat"));
    CHECK_FALSE(names.claim("cat"));
    CHECK_FALSE(names.claim("CAT"));
    CHECK(names.claim("cats"));
    CHECK(names.claim("ÄPFEL"));
    CHECK_FALSE(names.claim("äpfel"));
    const TempFolder folder;
    CHECK_FALSE(folds_case(folder.path().string()));
    CHECK(std::filesystem::is_empty(folder.path()));
}

JournalRecord record_of(const std::string& id) {
    JournalRecord record;
    record.id = id;
    record.request = hash128_hex(id);
    record.file = id + ".png";
    record.bytes = 7;
    record.sha256 = std::string(64, 'a');
    record.finished = utc_now();
    return record;
}

TEST_CASE("journal: what is written is read again, and a cut line and damage in the middle are told apart") {
    const TempFolder folder;
    const std::string path = folder / "journal.jsonl";
    std::string text = journal_line(record_of("红")) + "{\"broken\": \n";
    JournalRecord failed = record_of("b");
    failed.failed = "a reason with \"quotes\"\nand a line break";
    text += journal_line(failed);
    const std::size_t whole = text.size();
    text += journal_line(record_of("c")).substr(0, 40);
    test::write_file(path, text);
    std::vector<std::string> ids;
    const JournalDamage damage =
        read_journal(path, [&](const JournalRecord& r, std::uint64_t) { ids.push_back(r.id + r.failed); });
    CHECK(ids == std::vector<std::string>{"红", "b" + failed.failed});
    CHECK(damage.bad_lines == 1);
    CHECK(damage.cut_short);
    CHECK(damage.whole_bytes == whole);
    for (const char* bad : {"../x.png", "/etc/x.png", ""}) {
        JournalRecord away = record_of("d");
        away.file = bad;
        CHECK(!parse_journal_line(journal_line(away)));
    }
    const std::string line = journal_line(record_of("e"));
    const std::size_t at = line.find("\"bytes\":") + 8;
    for (const char* bad : {"9.16e80", "1e3", "-1", "18446744073709551616", "null"})  // no count of bytes
        CHECK(!parse_journal_line(line.substr(0, at) + bad + line.substr(line.find(',', at))));
}

TEST_CASE("journal: a record says how its picture was made, and one of 0.1.0 that it did not") {
    JournalRecord record = record_of("a");
    CHECK_FALSE(parse_journal_line(journal_line(record))->metadata == false);
    CHECK(parse_journal_line(journal_line(record))->version.empty());
    record.version = "0.2.0";
    record.name = "{seed}/{id}";
    record.metadata = false;
    record.parameters = R"({"id":"a","prompt":"红 \"apple\"","cfg_scale":4.5,"seed":18446744073709551615,"a":1})";
    const auto read = parse_journal_line(journal_line(record));
    REQUIRE(read);
    CHECK(read->version == record.version);
    CHECK(read->name == record.name);
    CHECK_FALSE(read->metadata);
    CHECK(read->parameters == record.parameters);  // in the same order, so that a manifest comes out as it was
    CHECK(manifest_line(*read) ==
          R"({"file_name":"a.png","sha256":")" + std::string(64, 'a') + "\"," + record.parameters.substr(1) + "\n");
    const std::string line = journal_line(record);
    const auto with = [&](const std::string& extra) {
        std::string text = line;
        return parse_journal_line(text.replace(text.find(R"("a":1)"), 5, "\"a\":" + extra));
    };
    CHECK(with(R"({"b":[1,{"c":null}]})"));
    CHECK_FALSE(with(std::string(100'000, '[') + std::string(100'000, ']')));  // nor a deep stack
    CHECK(manifest_of("x/journal.3-of-4.jsonl") == "x/manifest.3-of-4.jsonl");
}

TEST_CASE("journal: a file of its name that is none is told from one that is cut short or damaged") {
    const TempFolder folder;
    const auto is_foreign = [&](const std::string& text) {
        return read_journal(test::write_file(folder / "journal.jsonl", text), [](const JournalRecord&, std::uint64_t) {})
            .is_foreign;
    };
    const std::string line = journal_line(record_of("a"));
    CHECK(is_foreign("monday: it rained\n"));
    CHECK(is_foreign("{\"monday\": \"it rained\"}"));
    CHECK(is_foreign("\n"));
    CHECK_FALSE(is_foreign(""));
    for (std::size_t n = 1; n < line.size(); n += 7) CHECK_FALSE(is_foreign(line.substr(0, n)));
    CHECK_FALSE(is_foreign(std::string(20, '\0')));  // as a power cut may leave it
    CHECK_FALSE(is_foreign("monday: it rained\n" + line));
    JournalIndex index;
    test::write_file(folder / "journal.jsonl", "monday\n");
    CHECK_THROWS_AS(index.read(folder.path().string(), {}), Error);
}

TEST_CASE("manifest: lines of 0.1.0, whose journal lacks them, are taken from what is left, and counted where none is") {
    const TempFolder folder;
    const std::string journal = folder / "journal.jsonl", manifest = folder / "manifest.jsonl";
    JournalRecord later = record_of("c");
    later.version = "0.2.0";
    later.parameters = R"({"id":"c"})";
    later.manifest_end = 1000;
    const std::string old_line =
        R"({"file_name":"a.png","sha256":")" + std::string(64, 'a') + R"(","id":"a","prompt":"x"})" + "\n";
    test::write_file(journal, journal_line(record_of("a")) + journal_line(record_of("b")) + journal_line(later));
    test::write_file(manifest, old_line + "{\"file_name\":\"b.p");
    JournalIndex index;
    index.read(folder.path().string(), {});
    CHECK_FALSE(manifest_fits(index, journal));
    FileSystemLacks lacks;
    const RebuiltManifest rebuilt = rebuild_manifest(journal, folder / "temporary", lacks);
    CHECK(rebuilt.lost == 1);
    CHECK(test::file_text(manifest) == old_line + manifest_line(later));
    CHECK(rebuilt.bytes == test::file_text(manifest).size());
    std::vector<std::string> problems;
    CHECK(check_manifests(index, [&](const std::string&, const std::string& what) { problems.push_back(what); }) == 1);
    CHECK(problems == std::vector<std::string>{"has no line of 1 picture: \"b.png\""});
}

TEST_CASE("journal: the latest record of an id counts, and a picture more than a failure of another journal") {
    const TempFolder folder;
    JournalRecord failed = record_of("b"), later = record_of("a");
    failed.failed = "no";
    later.bytes = 8;
    test::write_file(folder / "journal.0-of-2.jsonl",
                     journal_line(record_of("a")) + journal_line(record_of("b")) + journal_line(later));
    test::write_file(folder / "journal.1-of-2.jsonl", journal_line(failed));
    JournalIndex index;
    index.read(folder.path().string(), {});
    CHECK(index.record_of(*index.table().look_up(hash64("a"))).bytes == 8);
    CHECK(!index.table().look_up(hash64("b"))->failed);
    CHECK(index.record_of(*index.table().look_up(hash64("b"))).failed.empty());
}

TEST_CASE("tar: a header has the fields and the checksum of ustar") {
    const std::string block = tar_header("a.png", 1234);
    REQUIRE(block.size() == 512);
    CHECK(block.substr(124, 12) == std::string("00000002322\0", 12));
    std::string blank = block;
    blank.replace(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : blank) sum += static_cast<unsigned char>(c);
    CHECK(std::stoul(block.substr(148, 6), nullptr, 8) == sum);
    CHECK(tar_padding(1234) == 302);
    CHECK(tar_padding(1024) == 0);
}

TEST_CASE("SHA-256 of a text, and of a part of a file, are the standard's") {
    constexpr const char* abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";  // FIPS 180-2, B.1
    const std::string text = "abc";
    CHECK(sha256_hex({reinterpret_cast<const std::uint8_t*>(text.data()), 3}) == abc);
    const TempFolder folder;
    const std::string path = test::write_file(folder / "x", "--abc--");
    CHECK(sha256_of_file(path, 2, 3) == abc);
    CHECK_THROWS_AS(sha256_of_file(path, 2, 9), Error);
}

TEST_CASE("bounded queue: a full one makes the stage before wait, items arrive in order, abandoning frees both") {
    BoundedQueue<int> queue(3, 100);
    std::vector<int> taken;
    std::size_t largest = 0;
    std::thread producer([&] {
        for (int i = 0; i < 1000; ++i) static_cast<void>(queue.push(i, 1));
        queue.close();
    });
    while (const auto item = queue.pop()) {
        largest = std::max(largest, queue.size());
        taken.push_back(*item);
    }
    producer.join();
    CHECK(taken.size() == 1000);
    CHECK(std::is_sorted(taken.begin(), taken.end()));
    CHECK(largest <= 3);
    BoundedQueue<int> full(1, 100);
    REQUIRE(full.push(1, 1));
    bool pushed = true;
    std::thread waiting([&] { pushed = full.push(2, 1); });
    full.abandon();
    waiting.join();
    CHECK(!pushed);
    CHECK(!full.pop());
}

TEST_CASE("progress: what is left follows from what was read and made") {
    Status s;
    s.asked = 50;
    s.read_share = 0.5;
    s.skipped = 10;
    s.made = 30;
    s.seconds = 15;
    s.denoise_s = 9;
    s.blocked_s = 4;
    CHECK(s.expected() == 100);
    CHECK(s.seconds_left() == Approx(30.0));
    CHECK(status_text(s) == "40 of ~100 done, 2.00 pictures/s, 0:30 left, slowest: denoising");
    s.blocked_s = 10;
    CHECK(std::string(s.bottleneck()) == "writing");
    CHECK(duration_text(3725) == "1:02:05");
}

}  // namespace
}  // namespace t2i::batch
