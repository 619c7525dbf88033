// A line on standard error that is drawn over: progress on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace t2i::app {

// Columns of the terminal that standard error is, else of $COLUMNS, else 80.
[[nodiscard]] int terminal_columns();

// As much of an ASCII text as fits into so many columns, cut between its parts (before ", " or two spaces) where there are some.
[[nodiscard]] std::string fitted(std::string_view text, int columns);

// Draws with a carriage return and spaces alone: no colours, no escape sequences. One thread at a time.
class StatusLine {
  public:
    // Draws nothing unless standard error is a terminal that can go back in a line (one of TERM=dumb cannot).
    StatusLine();
    [[nodiscard]] bool draws() const { return draws_; }
    // text: ASCII. What does not fit into the terminal's width as it is now is left out.
    void draw(std::string_view text);
    void clear();  // before anything else is printed

  private:
    void put(const std::string& text);

    bool draws_;
    std::size_t drawn_ = 0;  // columns
};

}  // namespace t2i::app
