#include "app/completion.h"

#include <algorithm>
#include <vector>

namespace t2i::app {

namespace {

std::string joined(const std::vector<std::string>& words, const std::string& between = " ") {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : between) + word;
    return text;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

std::vector<std::string> names_of(std::span<const CommandRow> commands) {
    std::vector<std::string> names;
    for (const CommandRow& command : commands) names.push_back(command.name);
    return names;
}

std::vector<std::string> flags_of(const CommandRow& command) {
    std::vector<std::string> names;
    for (const FlagRow& flag : command.flags) names.insert(names.end(), flag.names.begin(), flag.names.end());
    return names;
}

std::string bash_words(const std::vector<std::string>& words) {
    return "mapfile -t COMPREPLY < <(compgen -W '" + joined(words) + "' -- \"$cur\")";
}

// What may stand where the flag's value does.
std::string bash_values(const FlagRow& flag) {
    if (!flag.choices.empty()) return bash_words(flag.choices);
    return flag.is_path ? "_t2i_files" : ":";
}

std::string zsh_quoted(const std::string& text) {
    return "'" + replaced(text, "'", "'\\''") + "'";
}

// Between [ and ] of a specification of _arguments.
std::string zsh_explanation(const std::string& text) {
    return "[" + replaced(replaced(replaced(text, "\\", "\\\\"), "[", "\\["), "]", "\\]") + "]";
}

std::string zsh_value(const FlagRow& flag) {
    const std::string action = !flag.choices.empty() ? "(" + joined(flag.choices) + ")" : flag.is_path ? "_files" : " ";
    return ":" + flag.value + ":" + action;
}

std::string fish_quoted(const std::string& text) {
    return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

}  // namespace

std::string bash_completion(std::span<const CommandRow> commands) {
    const auto names = names_of(commands);
    std::string text =
        "# Completions of t2i for bash; in ~/.bashrc:  source <(t2i completion bash)\n"
        "_t2i_files() {\n"
        "    compopt -o filenames 2>/dev/null\n"
        "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
        "}\n"
        "_t2i() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=" +
        names.front() +
        "\n"
        "    # --flag=value is three words to bash\n"
        "    if [[ $cur == = ]]; then cur=\n"
        "    elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}\n"
        "    fi\n"
        "    COMPREPLY=()\n"
        "    if (( COMP_CWORD == 1 )) && [[ $cur != -* ]]; then\n"
        "        " +
        bash_words(names) +
        "\n"
        "        return\n"
        "    fi\n"
        "    case ${COMP_WORDS[1]} in " +
        joined(names, "|") +
        ") command=${COMP_WORDS[1]} ;; esac\n"
        "    case \"$command $prev\" in\n";
    for (const CommandRow& command : commands)
        for (const FlagRow& flag : command.flags) {
            if (flag.value.empty()) continue;
            std::string pattern;
            for (const auto& name : flag.names) pattern += (pattern.empty() ? "'" : " | '") + command.name + " " + name + "'";
            text += "        " + pattern + ") " + bash_values(flag) + "; return ;;\n";
        }
    text += "    esac\n    case $command in\n";
    for (const CommandRow& command : commands) {
        text += "        " + command.name + ")\n            if [[ $cur == -* ]]; then " + bash_words(flags_of(command)) + "\n";
        text += "            else " + (command.positionals.empty() ? ":" : bash_values(command.positionals.front())) +
                "\n            fi ;;\n";
    }
    return text + "    esac\n}\ncomplete -F _t2i t2i\n";
}

std::string zsh_completion(std::span<const CommandRow> commands) {
    const auto names = names_of(commands);
    std::string text =
        "#compdef t2i\n"
        "# Completions of t2i for zsh; in ~/.zshrc, behind compinit:  source <(t2i completion zsh)\n"
        "_t2i() {\n"
        "    local command=" +
        names.front() +
        "\n"
        "    local -a commands=(\n";
    for (const CommandRow& command : commands) text += "        " + zsh_quoted(command.name + ":" + command.summary) + "\n";
    text +=
        "    )\n"
        "    if (( CURRENT == 2 )) && [[ ${words[2]} != -* ]]; then\n"
        "        _describe -t commands command commands\n"
        "        return\n"
        "    fi\n"
        "    case ${words[2]} in\n"
        "        " +
        joined(names, "|") +
        ") command=${words[2]}; shift words; (( CURRENT-- )) ;;\n"
        "    esac\n"
        "    case $command in\n";
    for (const CommandRow& command : commands) {
        text += "        " + command.name + ")\n            _arguments -S";
        for (const FlagRow& flag : command.flags)
            for (const auto& name : flag.names) {
                const std::string start = flag.repeats ? "*" : "(" + joined(flag.names) + ")";
                const bool is_long = name.starts_with("--");
                text += " \\\n                " +
                        zsh_quoted(start + name + (is_long && !flag.value.empty() ? "=" : "") +
                                   zsh_explanation(flag.description) + (flag.value.empty() ? "" : zsh_value(flag)));
            }
        for (const FlagRow& positional : command.positionals)
            text += " \\\n                " + zsh_quoted((positional.repeats ? "*" : "1") + zsh_value(positional));
        text += " ;;\n";
    }
    // Read as a file of $fpath it is the body of _t2i itself; sourced, it only tells zsh of it.
    return text +
           "    esac\n}\n"
           "if [[ ${funcstack[1]} == _t2i ]]; then _t2i \"$@\"; else compdef _t2i t2i; fi\n";
}

std::string fish_completion(std::span<const CommandRow> commands) {
    const auto names = names_of(commands);
    std::string text =
        "# Completions of t2i for fish; in ~/.config/fish/config.fish:  t2i completion fish | source\n"
        "function __t2i_is --description 'the command on the line is this one'\n"
        "    set -l words (commandline -opc)\n"
        "    set -l command " +
        names.front() +
        "\n"
        "    if set -q words[2]; and contains -- $words[2] " +
        joined(names) +
        "\n"
        "        set command $words[2]\n"
        "    end\n"
        "    test $command = $argv[1]\n"
        "end\n"
        "complete -c t2i -f\n";
    for (const CommandRow& command : commands)
        text += "complete -c t2i -n 'test (count (commandline -opc)) -eq 1' -a " + command.name + " -d " +
                fish_quoted(command.summary) + "\n";
    for (const CommandRow& command : commands) {
        const std::string start = "complete -c t2i -n '__t2i_is " + command.name + "'";
        for (const FlagRow& flag : command.flags) {
            text += start;
            for (const auto& name : flag.names)
                text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
            if (!flag.choices.empty()) text += " -x -a " + fish_quoted(joined(flag.choices));
            else if (!flag.value.empty()) text += flag.is_path ? " -r -F" : " -x";
            text += " -d " + fish_quoted(flag.description) + "\n";
        }
        for (const FlagRow& positional : command.positionals) {
            if (!positional.choices.empty()) text += start + " -a " + fish_quoted(joined(positional.choices)) + "\n";
            else if (positional.is_path) text += start + " -F\n";
        }
    }
    return text;
}

}  // namespace t2i::app
