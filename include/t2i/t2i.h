/* The library for C, and for every language that calls C.
 *
 *     t2i_pipeline* pipeline = NULL;
 *     t2i_error* error = NULL;
 *     if (t2i_pipeline_load(NULL, &pipeline, &error) != T2I_OK) { … t2i_error_text(error) … t2i_error_free(error) … }
 *     t2i_request request = T2I_REQUEST_INIT;
 *     request.prompt = "a red apple";
 *     t2i_pipeline_generate(pipeline, &request, &callbacks, &error);
 *     t2i_pipeline_free(pipeline);
 *
 * Texts are UTF-8 and end in NUL. A function that can fail returns a category, T2I_OK where it did not; where `error` is not
 * NULL, it receives an object that says more, or NULL, and the caller frees it. What a function hands out through a pointer to a
 * pointer is the caller's, to be given to the free function named there; free functions take NULL. What is passed in is read
 * before the function returns and stays the caller's. No C++ exception leaves a function.
 *
 * Threads: each function says from which it may be called; different objects never get in each other's way. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "t2i/export.h"
#include "t2i/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ---- */

/* What kind of failure it is. More may come; treat an unknown one as T2I_INTERNAL. */
typedef enum t2i_category {
    T2I_OK = 0,
    T2I_INVALID_ARGUMENT = 1, /* a field of a struct or an argument: an unknown name, a value out of range, NULL */
    T2I_INPUT = 2,            /* a file or a text that cannot be read or written, or is not what it should be */
    T2I_RESOURCE = 3,         /* a device that is missing or failed, out of memory */
    T2I_CANCELLED = 4,        /* the caller stopped the work */
    T2I_INTERNAL = 5          /* a fault of the library, or of a callback in C++ that threw */
} t2i_category;

typedef struct t2i_error t2i_error;

/* Of NULL: T2I_OK and empty texts. Texts live as long as the error. From any thread. */
T2I_API t2i_category t2i_error_category(const t2i_error* error);
/* "steps", "device": the field of t2i_options or t2i_request, or the argument, that it is about; may be empty. */
T2I_API const char* t2i_error_field(const t2i_error* error);
/* The file it is about; may be empty. */
T2I_API const char* t2i_error_file(const t2i_error* error);
/* One line without field or file. */
T2I_API const char* t2i_error_message(const t2i_error* error);
/* One line for a person: "<field or file>: <message>". */
T2I_API const char* t2i_error_text(const t2i_error* error);
T2I_API void t2i_error_free(t2i_error* error);

/* ---- Callbacks ---- */

/* Levels of a log line; more may come. */
typedef enum t2i_log_level { T2I_LOG_WARNING = 1 } t2i_log_level;

/* line: without a line break, valid during the call. user: as it was given. */
typedef void (*t2i_log_fn)(void* user, t2i_log_level level, const char* line);

typedef struct t2i_progress {
    int32_t image, images; /* first picture of the batch that runs, from 0; pictures of the request */
    int32_t step, steps;   /* steps done, of steps */
} t2i_progress;

/* A nonzero result stops the request, which then fails with T2I_CANCELLED. progress: valid during the call. */
typedef int (*t2i_progress_fn)(void* user, const t2i_progress* progress);

/* A finished picture. Later versions may add fields at the end. */
typedef struct t2i_image {
    int32_t index;          /* in its request, from 0 */
    int32_t width, height;  /* pixels */
    const uint8_t* rgb;     /* [height, width, 3] */
    uint64_t seed;          /* makes this picture again as the first of a request */
    const char* parameters; /* how it was made: the text that PNG files of t2i hold */
} t2i_image;

/* image and what it points to: valid during the call; copy what is to be kept. A nonzero result stops the request. */
typedef int (*t2i_image_fn)(void* user, const t2i_image* image);

/* ---- Stopping a request from another thread ---- */

typedef struct t2i_stop t2i_stop;

/* NULL: out of memory. */
T2I_API t2i_stop* t2i_stop_new(void);
/* Ends every request that was given this object within a step, now or when it begins. For good: make another one for the next
 * request. From any thread. */
T2I_API void t2i_stop_request(t2i_stop* stop);
/* May come before the requests have ended, but not before a call with it has begun to run. */
T2I_API void t2i_stop_free(t2i_stop* stop);

/* ---- Structs that can grow ----
 *
 * `size` tells the library which version of the struct the program was compiled with. Set all fields to their defaults with the
 * _INIT macro, or with the function where a macro cannot be used, and then those you want to differ. A program that is newer than
 * the library may not set fields that the library does not know (T2I_INVALID_ARGUMENT about the field "size"). */

