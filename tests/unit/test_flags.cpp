// The flags of the commands, and what is said of them: hints, completions, the manual.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "app/command.h"
#include "app/completion.h"
#include "app/flag_table.h"
#include "app/hints.h"
#include "app/manual.h"
#include "support/files.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

using app::CommandRow;
using app::FlagRow;

// What `flag` was meant to be for the command.
std::string meant(const std::string& command, const std::string& flag) {
    std::string found;
    app::command_named(command).run(
        {.arguments = {}, .describe = [&](const CLI::App& cli) { found = app::nearest_flag(flag, cli); }});
    return found;
}

const CommandRow& row_of(const std::vector<CommandRow>& rows, const std::string& name) {
    const auto row = std::ranges::find(rows, name, &CommandRow::name);
    REQUIRE(row != rows.end());
    return *row;
}

std::string without_backslashes(std::string text) {
    std::erase(text, '\\');
    return text;
}

}  // namespace

TEST_CASE("hints: a flag that is not there leads to the one of the same sense") {
    CHECK(meant("generate", "--negative") == "--negative-prompt");
    CHECK(meant("generate", "--neg") == "--negative-prompt");
    CHECK(meant("generate", "--negative_prompt") == "--negative-prompt");
    CHECK(meant("generate", "-P") == "-p");
    CHECK(meant("generate", "-w") == "-W");
    CHECK(meant("generate", "-x") == "");
    CHECK(meant("generate", "--cfg") == "--cfg-scale");
    CHECK(meant("generate", "--CFG-Scale") == "--cfg-scale");
    CHECK(meant("generate", "--guidance_scale") == "--cfg-scale");
    CHECK(meant("generate", "--num_inference_steps") == "--steps");
    CHECK(meant("generate", "--stepz") == "--steps");
    CHECK(meant("generate", "--step") == "--steps");
    CHECK(meant("generate", "--n_iter") == "--batch-count");
    CHECK(meant("generate", "--batch-size") == "--batch-count");
    CHECK(meant("batch", "--batch-size") == "--engine-batch");
    CHECK(meant("generate", "--sampler") == "--sampling-method");
    CHECK(meant("generate", "--sampel-method") == "--sampling-method");
    CHECK(meant("generate", "--out") == "--output");
    CHECK(meant("generate", "--outdir") == "--output");
    CHECK(meant("generate", "--ckpt") == "--model");
    CHECK(meant("batch", "--resume") == "--retry-failed");
    CHECK(meant("generate", "--prompts") == "--prompt");
    CHECK(meant("generate", "--zzzzzzzz") == "");
    CHECK(meant("generate", "--") == "");
}

TEST_CASE("hints: a command that is not there leads to the nearest, a prompt to -p") {
    const auto problem = [](const std::string& name) {
        return message_of(ErrorCode::invalid_argument, [&] { (void)app::command_named(name); });
    };
    CHECK(problem("benhc") == "unknown command \"benhc\"; did you mean bench?");
    CHECK(contains(problem("Batch"), "did you mean batch?"));
    CHECK(contains(problem("a red apple"), "-p"));
    CHECK(contains(problem("xyzzyxyzzy"), "t2i help"));
    CHECK(app::command_named("verify").name == "verify");
}

