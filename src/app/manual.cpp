#include "app/manual.h"

#include <array>
#include <cstdio>
#include <string_view>

#include "app/exit_code.h"
#include "t2i/version.h"
#include "text/unicode.h"

namespace t2i::app {

namespace {

// A page has a date; that of the last change of what it says, so that a build is the same on every day.
constexpr const char* date = "2026-11-28";

constexpr const char* description =
    "Draws pictures from prompts with diffusion transformers (PixArt, DiT) in folders of the layout of Hugging Face diffusers. A "
    "small model that draws stickers comes with it.\n"
    "Paths of finished pictures go to standard output, everything else to standard error. A file appears complete or not at all. "
    "Files that exist are replaced, except that t2i batch replaces no picture that is in no journal.";

struct Pair {
    const char *name, *text;
};
constexpr std::array environment{
    Pair{"T2I_MODEL", "folder of the model that is taken without --model"},
    Pair{"T2I_CUDA_MODULE", "the CUDA module, libt2i_cuda.so, where it is not beside the program"},
    Pair{"SLURM_ARRAY_TASK_ID, SLURM_PROCID, OMPI_COMM_WORLD_RANK",
         "and their companions: which share of a prompt file t2i batch makes"},
};
constexpr std::array files{
    Pair{"journal.jsonl", "of a folder that t2i batch fills: a line for each picture; what the next run goes by"},
    Pair{"manifest.jsonl", "there, too: each picture with its parameters"},
    Pair{"failed.jsonl", "there, too: lines without a picture, and why"},
};
constexpr std::array examples{
    Pair{"t2i -p \"a red apple\" -o apple.png", "one picture"},
    Pair{"t2i -p \"a cat\" -b 4 -o cats/", "four pictures in a folder, with seeds 42 to 45"},
    Pair{"t2i -p \"a cat\" -o cat.webp --quality lossless", "another format"},
    Pair{"t2i batch prompts.jsonl -o pictures/", "a file of prompts"},
    Pair{"t2i verify apple.png", "makes a picture again and compares"},
};

// Text of a line: nothing of it is a request or an escape to the formatter; what is not ASCII is named by number.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char16_t unit : utf16_of(text)) {
        if (unit >= 128) {
            std::array<char, 16> name{};
            std::snprintf(name.data(), name.size(), "\\[u%04X]", static_cast<unsigned>(unit));
            out += name.data();
        } else if (unit == u'\\') {
            out += "\\e";
        } else if (unit == u'-') {
            out += "\\-";
        } else if ((unit == u'.' || unit == u'\'') && out.empty()) {
            out += "\\&";
            out += static_cast<char>(unit);
        } else {
            out += static_cast<char>(unit);
        }
    }
    return out;
}

std::string bold(std::string_view text) {
    return "\\fB" + escaped(text) + "\\fR";
}
std::string italic(std::string_view text) {
    return "\\fI" + escaped(text) + "\\fR";
}

// Lines as the help breaks them: a new one begins where a sentence, or a row of a list, ends.
std::string paragraphs(std::string_view text) {
    std::string out;
    bool breaks = false;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const bool is_row = line.starts_with(' ') || line.find("   ") != std::string_view::npos;
        while (line.starts_with(' ')) line.remove_prefix(1);
        if (line.empty()) continue;
        if ((breaks || is_row) && !out.empty()) out += ".br\n";
        out += escaped(line) + "\n";
        breaks = is_row || line.ends_with('.') || line.ends_with(':');
    }
    return out;
}

// A long list may be broken after each of its names (\\:).
std::string value_of(const FlagRow& flag) {
    if (flag.choices.empty()) return italic(flag.value);
    std::string all;
    for (const auto& choice : flag.choices) all += (all.empty() ? "" : "|\\:") + escaped(choice);
    return "\\fI" + all + "\\fR";
}

std::string tagged(const std::string& tag, const std::string& text) {
    return ".TP\n" + tag + "\n" + escaped(text) + "\n";
}

std::string flag_text(const FlagRow& flag) {
    std::string tag;
    for (const auto& name : flag.names) tag += (tag.empty() ? "" : ", ") + bold(name);
    if (!flag.value.empty()) tag += " " + value_of(flag);
    std::string text = flag.description;
    if (!flag.default_value.empty()) text += " (default: " + flag.default_value + ")";
    return tagged(tag, text);
}

std::string synopsis(const CommandRow& command) {
    std::string text = bold("t2i " + command.name) + " [" + italic("flags") + "]";
    for (const FlagRow& p : command.positionals) {
        const std::string name = italic(p.names.front()) + (p.repeats ? " ..." : "");
        text += p.is_required ? " " + name : " [" + name + "]";
    }
    return text + "\n";
}

template <typename Pairs>
std::string list_of(const char* heading, const Pairs& pairs) {
    std::string text = std::string(".SH ") + heading + "\n";
    for (const auto& [name, about] : pairs) text += tagged(bold(name), about);
    return text;
}

}  // namespace

std::string manual_page(std::span<const CommandRow> commands) {
    std::string page = std::string(".TH T2I 1 \"") + date + "\" \"t2i " T2I_VERSION "\" \"User Commands\"\n";
    page += ".ad l\n";  // names in long lists cannot be stretched
    page += ".SH NAME\nt2i \\- text to image, with or without a GPU\n.SH SYNOPSIS\n";
    page += bold("t2i") + " [" + italic("flags") + "]\n";
    for (const CommandRow& command : commands) page += ".br\n" + synopsis(command);
    page += ".SH DESCRIPTION\n" + paragraphs(description) + ".SH COMMANDS\n";
    for (const CommandRow& command : commands) {
        page += ".SS \"t2i " + command.name + "\"\n" + escaped(command.description) + "\n";
        for (const FlagRow& positional : command.positionals)
            page += tagged(value_of({.names = {},
                                     .value = positional.names.front(),
                                     .choices = positional.choices,
                                     .description = {},
                                     .default_value = {}}),
                           positional.description);
        for (const FlagRow& flag : command.flags) page += flag_text(flag);
        if (!command.footer.empty()) page += ".PP\n" + paragraphs(command.footer);
    }
    page += ".SH \"EXIT STATUS\"\n";
    for (const ExitCodeRow& row : exit_codes()) page += tagged(bold(std::to_string(static_cast<int>(row.code))), row.meaning);
    page += list_of("ENVIRONMENT", environment) + list_of("FILES", files) + list_of("EXAMPLES", examples);
    return page;
}

}  // namespace t2i::app