typedef struct t2i_options {
    size_t size;
    const char* model;  /* folder in diffusers layout, or a transformer's folder or file; NULL: the bundled model ($T2I_MODEL, or
                           what came with the library) */
    const char* vae;    /* another decoder; NULL: the model's */
    const char* device; /* auto, cuda, cuda:N, cpu, ref, emulated; NULL: auto */
    const char* dtype;  /* auto, f32, bf16; NULL: auto */
    const char* text_cache_folder; /* where encoded prompts are kept for later runs; NULL: nowhere */
    int32_t threads;               /* CPU threads; 0: one per core */
    int32_t fast_math;             /* not 0, on a GPU: quicker, and last bits may depend on the batch */
    int32_t engine_batch;          /* pictures made at a time; 0: the library chooses. No picture depends on it */
    int32_t text_cache;            /* encoded prompts kept in memory */
    t2i_log_fn log;                /* warnings that are no answer to a request; from any thread that uses or frees the pipeline
                                      and from its own, maybe at the same time. NULL: nobody listens */
    void* log_user;
    const char* variant; /* "fp16": of the weights' files that have it in their names; NULL: those without, or alone */
    /* Parts from several places; NULL: the model's own. */
    const char* base;        /* folder in diffusers layout that lends what the model lacks */
    const char* transformer; /* folders or files */
    const char* text_encoder;
    const char* tokenizer;
    const char* formulas;      /* "diffusers": facebook's DiT as diffusers computes it; NULL: as facebook did */
    int32_t keep_text_encoder; /* not 0: one of more than 256 MB stays in memory; else it goes once its prompts are encoded */
} t2i_options;

