#include <algorithm>
#include <array>
#include <filesystem>

#include "core/files.h"
#include "core/stand_in.h"
#include "t2i/error.h"
#include "text/t5_tokenizer.h"
#include "text/tokenizer_json.h"

namespace t2i {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_bytes = std::size_t{256} << 20;  // of a spiece.model: 50 times that of 250,000 pieces

// Which file of a folder is read, and by whose rules.
struct Choice {
    enum class Rules : std::uint8_t { slow, fast, fast_converted } rules;
    bool is_t5;                // the class T5Tokenizer or T5TokenizerFast, which bring tokens of their own
    bool reads_added = false;  // also the added tokens of a tokenizer.json whose vocabulary is not read
    TokenizerSettings settings;
    std::string spiece, json;
};

Choice choose(const std::string& folder, const std::string& class_name) {
    constexpr std::array<std::string_view, 2> slow{"T5Tokenizer", ""}, unspecific{"PreTrainedTokenizerFast", "TokenizersBackend"};
    const auto is_one_of = [](const auto& names, const std::string& name) {
        return std::ranges::find(names, name) != names.end();
    };
    Choice choice{
        .rules = Choice::Rules::slow, .is_t5 = true, .settings = read_tokenizer_settings(folder), .spiece = {}, .json = {}};
    choice.spiece = (fs::path(folder) / "spiece.model").string();
    choice.json = (fs::path(folder) / "tokenizer.json").string();
    const bool is_auto = class_name == "AutoTokenizer", is_named = !class_name.empty() && !is_auto;
    const std::string name = is_named ? class_name : choice.settings.class_name;
    if (!is_one_of(slow, name) && name != "T5TokenizerFast" && !is_one_of(unspecific, name))
        throw Error(ErrorCode::input,
                    "class \"" + name + "\" is not supported (supported: T5Tokenizer, T5TokenizerFast, PreTrainedTokenizerFast)",
                    is_named ? folder : choice.settings.where);
    choice.is_t5 = !is_one_of(unspecific, name);
    const bool has_json = exists_at_all(choice.json), has_spiece = exists_at_all(choice.spiece);
    if (!has_json && !has_spiece) throw Error(ErrorCode::input, "holds neither spiece.model nor tokenizer.json", folder);
    const bool is_slow = is_one_of(slow, name) && !is_auto;
    if (has_json && (!has_spiece || !choice.is_t5 || (!is_slow && !choice.settings.has_add_prefix_space))) {
        choice.rules = Choice::Rules::fast;
    } else if (!is_slow) {
        choice.rules = Choice::Rules::fast_converted;
    } else {
        choice.reads_added = has_json && !choice.settings.lists_added;
    }
    return choice;
}

}  // namespace

std::vector<std::string> tokenizer_files(const std::string& folder, const std::string& class_name) {
    const Choice choice = choose(folder, class_name);
    std::vector<std::string> files{choice.rules == Choice::Rules::fast ? choice.json : choice.spiece};
    if (choice.reads_added) files.push_back(choice.json);
    for (auto& file : tokenizer_settings_files(folder)) files.push_back(std::move(file));
    return files;
}

std::string tokenizer_rules(const std::string& folder, const std::string& class_name) {
    const Choice choice = choose(folder, class_name);
    if (choice.rules == Choice::Rules::fast_converted) return "T5TokenizerFast";
    return choice.rules == Choice::Rules::fast && !choice.is_t5 ? "PreTrainedTokenizerFast" : "";
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& folder, const std::string& class_name) {
    Choice choice = choose(folder, class_name);
    if (choice.rules == Choice::Rules::slow) {
        const std::string model = read_downloaded_file(choice.spiece, most_bytes);
        if (choice.reads_added) {
            for (AddedToken& token : read_added_tokens(choice.json)) {
                choice.settings.described.push_back(token);
                choice.settings.added.push_back(std::move(token));
            }
        }
        return make_t5_tokenizer(model, choice.settings, choice.spiece);
    }
    FastParts parts = choice.rules == Choice::Rules::fast ? read_tokenizer_json(choice.json)
                                                          : convert_sentencepiece(read_downloaded_file(choice.spiece, most_bytes),
                                                                                  choice.settings, choice.spiece);
    add_tokens_of_settings(choice.settings, choice.is_t5, parts);
    return make_fast_tokenizer(std::move(parts));
}

}  // namespace t2i
