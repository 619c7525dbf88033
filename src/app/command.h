// A command of the program: a name, a line of help, and a function that parses its own arguments.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace t2i::app {

// Arguments after the command's name. Returns the exit code; throws t2i::Error.
using Run = int (*)(const std::vector<std::string>& arguments);

int run_generate(const std::vector<std::string>& arguments);
int run_verify(const std::vector<std::string>& arguments);
int run_inspect(const std::vector<std::string>& arguments);
int run_bench(const std::vector<std::string>& arguments);
int run_batch(const std::vector<std::string>& arguments);
int run_doctor(const std::vector<std::string>& arguments);

}  // namespace t2i::app