#define T2I_OPTIONS_INIT \
    {sizeof(t2i_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 1024, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0}
/* The same for `size` = sizeof(t2i_options) as the caller knows it. Does nothing where options is NULL. */
T2I_API void t2i_options_init(t2i_options* options, size_t size);

typedef struct t2i_request {
    size_t size;
    const char* prompt;          /* of a class-conditional model a class's name or number; NULL or empty: nothing */
    const char* negative_prompt; /* NULL: none */
    const char* sampler;         /* see t2i_list_samplers(); NULL: the model's */
    const char* scheduler;       /* discrete, karras, exponential, beta, lu, flow; NULL: the model's */
    uint64_t seed;               /* picture i has seed + i */
    double cfg_scale;            /* guidance, off at 1 and below; below 0: the model's */
    int32_t steps;               /* [1, 1000]; 0: the model's */
    int32_t width, height;       /* pixels; 0: the model's */
    int32_t count;               /* pictures */
    int32_t clean_caption;       /* not 0: prompts go through diffusers' cleaning of web captions */
    int32_t resolution_binning; /* not 0: drawn at the size of the model's own table whose shape is nearest, then brought to width
                                   and height, which may be any */
    /* Pictures from pictures. init_image: a PNG, JPEG or WebP file to begin with, of up to 4096x4096 pixels; or its pixels,
     * [init_height, init_width, 3], in place of the file. mask: the same of a mask of the same size, white where the picture is
     * made anew. NULL: none. */
    const char* init_image;
    const uint8_t* init_rgb;
    const char* mask;
    const uint8_t* mask_rgb;
    int32_t init_width, init_height, mask_width, mask_height; /* pixels; read where rgb is given */
    double strength;                                          /* (0, 1]: the share of steps done; below 0: 0.75 */
    const char* resize_mode; /* how they come to width and height: crop, stretch, fill; NULL: crop */
    int32_t keep_unmasked;   /* not 0: where the mask is black the pixels are those of init_image, to the bit */
} t2i_request;

#define T2I_REQUEST_INIT \
    {sizeof(t2i_request), NULL, NULL, NULL, NULL, 42, -1.0, 0, 0, 0, 1, 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, -1.0, NULL, 0}
T2I_API void t2i_request_init(t2i_request* request, size_t size);

/* Each may be NULL. All run on the thread that called t2i_pipeline_generate() and must not call it. */
typedef struct t2i_callbacks {
    size_t size;
    t2i_image_fn image;       /* each picture as soon as it is there, in order */
    t2i_progress_fn progress; /* after every step */
    t2i_log_fn log;           /* about this request, such as what was cut from a long prompt */
    void* user;               /* for all of them */
    t2i_stop* stop;           /* ends the request when asked to */
} t2i_callbacks;

#define T2I_CALLBACKS_INIT {sizeof(t2i_callbacks), NULL, NULL, NULL, NULL, NULL}
T2I_API void t2i_callbacks_init(t2i_callbacks* callbacks, size_t size);

/* ---- Pipelines ---- */

/* A loaded model. */
typedef struct t2i_pipeline t2i_pipeline;

/* Loads a model: hundreds of milliseconds to seconds. options NULL: defaults. From any thread. */
T2I_API t2i_category t2i_pipeline_load(const t2i_options* options, t2i_pipeline** pipeline, t2i_error** error);
/* Not while another thread still uses it. */
T2I_API void t2i_pipeline_free(t2i_pipeline* pipeline);

/* Makes pictures and returns when all were handed out. callbacks NULL: none, so only a test of the request. From several threads
 * at once: their pictures are made in batches with each other. Pictures handed out before a failure are good. */
T2I_API t2i_category t2i_pipeline_generate(t2i_pipeline* pipeline, const t2i_request* request, const t2i_callbacks* callbacks,
                                           t2i_error** error);

/* Later versions may add fields at the end. Texts live as long as the pipeline. */
typedef struct t2i_model_info {
    size_t size;           /* set by the caller to sizeof(t2i_model_info): no more is written */
    const char* name;      /* of the folder */
    const char* sampler;   /* default; empty: the model has none */
    const char* device;    /* "cpu", "cuda" */
    const char* dtype;     /* "f32", "bf16" */
    const char* runs_on;   /* one line: what computes, threads, dtype */
    double cfg_scale;      /* default, as the next ones */
    int32_t steps;         /* 0: the model has no denoising steps */
    int32_t width, height; /* pixels */
    int32_t max_prompt_tokens;
    int32_t classes; /* of a class-conditional model; 0: it reads text */
} t2i_model_info;

/* From any thread. */
T2I_API t2i_category t2i_pipeline_info(const t2i_pipeline* pipeline, t2i_model_info* info, t2i_error** error);

/* ---- Lists of names ---- */

/* Pairs of a name and a text. */
typedef struct t2i_list t2i_list;

/* Of NULL: 0. */
T2I_API size_t t2i_list_size(const t2i_list* list);
/* Live as long as the list; NULL where i is not below t2i_list_size(). From any thread. */
T2I_API const char* t2i_list_name(const t2i_list* list, size_t i);
T2I_API const char* t2i_list_text(const t2i_list* list, size_t i);
T2I_API void t2i_list_free(t2i_list* list);

/* What t2i_options.device can name here, best first, and what it is. Looks for GPUs: the first call may take a second. From any
 * thread. */
T2I_API t2i_category t2i_list_devices(t2i_list** list, t2i_error** error);
/* What t2i_request.sampler can name, and what it is. From any thread. */
T2I_API t2i_category t2i_list_samplers(t2i_list** list, t2i_error** error);
/* What the model says of what it can draw, a pair each: "names (en)" and "apple". Empty where it says nothing. From any thread.
 */
T2I_API t2i_category t2i_pipeline_vocabulary(const t2i_pipeline* pipeline, t2i_list** list, t2i_error** error);
/* The words of a prompt that are not in the model's vocabulary, in order, a pair for each word or name that comes nearest, the
 * nearest first and at most three: "aple" and "apple"; one with an empty text where nothing is near. Empty where the model says
 * nothing of words. From any thread. */
T2I_API t2i_category t2i_pipeline_unknown_words(const t2i_pipeline* pipeline, const char* prompt, t2i_list** list,
                                                t2i_error** error);

/* ---- PNG ---- */

/* A PNG file in memory of width x height pixels. rgb: [height, width, 3]. parameters: a text to put into the file, as
 * t2i_image.parameters; NULL or empty: none. The bytes go to t2i_free(). From any thread. */
T2I_API t2i_category t2i_png_encode(int32_t width, int32_t height, const uint8_t* rgb, const char* parameters, uint8_t** bytes,
                                    size_t* size, t2i_error** error);
/* The text chunks of a PNG file of `size` bytes: keyword and text. "parameters" is how a picture of t2i was made. From any
 * thread. */
T2I_API t2i_category t2i_png_read_text(const uint8_t* bytes, size_t size, t2i_list** list, t2i_error** error);

/* ---- Picture files of any format ---- */

#define T2I_LOSSLESS (-1)

/* As t2i_png_encode(), of the format "png", "jpg" or "webp". quality: 1 to 100, 0 for 90, or T2I_LOSSLESS; a PNG takes 0 or
 * T2I_LOSSLESS, a JPEG is never lossless. From any thread. */
T2I_API t2i_category t2i_picture_encode(const char* format, int32_t quality, int32_t width, int32_t height, const uint8_t* rgb,
                                        const char* parameters, uint8_t** bytes, size_t* size, t2i_error** error);
/* How the picture of a PNG, JPEG or WebP file of `size` bytes was made, as t2i_image.parameters has it; empty where the file does
 * not say. The text goes to t2i_free(). From any thread. */
T2I_API t2i_category t2i_picture_read_parameters(const uint8_t* bytes, size_t size, char** parameters, t2i_error** error);
/* What a function of this file says goes here; NULL does nothing. */
T2I_API void t2i_free(void* bytes);

#ifdef __cplusplus
}
#endif
