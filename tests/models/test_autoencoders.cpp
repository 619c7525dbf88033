// Autoencoders against diffusers (scripts/golden/autoencoders.py).
#include "models/registry.h"
#include "support/catch.h"
#include "support/fixture.h"

namespace t2i::test {
namespace {

// The reference keeps channels first; the roles have pictures channels-last.
Tensor channels_last(Machine& machine, const TensorView& x) {
    Tensor out = Tensor::host({x.shape[0], x.shape[2], x.shape[3], x.shape[1]});
    machine.backend->to_channels_last(x, out);
    return out;
}

struct Errors {
    double decode, encode;
};

Errors measure(const nlohmann::json& c, const std::string& backend, DType compute, const FolderOptions& options = {}) {
    const auto results = read_results("autoencoders");
    const auto name = c.at("name").get<std::string>();
    const TempFolder folder;
    write_component(c, folder.path(), options);
    Machine machine(backend);
    const auto decoder = load_decoder(*machine.backend, folder.path().string(), compute);
    const auto encoder = load_encoder(*machine.backend, folder.path().string(), compute);
    CHECK(decoder->factor() == encoder->factor());

    const Tensor expected_rgb = channels_last(machine, results->tensor(name + ".decoded"));
    const Tensor rgb = Tensor::host(expected_rgb.shape());
    decoder->decode(machine.ctx(), generate(c.at("latents")), rgb);

    const TensorView expected_latents = results->tensor(name + ".encoded");
    const Tensor latents = Tensor::host(expected_latents.shape);
    encoder->encode(machine.ctx(), channels_last(machine, generate(c.at("rgb"))), latents, {});
    return {relative_error(rgb, expected_rgb), relative_error(latents, expected_latents)};
}

std::string deprecated(std::string name) {
    for (const auto& [now, before] : {std::pair{".to_q.", ".query."}, std::pair{".to_k.", ".key."},
                                      std::pair{".to_v.", ".value."}, std::pair{".to_out.0.", ".proj_attn."}})
        if (const auto at = name.find(now); at != std::string::npos) name.replace(at, std::string(now).size(), before);
    return name;
}

void check_class(const std::string& key, const std::string& component) {
    const auto manifest = read_manifest("autoencoders");
    for (const auto& c : manifest.at(key))
        for (const char* backend : {"ref", "cpu"}) {
            const auto label = c.at("name").get<std::string>() + " f32 " + backend;
            const Errors errors = measure(c, backend, DType::f32);
            check_parity(component, label + " decode", errors.decode, 1e-4);
            check_parity(component, label + " encode", errors.encode, 1e-4);
        }
}

}  // namespace

TEST_CASE("AutoencoderKL agrees with diffusers") {
    check_class("kl", "AutoencoderKL");
}

TEST_CASE("AutoencoderTiny agrees with diffusers") {
    check_class("tiny", "AutoencoderTiny");
}

TEST_CASE("Autoencoders in bf16 stay near the f32 reference") {
    const auto backends = backends_with(DType::bf16);
    const auto manifest = read_manifest("autoencoders");
    for (const char* key : {"kl", "tiny"})
        for (const auto& c : manifest.at(key))
            for (const auto& backend : backends) {
                const std::string component = key == std::string("kl") ? "AutoencoderKL" : "AutoencoderTiny";
                const auto label = c.at("name").get<std::string>() + " bf16 " + backend;
                const Errors errors = measure(c, backend, DType::bf16);
                check_parity(component, label + " decode", errors.decode, 3e-2);
                check_parity(component, label + " encode", errors.encode, 3e-2);
            }
}

TEST_CASE("AutoencoderKL reads the deprecated names of its attention") {
    const Errors errors = measure(read_manifest("autoencoders").at("kl").at(0), "cpu", DType::f32, {.rename = deprecated});
    CHECK(errors.decode <= 1e-4);
    CHECK(errors.encode <= 1e-4);
}

TEST_CASE("TAESD's published weights agree with PyTorch") {
    const auto folder = shared_data("weights/taesd");
    if (!folder) return;
    const auto results = read_results("autoencoders");
    for (const char* backend : {"ref", "cpu"}) {
        Machine machine(backend);
        const auto encoder = load_encoder(*machine.backend, (*folder / "taesd_encoder.safetensors").string(), DType::f32);
        const auto decoder = load_decoder(*machine.backend, (*folder / "taesd_decoder.safetensors").string(), DType::f32);
        CHECK(decoder->factor() == 8);
        const TensorView expected_latents = results->tensor("taesd.encoded");
        const Tensor latents = Tensor::host(expected_latents.shape);
        encoder->encode(machine.ctx(), channels_last(machine, results->tensor("taesd.rgb")), latents, {});
        check_parity("TAESD", std::string("published weights f32 ") + backend + " encode",
                     relative_error(latents, expected_latents), 1e-4);
        const Tensor expected_rgb = channels_last(machine, results->tensor("taesd.decoded"));
        const Tensor rgb = Tensor::host(expected_rgb.shape());
        decoder->decode(machine.ctx(), expected_latents, rgb);
        check_parity("TAESD", std::string("published weights f32 ") + backend + " decode", relative_error(rgb, expected_rgb),
                     1e-4);
    }
}

}  // namespace t2i::test
