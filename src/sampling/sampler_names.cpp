// What other programs call our samplers and schedules.
#include <algorithm>
#include <array>
#include <string_view>

#include "core/nearest.h"
#include "sampling/sampler.h"
#include "t2i/error.h"

namespace t2i {

namespace {

struct Alias {
    std::string_view name;  // as plain() writes it
    std::string_view sampler;
};
// Besides our own names. AUTOMATIC1111's "DPM++ 2M", "UniPC" and "Euler a" differ from ours in writing alone; ComfyUI and
// k-diffusion write "pp" for "++", InvokeAI's names begin with "k_", diffusers' are those of its classes.
constexpr std::array aliases{
    Alias{"dpmpp2m", "dpm++2m"},
    Alias{"kdpmpp2m", "dpm++2m"},
    Alias{"dpmsolvermultistepscheduler", "dpm++2m"},
    Alias{"dpmpp2msde", "dpm++2m_sde"},
    Alias{"kdpmpp2msde", "dpm++2m_sde"},
    Alias{"dpmpp3m", "dpm++3m"},
    Alias{"dpmpp2s", "dpm++2s"},
    Alias{"dpmsolversinglestepscheduler", "dpm++2s"},
    Alias{"unipcmultistepscheduler", "unipc"},
    Alias{"deismultistepscheduler", "deis"},
    Alias{"sasolverscheduler", "sa_solver"},
    Alias{"ddimscheduler", "ddim"},
    Alias{"ddpmscheduler", "ddpm"},
    Alias{"keuler", "euler"},
    Alias{"eulerdiscretescheduler", "euler"},
    Alias{"eulerancestral", "euler_a"},
    Alias{"keulera", "euler_a"},
    Alias{"keulerancestral", "euler_a"},
    Alias{"eulerancestraldiscretescheduler", "euler_a"},
    Alias{"kheun", "heun"},
    Alias{"heundiscretescheduler", "heun"},
    Alias{"pndmscheduler", "pndm"},
    Alias{"kplms", "plms"},
    Alias{"lcmscheduler", "lcm"},
    Alias{"flowmatcheulerdiscretescheduler", "flow_euler"},
};
// The schedules that AUTOMATIC1111 writes behind a sampler's name.
constexpr std::array<std::string_view, 2> suffixes{"karras", "exponential"};

// Without what names of the same thing differ in: "DPM++ 2M SDE" and "dpm++2m_sde" are "dpm++2msde".
std::string plain(std::string_view name) {
    std::string text;
    for (const char c : name)
        if (c != ' ' && c != '_' && c != '-') text += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c;
    return text;
}

// Our name of a sampler; empty: nobody has it.
std::string own_name(const std::string& name) {
    for (const SamplerRow& row : samplers())
        if (plain(row.name) == name) return row.name;
    const auto alias = std::ranges::find(aliases, name, &Alias::name);
    return alias == aliases.end() ? std::string() : std::string(alias->sampler);
}

}  // namespace

bool translate_sampler(std::string& sampler, std::string& scheduler) {
    const std::string schedule = plain(scheduler);
    if (std::ranges::find(schedules(), schedule) != schedules().end()) scheduler = schedule;
    else if (schedule == "automatic") scheduler.clear();

    std::string name = plain(sampler);
    if (const std::string own = own_name(name); !own.empty()) {
        sampler = own;
        return false;
    }
    const auto suffix = std::ranges::find_if(suffixes, [&](std::string_view s) { return name.ends_with(s); });
    if (suffix == suffixes.end()) return false;
    name.resize(name.size() - suffix->size());
    const std::string own = own_name(name);
    if (own.empty()) return false;
    if (!scheduler.empty() && scheduler != *suffix)
        throw Error(ErrorCode::invalid_argument,
                    in_quotes(sampler) + " asks for the schedule " + std::string(*suffix) + ", and the scheduler is " +
                        in_quotes(scheduler),
                    Field{"sampler"});
    sampler = own;
    scheduler = *suffix;
    return true;
}

}  // namespace t2i
