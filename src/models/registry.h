// From a component, a folder or a file, to the model in it: its class picks a row of a table.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/component.h"
#include "models/published.h"
#include "models/roles.h"
#include "t2i/log.h"

namespace t2i {

// Where a component lies, and what a pipeline says of it.
struct ComponentSource {
    ComponentSource(std::string where, std::string its_class = {}, std::string its_variant = {}, Log listener = {})
        : path(std::move(where)), class_name(std::move(its_class)), variant(std::move(its_variant)), log(std::move(listener)) {}
    std::string path;        // a folder (config.json and weights), or a file: see models/published.h
    std::string class_name;  // as model_index.json names it; empty: as config.json does
    std::string variant;     // of the weights' files: see ComponentFolder
    Log log;                 // hears of tensors that are passed over: one line a component
    PartHints hints{};       // of a file: what its names and shapes leave open, without the file's own place
};

// What a single file is, from its names and shapes alone. Throws Error{input}: it cannot be read, or is no part of a model.
struct PartDescription {
    PartKind kind = PartKind::denoiser;
    std::string title{};               // "facebook's DiT-XL/2, 256x256"
    std::int64_t values = 0;           // numbers in its tensors
    std::string pipeline{};            // class of the pipeline that it is made for; empty: several
    bool is_facebooks = false;         // see is_facebooks()
    std::string config{};              // JSON, as config.json would have it
    std::vector<std::string> notes{};  // what of the config neither names nor shapes say, and what did
    bool has_config = false;           // a config.json of its own lies beside it
};
[[nodiscard]] PartDescription describe_part(const std::string& file, const PartHints& hints = {});
// Of a transformer, which may also be a folder with a config.json; of its weights the names alone are looked at, where there are
// any. Throws Error{input}: it is none.
[[nodiscard]] PartDescription describe_denoiser(const ComponentSource& source);

// `compute` is the dtype of activations in matrix products: f32 or bf16. All throw Error{input} naming the
// file: a class that is not known, a key missing from the config or out of range, a tensor missing or wrongly shaped.
// Weights of more bytes than most_resident_bytes are not kept in memory, see TextEncoder::is_resident().
[[nodiscard]] std::unique_ptr<TextEncoder> load_text_encoder(Backend& backend, const ComponentSource& source, DType compute,
                                                             std::size_t most_resident_bytes = SIZE_MAX);
[[nodiscard]] std::unique_ptr<Denoiser> load_denoiser(Backend& backend, const ComponentSource& source, DType compute);
[[nodiscard]] std::unique_ptr<Decoder> load_decoder(Backend& backend, const ComponentSource& source, DType compute);
[[nodiscard]] std::unique_ptr<LatentEncoder> load_encoder(Backend& backend, const ComponentSource& source, DType compute);

// The weights of any part, under the names that models ask for, and its config.
struct OpenedPart {
    PartKind kind = PartKind::denoiser;
    std::unique_ptr<CheckpointReader> reader;
    std::string config;         // JSON: config.json, or what a file's names and shapes say
    bool is_facebooks = false;  // see is_facebooks()
};
// Throws Error{input} as the loaders do about what is read, and where config.json names a class of no part.
[[nodiscard]] OpenedPart open_part(const ComponentSource& source);

// The config of a single file without a config.json beside it, JSON; empty for any other path and for a TAESD file. Part of what
// a picture depends on, beside the files below. Throws as describe_part() does.
[[nodiscard]] std::string derived_config(const ComponentSource& source);
// Whether it would load, by names and shapes alone: no weight is read. They throw and log what the loaders throw and log, but of
// the weights' values.
void rehearse_text_encoder(const ComponentSource& source);
void rehearse_denoiser(const ComponentSource& source);
void rehearse_decoder(const ComponentSource& source);
void rehearse_encoder(const ComponentSource& source);  // an autoencoder's other half, which a file may lack

// The files that the loaders read: config.json and the weights, of a single file also what it needs beside itself. They throw
// Error{input} as the loaders do about a file that is not there.
[[nodiscard]] std::vector<std::string> text_encoder_files(const ComponentSource& source);
[[nodiscard]] std::vector<std::string> denoiser_files(const ComponentSource& source);
[[nodiscard]] std::vector<std::string> decoder_files(const ComponentSource& source);

// From config.json alone, or a file's names and shapes; both throw what the loaders throw about it.
[[nodiscard]] GridSizes read_denoiser_sizes(const ComponentSource& source);
// Pixels per latent in each direction of the decoder that load_decoder() makes of the same source.
[[nodiscard]] std::int64_t read_decoder_factor(const ComponentSource& source);

}  // namespace t2i
