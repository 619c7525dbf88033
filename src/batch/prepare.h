// From a line of a prompt file to pictures that can be made: defaults, checks, ids, seeds, tokens, and what is done already.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "batch/folded_names.h"
#include "batch/journal.h"
#include "batch/request_line.h"
#include "batch/shards.h"
#include "pipeline/engine.h"

namespace t2i::batch {

// What pictures with the same plan, guidance and size share. Equal settings are one object.
struct Settings {
    ResolvedRequest resolved;
};

// What the pictures of one line share.
struct RequestText {
    std::string prompt, negative_prompt;
    std::vector<std::int32_t> prompt_ids, negative_ids;
    std::string cut;    // what did not fit of the prompt
    std::string extra;  // RequestLine::extra
    Engine::Doubt doubt = Engine::Doubt::none;
    std::shared_ptr<const StartPicture> start{};  // what they begin with; null: noise alone
};

struct Picture {
    std::string id;
    std::string request;  // request_hash(), once somebody needed it
    std::shared_ptr<const Settings> settings;
    std::shared_ptr<const RequestText> text;
    std::uint64_t seed = 0;
    std::int64_t line = 0;        // of the prompt file
    int number = 0;               // within its line
    std::string file;             // below the output folder; set by who knows the names
    std::string replaces;         // the file of an earlier run's picture that this one takes the place of; may be empty
    std::string older_sample_in;  // the tar shard that keeps an earlier run's sample of it; may be empty
    bool may_replace = false;     // a file that stands under the name `file` is an earlier run's
    std::uint64_t announced = 0;  // by Outputs::announce()
    [[nodiscard]] std::size_t bytes() const {
        return 512 + (text->prompt.size() + text->negative_prompt.size()) * 2 + text->extra.size() +
               (text->start ? text->start->bytes() : 0);
    }
    // Rows of text that the model reads for it.
    [[nodiscard]] std::size_t tokens() const { return std::max(text->prompt_ids.size(), text->negative_ids.size()); }
};

class ModelIdentity;

struct PrepareOptions {
    GenerateRequest defaults;  // of lines that leave a field unset
    bool picks_seed = false;   // the run's seed is below 0
    Shard shard;
    bool retry_failed = false;
    bool remake = false;       // pictures of another request, or changed since, are made again instead of left
    bool quick_check = false;  // finished files: by size instead of SHA-256
    bool dotless_ids = false;  // WebDataset splits names at the first dot
    bool folds_case = false;   // files in the folder have one name in capitals and in small letters
    std::string folder;
    std::string prompt_folder;  // of a prompt file, no pipe: paths in its lines begin there; empty: where the program runs
};

// Throws as Engine::resolve() about what a run says of lines that leave it unset. Of pictures to begin with it may say anything
// that some line could use: a strength without a picture, say.
void check_defaults(const Engine& engine, const GenerateRequest& defaults);

// A picture of an earlier run that stays, although it is not what its line asks for now.
struct LeftPicture {
    std::string id, reason;
};

// What became of a line.
struct Preparation {
    std::vector<Picture> pictures;      // to be made
    std::vector<LeftPicture> left;      // not to be made
    std::int64_t done = 0;              // finished by an earlier run and still there
    std::int64_t done_0_1 = 0;          // among them, by 0.1.0
    std::int64_t changed = 0;           // among `pictures`: made before from another request
    std::int64_t damaged = 0;           // among `pictures`: the file is gone or not what the journal says
    std::vector<JournalRecord> failed;  // could not be made by an earlier run, and are not tried again
    std::int64_t others = 0;            // pictures of other shards
};

class Preparer {
  public:
    // engine, index and model outlive it.
    Preparer(const Engine& engine, JournalIndex& index, const ModelIdentity& model, PrepareOptions options);
    // Throws Error (invalid_argument, input) saying what is wrong with the line.
    [[nodiscard]] Preparation prepare(const PromptEntry& entry);

  private:
    using Key = std::tuple<int, double, int, int, std::string, std::string, bool, bool, bool, bool, double, std::string, bool>;
    [[nodiscard]] std::shared_ptr<const Settings> settings_for(const GenerateRequest& request);
    [[nodiscard]] std::string line_id(const RequestLine& line, const GenerateRequest& request, const Settings& settings,
                                      const StartPicture* start);
    [[nodiscard]] GenerateRequest request_of(const RequestLine& line) const;
    [[nodiscard]] std::shared_ptr<const StartPicture> start_of(const GenerateRequest& request, const Settings& settings);
    void claim(const std::vector<std::string>& ids, bool given);
    [[nodiscard]] bool is_somebodys(const JournalRecord& record) const;
    void sort_in(Picture picture, Preparation& result);

    const Engine& engine_;
    JournalIndex& index_;
    const ModelIdentity& model_;
    PrepareOptions options_;
    std::map<Key, std::shared_ptr<const Settings>> settings_;
    // Read last, newest at the back: neighbours in a file often begin with one picture.
    std::vector<std::pair<std::string, std::shared_ptr<const StartPicture>>> starts_;
    FoldedNames folded_;                              // ids, where the folder folds them
    std::unordered_map<std::uint64_t, int> repeats_;  // of requests that stand in the file more than once
};

}  // namespace t2i::batch
