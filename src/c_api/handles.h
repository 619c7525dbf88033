// What stands behind the handles of the C API.
#pragma once

#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "t2i/pipeline.h"
#include "t2i/t2i.h"

struct t2i_pipeline {
    t2i::Pipeline pipeline;
};

struct t2i_stop {
    std::stop_source source;
};

struct t2i_list {
    std::vector<std::pair<std::string, std::string>> pairs;
};
