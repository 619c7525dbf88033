// Captions as JSON texts, one a line, on standard input; the same cleaned on standard output: null where one is refused.
// scripts/golden/captions.py compares them with diffusers'.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "text/clean_caption.h"

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        nlohmann::json cleaned;
        try {
            cleaned = t2i::clean_caption(nlohmann::json::parse(line).get<std::string>(), t2i::Field{"prompt"});
        } catch (const t2i::Error&) {
            cleaned = nullptr;
        }
        std::cout << cleaned.dump() << '\n';
    }
    return 0;
}
