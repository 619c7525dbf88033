#include "text/tokenizer_document.h"

#include <vector>

#include "t2i/error.h"

namespace t2i {

namespace {

using Json = nlohmann::ordered_json;

// Builds the document from the parser's events. Inside model.vocab, each entry is a list of a text and a number.
class Builder final : public nlohmann::json_sax<Json> {
  public:
    Builder(TokenizerDocument& document, const std::string& where) : document_(document), where_(where) {}

    bool null() override { return value(nullptr); }
    bool boolean(bool b) override { return value(b); }
    bool number_integer(number_integer_t n) override { return number(n); }
    bool number_unsigned(number_unsigned_t n) override { return number(n); }
    bool number_float(number_float_t n, const string_t& /*text*/) override { return number(n); }
    bool string(string_t& text) override {
        if (in_vocabulary_ == 0) return value(std::move(text));
        if (in_vocabulary_ != 2 || in_entry_ != 0) fail_entry();
        document_.vocabulary->emplace_back(std::move(text), 0.0);
        in_entry_ = 1;
        return true;
    }
    bool binary(binary_t& /*bytes*/) override { return false; }
    bool start_object(std::size_t /*elements*/) override {
        if (in_vocabulary_ > 0) fail_entry();
        return open(Json::object());
    }
    bool key(string_t& text) override {
        key_ = std::move(text);
        return true;
    }
    bool end_object() override { return close(); }
    bool start_array(std::size_t /*elements*/) override {
        if (in_vocabulary_ == 0 && !is_vocabulary()) return open(Json::array());
        if (in_vocabulary_ == 2) fail_entry();
        if (++in_vocabulary_ == 1) document_.vocabulary.emplace();
        in_entry_ = 0;
        return true;
    }
    bool end_array() override {
        if (in_vocabulary_ == 0) return close();
        if (in_vocabulary_ == 2 && in_entry_ != 2) fail_entry();
        --in_vocabulary_;
        in_entry_ = 0;
        return true;
    }
    bool parse_error(std::size_t byte, const std::string& /*token*/, const nlohmann::detail::exception& /*problem*/) override {
        fail("is not valid JSON (byte " + std::to_string(byte) + ")");
    }

  private:
    [[noreturn]] void fail(const std::string& problem) const { throw Error(ErrorCode::input, problem, where_); }
    [[noreturn]] void fail_entry() const {
        const std::size_t complete = document_.vocabulary->size() - (in_entry_ > 0 ? 1 : 0);
        fail("holds a vocabulary whose entry " + std::to_string(complete) + " is no pair of a text and a number");
    }

    // Where the value that comes next belongs: model.vocab.
    [[nodiscard]] bool is_vocabulary() const {
        return open_.size() == 2 && open_[1].is_model && open_[1].json->is_object() && key_ == "vocab";
    }

    template <typename Number>
    bool number(Number n) {
        if (in_vocabulary_ == 0) return value(n);
        if (in_vocabulary_ != 2 || in_entry_ != 1) fail_entry();
        document_.vocabulary->back().second = static_cast<double>(n);
        in_entry_ = 2;
        return true;
    }

    template <typename Value>
    bool value(Value&& v) {
        if (in_vocabulary_ > 0) fail_entry();
        (void)place(Json(std::forward<Value>(v)));
        return true;
    }

    Json* place(Json v) {
        constexpr std::size_t most_values = 1'000'000;
        if (++values_ > most_values) fail("holds too many values");
        if (open_.empty()) return &(document_.rest = std::move(v));
        Json& parent = *open_.back().json;
        if (parent.is_array()) {
            parent.push_back(std::move(v));
            return &parent.back();
        }
        // Of two values of one key the last counts; appending is what keeps many keys linear.
        auto& items = parent.get_ref<Json::object_t&>();
        items.emplace_back(std::move(key_), std::move(v));
        return &items.back().second;
    }

    bool open(Json container) {
        constexpr std::size_t most_depth = 16;
        if (open_.size() == most_depth) fail("is JSON that is nested too deeply");
        const bool is_model = open_.size() == 1 && key_ == "model";
        open_.push_back({place(std::move(container)), is_model});
        return true;
    }

    bool close() {
        open_.pop_back();
        return true;
    }

    struct Open {
        Json* json;
        bool is_model;
    };
    TokenizerDocument& document_;
    const std::string& where_;
    std::vector<Open> open_;
    std::string key_;
    std::size_t values_ = 0;
    int in_vocabulary_ = 0;  // 1: between its entries, 2: inside one
    int in_entry_ = 0;       // how many of its two values have been read
};

}  // namespace

TokenizerDocument parse_tokenizer_document(const std::string& text, const std::string& where) {
    TokenizerDocument document;
    Builder builder(document, where);
    if (!Json::sax_parse(text, &builder)) throw Error(ErrorCode::input, "is not valid JSON", where);
    if (!document.rest.is_object()) throw Error(ErrorCode::input, "is not a JSON object", where);
    return document;
}

}  // namespace t2i
