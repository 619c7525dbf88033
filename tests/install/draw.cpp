// Draws a picture: draw PROMPT OUT.png [STEPS]
#include <t2i/error.h>
#include <t2i/pipeline.h>
#include <t2i/png.h>

#include <cstdio>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
    if (argc < 3) return std::fprintf(stderr, "usage: draw PROMPT OUT.png [STEPS]\n"), 2;
    try {
        auto pipeline = t2i::Pipeline::load({});  // the bundled model on the best device
        t2i::GenerateRequest request;
        request.prompt = argv[1];
        if (argc > 3) request.steps = std::stoi(argv[3]);
        for (const t2i::Image& image : pipeline.generate(request)) {
            const auto png = t2i::encode_png(image);
            std::ofstream file(argv[2], std::ios::binary);
            file.write(reinterpret_cast<const char*>(png.data()), static_cast<std::streamsize>(png.size()));
            if (!file.flush()) throw t2i::Error(t2i::ErrorCode::input, "cannot be written", argv[2]);
        }
    } catch (const t2i::Error& error) {
        std::fprintf(stderr, "draw: %s\n", error.what());
        return 1;
    }
    return 0;
}
