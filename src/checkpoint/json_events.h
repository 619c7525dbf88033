// A strict base for nlohmann's event parser. It never recurses and keeps no tree, so neither a very large
// header nor deep nesting can exhaust memory or the stack. Every event that a reader does not expect is an
// error.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "t2i/error.h"

namespace t2i {

class JsonEvents {
  public:
    JsonEvents(std::string where, std::string what) : where_(std::move(where)), what_(std::move(what)) {}
    virtual ~JsonEvents() = default;
    JsonEvents(const JsonEvents&) = delete;
    JsonEvents& operator=(const JsonEvents&) = delete;

    // The names and signatures below are nlohmann::json_sax's.
    virtual bool null() { unexpected("null"); }
    virtual bool boolean(bool /*value*/) { unexpected("a boolean"); }
    virtual bool number_integer(std::int64_t /*value*/) { unexpected("a negative number"); }
    virtual bool number_unsigned(std::uint64_t /*value*/) { unexpected("a number"); }
    virtual bool number_float(double /*value*/, const std::string& /*text*/) { unexpected("a fractional or huge number"); }
    virtual bool string(std::string& /*value*/) { unexpected("a string"); }
    virtual bool binary(std::vector<std::uint8_t>& /*value*/) { unexpected("binary data"); }
    virtual bool start_object(std::size_t /*elements*/) { unexpected("an object"); }
    virtual bool key(std::string& /*name*/) { unexpected("a key"); }
    virtual bool end_object() { return true; }
    virtual bool start_array(std::size_t /*elements*/) { unexpected("an array"); }
    virtual bool end_array() { return true; }
    bool parse_error(std::size_t position, const std::string& /*token*/, const nlohmann::json::exception& /*error*/) {
        fail("not valid JSON at byte " + std::to_string(position));
    }

  protected:
    [[noreturn]] void fail(const std::string& problem) const { throw Error(ErrorCode::input, what_ + ": " + problem, where_); }
    // Says where in the document the reader was; readers that track more override it.
    [[nodiscard]] virtual std::string place() const { return {}; }
    [[noreturn]] void unexpected(const std::string& event) const {
        const std::string at = place();
        fail("unexpected " + event + (at.empty() ? "" : " " + at));
    }

  private:
    std::string where_, what_;
};

// Parses `text` (whole) into `events`. A NUL byte counts as an error: nlohmann would take it for the end.
inline void parse_json_events(std::string_view text, JsonEvents& events) {
    const std::size_t nul = text.find('\0');
    if (nul != std::string_view::npos) {
        events.parse_error(nul + 1, {}, nlohmann::json::other_error::create(501, "NUL", nullptr));
    }
    nlohmann::json::sax_parse(text.begin(), text.end(), &events);
}

}  // namespace t2i
