// What scripts/golden/token_folders.py compares: token_ids FOLDER [CLASS] reads lines {"text": "…", "max": 120} of standard input
// and writes the ids of each, as a list in JSON. A folder that cannot be read is one line on standard error and exit code 3.
#include <iostream>
#include <nlohmann/json.hpp>

#include "t2i/error.h"
#include "text/tokenizer.h"

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    std::ios::sync_with_stdio(false);
    try {
        const auto tokenizer = t2i::load_tokenizer(argv[1], argc > 2 ? argv[2] : "");
        for (std::string line; std::getline(std::cin, line);) {
            const auto request = nlohmann::json::parse(line);
            const auto tokens = tokenizer->encode(request.at("text").get<std::string>(), request.at("max").get<std::int64_t>());
            std::cout << nlohmann::json(tokens.ids).dump() << '\n';
        }
    } catch (const t2i::Error& error) {
        std::cerr << error.what() << '\n';
        return 3;
    }
    return 0;
}