TEST_CASE("flags: the table knows every command, its flags, what stands behind them and their choices") {
    const auto rows = app::describe_commands();
    REQUIRE(rows.size() == app::commands().size());
    for (const CommandRow& row : rows) {
        INFO(row.name);
        CHECK_FALSE(row.summary.empty());
        CHECK_FALSE(row.description.empty());
        for (const FlagRow& flag : row.flags) {
            INFO(flag.names.front());
            CHECK_FALSE(flag.description.empty());
        }
        CHECK(std::ranges::any_of(row.flags, [](const FlagRow& flag) { return flag.names.back() == "--help"; }));
    }
    const auto flag = [&](const std::string& command, const std::string& name) {
        for (const FlagRow& f : row_of(rows, command).flags)
            if (std::ranges::find(f.names, name) != f.names.end()) return f;
        FAIL(command << " has no " << name);
        return FlagRow{};
    };
    CHECK(flag("generate", "-p").names == std::vector<std::string>{"-p", "--prompt"});
    CHECK(flag("generate", "-p").is_required);
    CHECK(flag("generate", "--quiet").value.empty());
    CHECK(flag("generate", "--output").is_path);
    CHECK(flag("generate", "--output").default_value == "out.png");
    CHECK(flag("generate", "--image-format").choices == std::vector<std::string>{"png", "jpg", "webp"});
    CHECK(flag("batch", "--format").choices.size() == 3);
    CHECK(std::ranges::count(flag("generate", "--sampling-method").choices, "euler_a") == 1);
    CHECK(flag("generate", "--model").is_path);
    CHECK_FALSE(flag("generate", "--steps").is_path);
    CHECK(row_of(rows, "batch").positionals.front().is_path);
    CHECK(row_of(rows, "completion").positionals.front().choices == std::vector<std::string>{"bash", "zsh", "fish"});
}

TEST_CASE("flags: every flag of every command is in the completions of each shell and in the manual") {
    const auto rows = app::describe_commands();
    const std::string bash = app::bash_completion(rows), zsh = app::zsh_completion(rows), fish = app::fish_completion(rows);
    const std::string manual = without_backslashes(app::manual_page(rows));
    for (const CommandRow& row : rows) {
        // The parts of the texts that are this command's.
        const auto part = [](const std::string& text, const std::string& from, const std::string& to) {
            const auto begin = text.find(from);
            REQUIRE(begin != std::string::npos);
            return text.substr(begin, text.find(to, begin + 1) - begin);
        };
        const std::string of_bash = part(bash.substr(bash.rfind("case $command in")), "        " + row.name + ")", ";;");
        const std::string of_zsh = part(zsh.substr(zsh.rfind("case $command in")), "        " + row.name + ")", " ;;");
        const std::string of_manual = part(manual, ".SS \"t2i " + row.name + "\"", "\n.S");
        for (const FlagRow& flag : row.flags)
            for (const auto& name : flag.names) {
                INFO(row.name << " " << name);
                CHECK((contains(of_bash, " " + name + " ") || contains(of_bash, "'" + name + " ") ||
                       contains(of_bash, " " + name + "'")));
                CHECK(
                    (contains(of_zsh, ")" + name + "[") || contains(of_zsh, ")" + name + "=[") || contains(of_zsh, "*" + name)));
                CHECK(contains(of_manual, "fB" + name + "fR"));
                const std::string option = name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
                bool is_there = false;
                for (auto at = fish.find("'__t2i_is " + row.name + "'"); at != std::string::npos;
                     at = fish.find("'__t2i_is " + row.name + "'", at + 1))
                    is_there = is_there || contains(fish.substr(at, fish.find('\n', at) - at) + " ", option + " ");
                CHECK(is_there);
            }
    }
}

TEST_CASE("manual: its text holds nothing that a formatter would take for a request") {
    const auto rows = app::describe_commands();
    const std::string page = app::manual_page(rows);
    CHECK(page.starts_with(".TH T2I 1 "));
    static const std::set<std::string> requests{".TH", ".SH", ".SS", ".TP", ".PP", ".br", ".ad"};
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        CHECK_FALSE(line.empty());
        if (line.starts_with('.')) CHECK(requests.count(line.substr(0, line.find(' '))) == 1);
        CHECK_FALSE(line.starts_with('\''));
        CHECK(std::ranges::all_of(line, [](char c) { return c >= 0x20 && c < 0x7F; }));
    }
    CommandRow odd{.name = "odd",
                   .summary = "s",
                   .description = ".so /etc/passwd",
                   .footer = "'quoted\n.x\\y",
                   .flags = {},
                   .positionals = {}};
    const std::string escaped = app::manual_page(std::vector{odd});
    CHECK(contains(escaped, "\n\\&.so /etc/passwd\n"));
    CHECK(contains(escaped, "\n\\&'quoted\n"));
    CHECK(contains(escaped, "\n\\&.x\\ey\n"));
}

}  // namespace t2i::test
