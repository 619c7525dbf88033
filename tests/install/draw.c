/* Draws a picture: draw PROMPT OUT.png [STEPS] */
#include <stdio.h>
#include <stdlib.h>
#include <t2i/t2i.h>

/* Writes the picture as a PNG file. Not 0: stop, it cannot be written. */
static int save(void* user, const t2i_image* image) {
    uint8_t* bytes = NULL;
    size_t size = 0;
    FILE* file;
    int failed;
    if (t2i_png_encode(image->width, image->height, image->rgb, image->parameters, &bytes, &size, NULL) != T2I_OK) return 1;
    file = fopen((const char*)user, "wb");
    failed = !file || fwrite(bytes, 1, size, file) != size;
    if (file) failed |= fclose(file) != 0;
    t2i_free(bytes);
    return failed;
}

int main(int argc, char** argv) {
    t2i_options options = T2I_OPTIONS_INIT; /* the bundled model on the best device */
    t2i_request request = T2I_REQUEST_INIT;
    t2i_callbacks callbacks = T2I_CALLBACKS_INIT;
    t2i_pipeline* pipeline = NULL;
    t2i_error* error = NULL;
    if (argc < 3) return fprintf(stderr, "usage: draw PROMPT OUT.png [STEPS]\n"), 2;
    request.prompt = argv[1];
    if (argc > 3) request.steps = atoi(argv[3]);
    callbacks.image = save;
    callbacks.user = argv[2];
    if (t2i_pipeline_load(&options, &pipeline, &error) == T2I_OK) t2i_pipeline_generate(pipeline, &request, &callbacks, &error);
    t2i_pipeline_free(pipeline);
    if (!error) return 0;
    fprintf(stderr, "draw: %s\n", t2i_error_text(error));
    t2i_error_free(error);
    return 1;
}
