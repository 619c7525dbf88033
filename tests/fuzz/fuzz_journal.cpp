// Any line is either a record of a journal, which is written and read again as the same, or none.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "batch/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto record = t2i::batch::parse_journal_line(std::string(data, data + size));
    if (!record) return 0;
    const std::string line = t2i::batch::journal_line(*record);
    const auto again = t2i::batch::parse_journal_line(line);
    if (!again || t2i::batch::journal_line(*again) != line) std::abort();
    return 0;
}
