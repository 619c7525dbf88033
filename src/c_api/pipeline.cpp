// Loading, generating and stopping.
#include <algorithm>
#include <cstring>

#include "c_api/errors.h"
#include "c_api/handles.h"
#include "c_api/structs.h"

namespace t2i::c_api {

namespace {

Pipeline::Callbacks callbacks_for(const t2i_callbacks& c) {
    Pipeline::Callbacks result;
    if (c.image)
        result.image = [&c](int index, const Image& made) {
            const t2i_image image{.index = index,
                                  .width = made.width,
                                  .height = made.height,
                                  .rgb = made.rgb.data(),
                                  .seed = made.seed,
                                  .parameters = made.parameters.c_str()};
            if (c.image(c.user, &image) != 0) throw Error(ErrorCode::cancelled, "interrupted");
        };
    if (c.progress)
        result.progress = [&c](const Progress& p) {
            const t2i_progress progress{.image = p.image, .images = p.images, .step = p.step, .steps = p.steps};
            return c.progress(c.user, &progress) == 0;
        };
    if (c.log) result.warning = [&c](const std::string& line) { c.log(c.user, T2I_LOG_WARNING, line.c_str()); };
    if (c.stop) result.stop = c.stop->source.get_token();
    return result;
}

}  // namespace

}  // namespace t2i::c_api

using namespace t2i::c_api;

t2i_stop* t2i_stop_new(void) {
    try {
        return new t2i_stop;
    } catch (...) {
        return nullptr;
    }
}

void t2i_stop_request(t2i_stop* stop) {
    if (stop) stop->source.request_stop();
}

void t2i_stop_free(t2i_stop* stop) {
    delete stop;
}

t2i_category t2i_pipeline_load(const t2i_options* options, t2i_pipeline** pipeline, t2i_error** error) {
    return guarded(error, [&] {
        check_given(pipeline, "pipeline");
        *pipeline = nullptr;
        *pipeline = new t2i_pipeline{t2i::Pipeline::load(options_of(options))};
    });
}

void t2i_pipeline_free(t2i_pipeline* pipeline) {
    delete pipeline;
}

t2i_category t2i_pipeline_generate(t2i_pipeline* pipeline, const t2i_request* request, const t2i_callbacks* callbacks,
                                   t2i_error** error) {
    return guarded(error, [&] {
        check_given(pipeline, "pipeline");
        const t2i_callbacks c = callbacks_of(callbacks);
        pipeline->pipeline.generate(request_of(request), callbacks_for(c));
    });
}

t2i_category t2i_pipeline_info(const t2i_pipeline* pipeline, t2i_model_info* info, t2i_error** error) {
    return guarded(error, [&] {
        check_given(pipeline, "pipeline");
        check_given(info, "info");
        if (info->size < sizeof info->size)
            throw t2i::Error(t2i::ErrorCode::invalid_argument, "is not sizeof(t2i_model_info)", t2i::Field{"size"});
        const t2i::ModelInfo& m = pipeline->pipeline.info();
        const t2i_model_info all{.size = info->size,
                                 .name = m.name.c_str(),
                                 .sampler = m.sampler.c_str(),
                                 .device = m.device.c_str(),
                                 .dtype = m.dtype.c_str(),
                                 .runs_on = m.runs_on.c_str(),
                                 .cfg_scale = m.cfg_scale,
                                 .steps = m.steps,
                                 .width = m.width,
                                 .height = m.height,
                                 .max_prompt_tokens = m.max_prompt_tokens,
                                 .classes = m.classes};
        std::memcpy(info, &all, std::min(info->size, sizeof all));
    });
}
