// Any bytes as a config file set flags, or are an Error: no TOML, or a key or value that no flag takes.
#include <cstdint>

#include "app/config_file.h"
#include "core/check.h"
#include "t2i/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    CLI::App app;
    std::string text;
    std::vector<std::string> list;
    int whole = 0;
    double real = 0;
    bool flag = false;
    app.add_option("-p,--prompt", text);
    app.add_option("FILE", list);
    app.add_option("--steps", whole);
    app.add_option("--cfg-scale", real);
    app.add_flag("-q,--quiet", flag);
    try {
        for (const auto& item : t2i::app::read_config({reinterpret_cast<const char*>(data), size}, "fuzz", app))
            T2I_CHECK(app.get_option_no_throw("--" + item.name) || app.get_option_no_throw("-" + item.name) ||
                          app.get_option_no_throw(item.name),
                      "a key that is no flag: " + item.name);
    } catch (const t2i::Error& error) {
        T2I_CHECK(error.code() == t2i::ErrorCode::input || error.code() == t2i::ErrorCode::invalid_argument, error.what());
        const std::string line = error.what();
        T2I_CHECK(line.find('\n') == std::string::npos, "more than one line");
    }
    return 0;
}
