// t2i completion SHELL: a script that completes commands, flags and their values.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/arguments.h"
#include "app/command.h"
#include "app/completion.h"

namespace t2i::app {

namespace {

constexpr const char* footer =
    "bash: in ~/.bashrc                        source <(t2i completion bash)\n"
    "zsh: in ~/.zshrc, behind compinit         source <(t2i completion zsh)\n"
    "fish: in ~/.config/fish/config.fish       t2i completion fish | source\n"
    "cmake --install puts them where these shells look by themselves.";

}  // namespace

int run_completion(const CommandLine& line) {
    std::string shell;
    CLI::App app{"Prints completions for a shell.", "t2i completion"};
    app.footer(footer);
    app.add_option("SHELL", shell, "which one")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
    if (!parse(app, line)) return 0;
    const auto rows = describe_commands();
    const std::string script = shell == "bash"  ? bash_completion(rows)
                               : shell == "zsh" ? zsh_completion(rows)
                                                : fish_completion(rows);
    std::fputs(script.c_str(), stdout);
    return 0;
}

}  // namespace t2i::app
