#include "support/token_folders.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstdint>

#include "support/fixture.h"
#include "support/place.h"
#include "text/sentencepiece_model.h"

namespace t2i::test {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

class Vocabulary {
  public:
    explicit Vocabulary(const fs::path& path) : path_(path) {
        const std::string model = file_text(path.string());
        sentencepiece::SentencePieceProcessor pieces;
        load_sentencepiece(pieces, model, path.string());
        for (int i = 0; i < pieces.GetPieceSize(); ++i)
            pieces_.push_back({pieces.IdToPiece(i), static_cast<double>(pieces.GetScore(i))});
        charsmap_ = base64_of(read_sentencepiece_fields(model).charsmap);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }
    [[nodiscard]] Json filled(Json file) const {
        Json vocabulary = pieces_;
        for (auto& entry : file["model"]["vocab"]) vocabulary.push_back(entry);
        file["model"]["vocab"] = std::move(vocabulary);
        fill_charsmap(file["normalizer"]);
        return file;
    }

  private:
    void fill_charsmap(Json& json) const {
        if (json.is_object() && json.value("precompiled_charsmap", "") == "$charsmap") json["precompiled_charsmap"] = charsmap_;
        if (json.is_structured())
            for (auto& value : json) fill_charsmap(value);
    }
    fs::path path_;
    std::string charsmap_;
    Json pieces_ = Json::array();
};

const Vocabulary& vocabulary(const std::string& name) {
    static const Vocabulary bundled(source_folder() / "assets/sticker-256/tokenizer/spiece.model"),
        small(source_folder() / "tests/golden/vocabulary.model");
    return name == "bundled" ? bundled : small;
}

}  // namespace

std::string base64_of(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t bits = 0;
        for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
        for (std::size_t k = 0; k < 4; ++k) text += k <= count ? digits[bits >> (18 - 6 * k) & 63U] : '=';
    }
    return text;
}

void write_token_folder(const Json& folder, const fs::path& to) {
    const Vocabulary& pieces = vocabulary(folder.at("vocabulary").get<std::string>());
    fs::create_directories(to);
    for (const auto& [name, content] : folder.at("files").items()) {
        if (content == true) fs::copy_file(pieces.path(), to / name);
        else write_file((to / name).string(), name == "tokenizer.json" ? pieces.filled(content).dump() : content.dump());
    }
}

Json token_folder(const std::string& version, const std::string& name) {
    const Json golden = read_manifest("token_folders").at(version);
    const Json& folders = golden.at("folders");
    const auto found = std::ranges::find_if(folders, [&](const Json& f) { return f.at("name") == name; });
    INFO(name);
    REQUIRE(found != folders.end());
    return *found;
}

}  // namespace t2i::test
