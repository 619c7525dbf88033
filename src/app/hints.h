// Which flag somebody meant who wrote one that is not there.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace t2i::app {

// The flag of `app` that comes nearest to `name` ("--negative", "-P", "--guidance_scale") in sense: what other programs of this
// field call it, a name that goes on where this one ends, the same letter in the other case; then in spelling. "" when none does.
[[nodiscard]] std::string nearest_flag(const std::string& name, const CLI::App& app);

}  // namespace t2i::app
