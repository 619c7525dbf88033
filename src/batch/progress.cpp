#include "batch/progress.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/files.h"

namespace t2i::batch {

namespace {

std::string fixed(double value, int digits) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.*f", digits, value);
    return text.data();
}

std::string replaced_dump(const nlohmann::ordered_json& j) {
    return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

double Status::rate() const {
    return seconds > 0 ? static_cast<double>(made) / seconds : 0;
}

std::int64_t Status::expected() const {
    if (read_share < 0) return -1;
    if (read_share >= 1) return asked;
    return read_share > 0 ? static_cast<std::int64_t>(static_cast<double>(asked) / read_share) : -1;
}

double Status::seconds_left() const {
    const std::int64_t all = expected();
    if (all < 0 || made == 0) return -1;
    return static_cast<double>(std::max<std::int64_t>(all - skipped - left - made - (failed - bad_lines), 0)) / rate();
}

const char* Status::bottleneck() const {
    const std::array<std::pair<double, const char*>, 5> stages{
        {{denoise_s, "denoising"}, {text_s, "text"}, {decode_s, "decoding"}, {starved_s, "reading"}, {blocked_s, "writing"}}};
    return std::ranges::max_element(stages, {}, &std::pair<double, const char*>::first)->second;
}

std::string duration_text(double seconds) {
    const auto s = static_cast<long long>(std::ceil(seconds));
    std::array<char, 64> text{};
    if (s >= 3600) std::snprintf(text.data(), text.size(), "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else std::snprintf(text.data(), text.size(), "%lld:%02lld", s / 60, s % 60);
    return text.data();
}

std::string status_text(const Status& s) {
    std::string text = std::to_string(s.skipped + s.made);
    if (const auto all = s.expected(); all >= 0) text += (s.read_share < 1 ? " of ~" : " of ") + std::to_string(all);
    text += " done";
    if (s.failed > 0) text += ", " + std::to_string(s.failed) + " failed";
    if (s.left > 0) text += ", " + std::to_string(s.left) + " left as they are";
    text += ", " + fixed(s.rate(), 2) + " pictures/s";
    if (const double left = s.seconds_left(); left >= 0) text += ", " + duration_text(left) + " left";
    return text + ", slowest: " + s.bottleneck();
}

std::string status_json(const Status& s, const char* event) {
    nlohmann::ordered_json j{{"event", event}, {"time", utc_now()}};
    const std::pair<const char*, std::int64_t> counts[]{{"lines", s.lines},
                                                        {"bad_lines", s.bad_lines},
                                                        {"asked", s.asked},
                                                        {"skipped", s.skipped},
                                                        {"made", s.made},
                                                        {"failed", s.failed},
                                                        {"left", s.left},
                                                        {"changed", s.changed},
                                                        {"damaged", s.damaged},
                                                        {"skipped_0_1", s.skipped_0_1},
                                                        {"cut", s.cut},
                                                        {"unknown", s.unknown},
                                                        {"cleaned_away", s.cleaned_away},
                                                        {"batch_size", s.batch_size}};
    const std::pair<const char*, double> times[]{{"seconds", s.seconds},     {"rate", s.rate()},       {"text_s", s.text_s},
                                                 {"denoise_s", s.denoise_s}, {"decode_s", s.decode_s}, {"starved_s", s.starved_s},
                                                 {"blocked_s", s.blocked_s}};
    for (const auto& [name, value] : counts) j[name] = value;
    for (const auto& [name, value] : times) j[name] = std::round(value * 1000) / 1000;
    j["bottleneck"] = s.bottleneck();
    if (s.expected() >= 0) j["expected"] = s.expected();
    if (s.seconds_left() >= 0) j["seconds_left"] = std::round(s.seconds_left());
    return replaced_dump(j);
}

std::string status_metrics(const Status& s, bool finished) {
    std::string text;
    const auto add = [&](const char* name, const char* type, const char* help, const std::string& samples) {
        text += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n" + samples;
    };
    const auto one = [&](const char* name, const char* type, const char* help, double value) {
        add(name, type, help, std::string(name) + " " + fixed(value, value == std::floor(value) ? 0 : 6) + "\n");
    };
    add("t2i_batch_pictures_total", "counter", "Pictures of this process by what became of them.",
        "t2i_batch_pictures_total{state=\"made\"} " + std::to_string(s.made) + "\nt2i_batch_pictures_total{state=\"skipped\"} " +
            std::to_string(s.skipped) + "\nt2i_batch_pictures_total{state=\"failed\"} " +
            std::to_string(std::max<std::int64_t>(s.failed - s.bad_lines, 0)) + "\nt2i_batch_pictures_total{state=\"left\"} " +
            std::to_string(s.left) + "\n");
    one("t2i_batch_lines_total", "counter", "Lines read from the prompt file.", static_cast<double>(s.lines));
    one("t2i_batch_bad_lines_total", "counter", "Lines that could not be used.", static_cast<double>(s.bad_lines));
    one("t2i_batch_pictures_per_second", "gauge", "Pictures made a second since the start.", s.rate());
    one("t2i_batch_engine_batch", "gauge", "Pictures made at a time.", s.batch_size);
    if (s.seconds_left() >= 0) one("t2i_batch_remaining_seconds", "gauge", "Estimated time left.", s.seconds_left());
    const auto stage = [](const char* name, double seconds) {
        return std::string("t2i_batch_stage_seconds_total{stage=\"") + name + "\"} " + fixed(seconds, 3) + "\n";
    };
    add("t2i_batch_stage_seconds_total", "counter", "Where the engine's time went.",
        stage("text", s.text_s) + stage("denoise", s.denoise_s) + stage("decode", s.decode_s) +
            stage("waiting_for_requests", s.starved_s) + stage("waiting_for_writing", s.blocked_s));
    add("t2i_batch_queue_length", "gauge", "Items that wait between two stages.",
        "t2i_batch_queue_length{queue=\"requests\"} " + std::to_string(s.requests_waiting) +
            "\nt2i_batch_queue_length{queue=\"pictures\"} " + std::to_string(s.pictures_waiting) + "\n");
    one("t2i_batch_finished", "gauge", "1 once the run has ended.", finished ? 1 : 0);
    return text;
}

}  // namespace t2i::batch
