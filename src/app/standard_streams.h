// Standard input, output and error, as the program finds and leaves them.
#pragma once

#include <string>

namespace t2i::app {

// First thing in main(): opens /dev/null in place of a standard stream that is closed, so that no file of ours gets its number
// and what is printed does not end in a picture. A closed pipe and a file that grows beyond the user's limit become errors of
// the write, which are told, instead of signals that end the process where it stands.
void take_standard_streams();

// Last thing in main(): true when everything that was printed to standard output has arrived (a disk may be full). A reader
// that has gone ends the process as it does others, by SIGPIPE.
[[nodiscard]] bool deliver_output();

// Where the value of a flag leads: "-" is standard output.
[[nodiscard]] std::string output_path(const std::string& flag);
// True when a file of that path is written to standard output.
[[nodiscard]] bool is_standard_output(const std::string& path);
// A path as standard output lists it: as it is, for programs; escaped where that is a terminal.
[[nodiscard]] std::string listed(const std::string& path);
// Throws Error{invalid_argument} about `flag` where its value is standard output, which cannot take `what`.
void refuse_standard_output(const std::string& flag, const std::string& value, const char* what);
// Throws Error{input} when there is no standard output: for commands that do nothing but print.
void need_output();
// Throws Error about `flag`: invalid_argument when a terminal would have to show `what`, input when standard output is closed.
void refuse_terminal(const std::string& flag, const char* what);

}  // namespace t2i::app
