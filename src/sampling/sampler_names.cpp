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
// Besides our own names. AUTOMATIC1111's "DPM++ 2M" and "Euler a" differ from ours in writing alone; ComfyUI and k-diffusion
// write "pp" for "++", InvokeAI's names begin with "k_", diffusers' are those of its classes.
constexpr std::array aliases{
    Alias{"dpmpp2m", "dpm++2m"},
    Alias{"kdpmpp2m", "dpm++2m"},
    Alias{"dpmsolvermultistepscheduler", "dpm++2m"},
    Alias{"dpmpp2msde", "dpm++2m_sde"},
    Alias{"kdpmpp2msde", "dpm++2m_sde"},
    Alias{"ddimscheduler", "ddim"},
    Alias{"ddpmscheduler", "ddpm"},
    Alias{"keuler", "euler"},
    Alias{"eulerdiscretescheduler", "euler"},
    Alias{"eulerancestral", "euler_a"},
    Alias{"keulera", "euler_a"},
    Alias{"keulerancestral", "euler_a"},
    Alias{"eulerancestraldiscretescheduler", "euler_a"},
    Alias{"flowmatcheulerdiscretescheduler", "flow_euler"},
};

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
    if (schedule == "karras" || schedule == "discrete" || schedule == "flow") scheduler = schedule;
    else if (schedule == "automatic") scheduler.clear();

    constexpr std::string_view karras = "karras";
    std::string name = plain(sampler);
    if (const std::string own = own_name(name); !own.empty()) {
        sampler = own;
        return false;
    }
    if (!name.ends_with(karras)) return false;
    name.resize(name.size() - karras.size());
    const std::string own = own_name(name);
    if (own.empty()) return false;
    if (!scheduler.empty() && scheduler != karras)
        throw Error(ErrorCode::invalid_argument,
                    in_quotes(sampler) + " asks for the schedule karras, and the scheduler is " + in_quotes(scheduler),
                    Field{"sampler"});
    sampler = own;
    scheduler = karras;
    return true;
}

}  // namespace t2i
