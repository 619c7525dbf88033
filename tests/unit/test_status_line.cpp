// The progress that fits into a terminal, whatever its width.
#include <string>

#include "app/progress_bar.h"
#include "app/status_line.h"
#include "support/catch.h"

namespace t2i::test {

using app::fitted;
using app::progress_text;

TEST_CASE("status line: cut to its columns, between parts where there are some") {
    CHECK(fitted("12 of 300 done, 1.20 pictures/s, 1:02 left", 80) == "12 of 300 done, 1.20 pictures/s, 1:02 left");
    CHECK(fitted("12 of 300 done, 1.20 pictures/s, 1:02 left", 41) == "12 of 300 done, 1.20 pictures/s");
    CHECK(fitted("12 of 300 done, 1.20 pictures/s, 1:02 left", 14) == "12 of 300 done");
    CHECK(fitted("12 of 300 done, 1.20 pictures/s, 1:02 left", 9) == "12 of 300");
    CHECK(fitted("12 of 300 done", 0).empty());
    CHECK(fitted("12 of 300 done", -3).empty());
}

TEST_CASE("status line: the progress bar gets shorter, goes, and never exceeds its columns") {
    const Progress one{0, 1, 10, 20}, second{1, 2, 5, 20};
    CHECK(progress_text(one, 2, 100) == "[############------------] step 10/20  5.0 it/s  2 s left");
    CHECK(progress_text(second, 2.5, 100) == "picture 2/2 [###############---------] step 5/20  10.0 it/s  2 s left");
    CHECK(progress_text(one, 2, 41) == "[####----] step 10/20  5.0 it/s  2 s left");
    CHECK(progress_text(one, 2, 34) == "step 10/20  5.0 it/s  2 s left");
    CHECK(progress_text(second, 2.5, 40) == "picture 2/2 step 5/20  10.0 it/s");
    for (int columns = 0; columns < 100; ++columns) {
        CHECK(progress_text(one, 2, columns).size() <= static_cast<std::size_t>(columns));
        CHECK(progress_text(second, 0, columns).size() <= static_cast<std::size_t>(columns));
    }
}

}  // namespace t2i::test
