#include "c_api/structs.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>

#include "c_api/errors.h"

namespace t2i::c_api {

namespace {

constexpr t2i_options default_options = T2I_OPTIONS_INIT;
constexpr t2i_request default_request = T2I_REQUEST_INIT;
constexpr t2i_callbacks default_callbacks = T2I_CALLBACKS_INIT;

// Where the first version of each struct ends: no program knows a smaller one.
constexpr std::size_t first_options = offsetof(t2i_options, log_user) + sizeof(void*);
constexpr std::size_t first_request = offsetof(t2i_request, count) + sizeof(std::int32_t);
constexpr std::size_t first_callbacks = offsetof(t2i_callbacks, stop) + sizeof(t2i_stop*);

// The caller's struct, with defaults for the fields that it is too old to have.
template <typename Struct>
Struct whole(const Struct& given, const Struct& defaults, std::size_t first) {
    if (given.size < first)
        throw Error(ErrorCode::invalid_argument, std::to_string(given.size) + " is too small; set it with the _INIT macro",
                    Field{"size"});
    const auto* bytes = reinterpret_cast<const unsigned char*>(&given);
    if (given.size > sizeof(Struct) && std::any_of(bytes + sizeof(Struct), bytes + given.size, [](auto b) { return b != 0; }))
        throw Error(ErrorCode::invalid_argument,
                    "a field is set that this version of the library (" T2I_VERSION ") does not know", Field{"size"});
    Struct result = defaults;
    std::memcpy(&result, &given, std::min(given.size, sizeof(Struct)));
    return result;
}

// Defaults of a struct of which the caller knows `size` bytes; what a newer caller knows beyond ours is zero.
template <typename Struct>
void fill(Struct* given, std::size_t size, const Struct& defaults) {
    if (!given || size < sizeof(std::size_t)) return;
    std::memset(given, 0, size);
    std::memcpy(given, &defaults, std::min(size, sizeof(Struct)));
    std::memcpy(given, &size, sizeof size);  // it begins with its size
}

std::string text(const char* given, const char* if_null = "") {
    return given ? given : if_null;
}

SourcePicture source_of(const char* file, const std::uint8_t* rgb, std::int32_t width, std::int32_t height, const char* field) {
    if (!rgb) return {.file = text(file), .pixels = {}};
    constexpr std::int32_t most = 1 << 15;
    if (width < 1 || height < 1 || width > most || height > most)
        throw Error(ErrorCode::invalid_argument, "pixels of " + std::to_string(width) + "x" + std::to_string(height),
                    Field{field});
    auto image = std::make_shared<Image>();
    image->width = width;
    image->height = height;
    image->rgb.assign(rgb, rgb + std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    return {.file = {}, .pixels = std::move(image)};
}

}  // namespace

PipelineOptions options_of(const t2i_options* options) {
    const t2i_options o = options ? whole(*options, default_options, first_options) : default_options;
    PipelineOptions result{.model = text(o.model),
                           .vae = text(o.vae),
                           .device = text(o.device, "auto"),
                           .dtype = text(o.dtype, "auto"),
                           .threads = o.threads,
                           .fast_math = o.fast_math != 0,
                           .engine_batch = o.engine_batch,
                           .text_cache = o.text_cache,
                           .text_cache_folder = text(o.text_cache_folder),
                           .keep_text_encoder = o.keep_text_encoder != 0,
                           .log = {},
                           .variant = text(o.variant),
                           .base = text(o.base),
                           .transformer = text(o.transformer),
                           .text_encoder = text(o.text_encoder),
                           .tokenizer = text(o.tokenizer),
                           .formulas = text(o.formulas)};
    if (o.log)
        result.log = [log = o.log, user = o.log_user](LogLevel level, const std::string& line) {
            log(user, static_cast<t2i_log_level>(level), line.c_str());
        };
    return result;
}

GenerateRequest request_of(const t2i_request* request) {
    check_given(request, "request");
    const t2i_request r = whole(*request, default_request, first_request);
    GenerateRequest result;
    result.prompt = text(r.prompt);
    result.negative_prompt = text(r.negative_prompt);
    result.sampler = text(r.sampler);
    result.scheduler = text(r.scheduler);
    result.seed = r.seed;
    result.count = r.count;
    if (!(r.cfg_scale < 0)) result.cfg_scale = r.cfg_scale;
    if (r.steps != 0) result.steps = r.steps;
    if (r.width != 0) result.width = r.width;
    if (r.height != 0) result.height = r.height;
    if (r.clean_caption != 0) result.clean_caption = true;
    if (r.resolution_binning != 0) result.resolution_binning = true;
    result.init_image = source_of(r.init_image, r.init_rgb, r.init_width, r.init_height, "init_image");
    result.mask = source_of(r.mask, r.mask_rgb, r.mask_width, r.mask_height, "mask");
    if (!(r.strength < 0)) result.strength = r.strength;
    result.resize_mode = text(r.resize_mode);
    if (r.keep_unmasked != 0) result.keep_unmasked = true;
    return result;
}

t2i_callbacks callbacks_of(const t2i_callbacks* callbacks) {
    return callbacks ? whole(*callbacks, default_callbacks, first_callbacks) : default_callbacks;
}

}  // namespace t2i::c_api

static_assert(T2I_LOG_WARNING == static_cast<int>(t2i::LogLevel::warning));

void t2i_options_init(t2i_options* options, size_t size) {
    t2i::c_api::fill(options, size, t2i::c_api::default_options);
}

void t2i_request_init(t2i_request* request, size_t size) {
    t2i::c_api::fill(request, size, t2i::c_api::default_request);
}

void t2i_callbacks_init(t2i_callbacks* callbacks, size_t size) {
    t2i::c_api::fill(callbacks, size, t2i::c_api::default_callbacks);
}
