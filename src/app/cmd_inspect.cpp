// t2i inspect [PATH…]: what model folders, component folders, checkpoints and pictures hold.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/arguments.h"
#include "app/command.h"
#include "app/inspect.h"
#include "app/picture_paths.h"
#include "core/escape.h"
#include "t2i/error.h"

namespace t2i::app {

namespace fs = std::filesystem;

namespace {

constexpr const char* footer =
    "A folder of pictures stands for all pictures in it and below. --json prints an object a line: file, kind (picture, model, "
    "checkpoint) and what is\n"
    "known of it, of a picture its parameters as they are (parameters) and taken apart (prompt, negative_prompt, fields); or "
    "file "
    "and error.\n"
    "Exit codes: 0 done, 2 usage, 3 something could not be read.";

struct Item {
    std::string path;
    std::exception_ptr problem;  // why a folder could not be looked through
};

// A model's and a component's folder is looked at itself, any other for the pictures in it.
std::vector<Item> items_of(const std::vector<std::string>& paths) {
    std::vector<Item> items;
    for (const auto& path : paths) {
        std::error_code ec;
        const bool is_plain = fs::is_directory(path, ec) && !fs::exists(fs::path(path) / "model_index.json", ec) &&
                              !fs::exists(fs::path(path) / "config.json", ec);
        try {
            for (auto& picture : is_plain ? picture_paths(path) : std::vector{path}) items.push_back({picture, nullptr});
        } catch (const Error&) {
            items.push_back({path, std::current_exception()});
        }
    }
    return items;
}

void print_json(const std::string& path, const nlohmann::ordered_json& about) {
    nlohmann::ordered_json j{{"file", path}};
    j.update(about);
    std::printf("%s\n", escaped_json(j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).c_str());
}

void print_text(const std::string& path, bool is_one_of_many) {
    if (is_one_of_many) std::printf("%s:\n", escaped(path).c_str());
    inspect_as_text(path);
    if (is_one_of_many) std::printf("\n");
}

}  // namespace

int run_inspect(const CommandLine& line) {
    std::vector<std::string> given;
    bool json = false;
    CLI::App app{"Prints what model folders, component folders, checkpoints (safetensors, PyTorch, GGUF) and pictures hold.",
                 "t2i inspect"};
    app.footer(footer);
    app.add_option("PATH", given, "what to look at (default: the bundled model)");
    app.add_flag("--json", json, "an object a line");
    if (!parse(app, line)) return 0;
    if (given.empty()) given.push_back(bundled_model());

    const std::vector<Item> items = items_of(given);
    std::size_t failed = 0;
    for (const Item& item : items) {
        try {
            if (item.problem) std::rethrow_exception(item.problem);
            if (json) print_json(item.path, inspect_as_json(item.path));
            else print_text(item.path, items.size() > 1);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::input || (items.size() == 1 && !json)) throw;
            ++failed;
            std::fflush(stdout);
            if (json) print_json(item.path, nlohmann::ordered_json::object({{"error", error.what()}}));
            else std::fprintf(stderr, "t2i: error: %s\n", escaped(error.what()).c_str());
        }
    }
    if (failed > 0)
        throw Error(ErrorCode::input, std::to_string(failed) + " of " + std::to_string(items.size()) + " could not be read");
    return 0;
}

}  // namespace t2i::app
