#include "support/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "support/catch.h"

namespace t2i::test {

Terminal::Terminal(int columns) {
    person_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(person_ >= 0);
    REQUIRE(::grantpt(person_) == 0);
    REQUIRE(::unlockpt(person_) == 0);
    program_ = ::open(::ptsname(person_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(program_ >= 0);
    termios modes{};
    REQUIRE(::tcgetattr(program_, &modes) == 0);
    modes.c_oflag &= ~static_cast<tcflag_t>(OPOST);  // what is written is what is read
    REQUIRE(::tcsetattr(program_, TCSANOW, &modes) == 0);
    winsize size{};
    size.ws_row = 24;
    size.ws_col = static_cast<unsigned short>(columns);
    REQUIRE(::ioctl(person_, TIOCSWINSZ, &size) == 0);
}

Terminal::~Terminal() {
    ::close(program_);
    ::close(person_);
}

std::string Terminal::take_text() {
    std::string text;
    std::array<char, 4096> block{};
    for (ssize_t n = 0; (n = ::read(person_, block.data(), block.size())) > 0;)
        text.append(block.data(), static_cast<std::size_t>(n));
    return text;
}

}  // namespace t2i::test
