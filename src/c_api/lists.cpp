// Lists of names, and picture files.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "c_api/errors.h"
#include "c_api/handles.h"
#include "t2i/picture.h"
#include "t2i/png.h"

namespace t2i::c_api {

namespace {

t2i_list* list_of(std::vector<Choice> choices) {
    auto list = std::make_unique<t2i_list>();
    for (Choice& c : choices) list->pairs.emplace_back(std::move(c.name), std::move(c.description));
    return list.release();
}

t2i::Image image_of(std::int32_t width, std::int32_t height, const std::uint8_t* rgb, const char* parameters) {
    check_given(rgb, "rgb");
    constexpr std::int32_t most = 1 << 14;  // pixels
    for (const auto& [name, value] : {std::pair{"width", width}, std::pair{"height", height}})
        if (value < 1 || value > most)
            throw t2i::Error(t2i::ErrorCode::invalid_argument,
                             std::to_string(value) + " is out of range [1, " + std::to_string(most) + "]", t2i::Field{name});
    t2i::Image image;
    image.width = width;
    image.height = height;
    image.rgb.assign(rgb, rgb + std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    if (parameters) image.parameters = parameters;
    return image;
}

t2i::PictureEncoding encoding_of(const char* format, std::int32_t quality) {
    check_given(format, "format");
    t2i::PictureEncoding encoding;
    const std::string name = format;
    if (name == "jpg") encoding.format = t2i::PictureFormat::jpeg;
    else if (name == "webp") encoding.format = t2i::PictureFormat::webp;
    else if (name != "png")
        throw t2i::Error(t2i::ErrorCode::invalid_argument, "\"" + name + "\" is none of png, jpg and webp", t2i::Field{"format"});
    encoding.lossless = quality == T2I_LOSSLESS;
    if (!encoding.lossless) encoding.quality = quality;
    return encoding;
}

// For the caller, who frees it; a 0 stands behind it.
template <typename Byte, typename Bytes>
Byte* copy_of(const Bytes& bytes) {
    auto* copy = static_cast<Byte*>(std::malloc(bytes.size() + 1));
    if (!copy) throw std::bad_alloc();
    std::memcpy(copy, bytes.data(), bytes.size());
    copy[bytes.size()] = 0;
    return copy;
}

}  // namespace

}  // namespace t2i::c_api

using namespace t2i::c_api;

size_t t2i_list_size(const t2i_list* list) {
    return list ? list->pairs.size() : 0;
}

const char* t2i_list_name(const t2i_list* list, size_t i) {
    return i < t2i_list_size(list) ? list->pairs[i].first.c_str() : nullptr;
}

const char* t2i_list_text(const t2i_list* list, size_t i) {
    return i < t2i_list_size(list) ? list->pairs[i].second.c_str() : nullptr;
}

void t2i_list_free(t2i_list* list) {
    delete list;
}

t2i_category t2i_list_devices(t2i_list** list, t2i_error** error) {
    return guarded(error, [&] {
        check_given(list, "list");
        *list = nullptr;
        *list = list_of(t2i::list_devices());
    });
}

t2i_category t2i_list_samplers(t2i_list** list, t2i_error** error) {
    return guarded(error, [&] {
        check_given(list, "list");
        *list = nullptr;
        *list = list_of(t2i::list_samplers());
    });
}

t2i_category t2i_pipeline_vocabulary(const t2i_pipeline* pipeline, t2i_list** list, t2i_error** error) {
    return guarded(error, [&] {
        check_given(pipeline, "pipeline");
        check_given(list, "list");
        *list = nullptr;
        auto all = std::make_unique<t2i_list>();
        for (const auto& entry : pipeline->pipeline.vocabulary())
            for (const auto& item : entry.items) all->pairs.emplace_back(entry.name, item);
        *list = all.release();
    });
}

t2i_category t2i_pipeline_unknown_words(const t2i_pipeline* pipeline, const char* prompt, t2i_list** list, t2i_error** error) {
    return guarded(error, [&] {
        check_given(pipeline, "pipeline");
        check_given(prompt, "prompt");
        check_given(list, "list");
        *list = nullptr;
        auto all = std::make_unique<t2i_list>();
        for (const auto& unknown : pipeline->pipeline.unknown_words(prompt)) {
            if (unknown.nearest.empty()) all->pairs.emplace_back(unknown.word, "");
            for (const auto& nearest : unknown.nearest) all->pairs.emplace_back(unknown.word, nearest);
        }
        *list = all.release();
    });
}

t2i_category t2i_png_encode(int32_t width, int32_t height, const uint8_t* rgb, const char* parameters, uint8_t** bytes,
                            size_t* size, t2i_error** error) {
    return guarded(error, [&] {
        check_given(bytes, "bytes");
        check_given(size, "size");
        *bytes = nullptr;
        *size = 0;
        const auto file = t2i::encode_png(image_of(width, height, rgb, parameters));
        *bytes = copy_of<uint8_t>(file);
        *size = file.size();
    });
}

t2i_category t2i_picture_encode(const char* format, int32_t quality, int32_t width, int32_t height, const uint8_t* rgb,
                                const char* parameters, uint8_t** bytes, size_t* size, t2i_error** error) {
    return guarded(error, [&] {
        check_given(bytes, "bytes");
        check_given(size, "size");
        *bytes = nullptr;
        *size = 0;
        const auto file = t2i::encode_picture(image_of(width, height, rgb, parameters), encoding_of(format, quality));
        *bytes = copy_of<uint8_t>(file);
        *size = file.size();
    });
}

t2i_category t2i_picture_read_parameters(const uint8_t* bytes, size_t size, char** parameters, t2i_error** error) {
    return guarded(error, [&] {
        check_given(bytes, "bytes");
        check_given(parameters, "parameters");
        *parameters = nullptr;
        *parameters = copy_of<char>(t2i::read_picture_parameters({bytes, size}));
    });
}

t2i_category t2i_png_read_text(const uint8_t* bytes, size_t size, t2i_list** list, t2i_error** error) {
    return guarded(error, [&] {
        check_given(bytes, "bytes");
        check_given(list, "list");
        *list = nullptr;
        auto all = std::make_unique<t2i_list>();
        for (auto& [keyword, text] : t2i::read_png_text({bytes, size}))
            all->pairs.emplace_back(std::move(keyword), std::move(text));
        *list = all.release();
    });
}

void t2i_free(void* bytes) {
    std::free(bytes);
}
