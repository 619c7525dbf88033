// Weights in types that only store: the picture is that of the same values in f32.
#include <algorithm>
#include <cmath>
#include <memory>

#include "checkpoint/safetensors.h"
#include "core/files.h"
#include "e2e/tiny_model.h"
#include "support/place.h"
#include "support/run_t2i.h"

namespace t2i::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* transformer = "transformer/diffusion_pytorch_model.safetensors";
constexpr const char* vae = "vae/diffusion_pytorch_model.safetensors";
constexpr const char* text_encoder = "text_encoder/model.safetensors";

template <typename F8>
F8 nearest(float value) {
    F8 best{0};
    for (int bits = 0; bits < 256; ++bits) {
        const F8 code{static_cast<std::uint8_t>(bits)};
        if (std::isfinite(to_f32(code)) && std::abs(to_f32(code) - value) < std::abs(to_f32(best) - value)) best = code;
    }
    return best;
}

// Rewrites a file of weights: every tensor, or matrices alone, in `dtype`; as_f32: the values that these have, in f32.
void rewrite(const fs::path& path, DType dtype, bool matrices_alone, bool as_f32) {
    std::vector<std::unique_ptr<Tensor>> owned;
    std::vector<NamedTensor> tensors;
    {
        const auto reader = open_checkpoint(path.string());
        for (const auto& entry : reader->entries()) {
            const TensorView view = reader->tensor(entry.name);
            auto tensor = std::make_unique<Tensor>(Tensor::host(entry.shape));
            convert_to_f32(view.data, view.dtype, static_cast<std::size_t>(view.elements()), tensor->as<float>().data());
            if (!matrices_alone || entry.shape.rank() == 2) {
                auto stored = std::make_unique<Tensor>(Tensor::host(entry.shape, dtype));
                const auto from = tensor->as<float>();
                for (std::size_t i = 0; i < from.size(); ++i) {
                    if (dtype == DType::f64) stored->as<double>()[i] = from[i];
                    if (dtype == DType::f8_e4m3) stored->as<f8_e4m3>()[i] = nearest<f8_e4m3>(from[i]);
                    if (dtype == DType::f8_e5m2) stored->as<f8_e5m2>()[i] = nearest<f8_e5m2>(from[i]);
                }
                if (as_f32) convert_to_f32(stored->view.data, dtype, from.size(), tensor->as<float>().data());
                else tensor = std::move(stored);
            }
            owned.push_back(std::move(tensor));
            tensors.push_back({entry.name, *owned.back()});
        }
    }
    write_safetensors(path.string(), tensors);
}

// The picture that the folder draws, without what its metadata says of the folder.
std::string drawn(const fs::path& model) {
    const std::string out = (model / "out.png").string();
    const Outcome run =
        run_t2i({"-m", model.string(), "-p", "a red apple", "--steps", "1", "--dtype", "f32", "--no-metadata", "-o", out});
    INFO(run.err);
    REQUIRE(run.code == 0);
    return file_text(out);
}

TEST_CASE("weights in F64, F8_E4M3 and F8_E5M2 draw what the same values in f32 draw") {
    const DType dtype = GENERATE(DType::f64, DType::f8_e4m3, DType::f8_e5m2);
    const bool is_exact = dtype == DType::f64;
    const TempFolder folder;
    const fs::path stored = folder.path() / "stored", plain = folder.path() / "plain";
    for (const fs::path& model : {stored, plain}) {
        copy_tiny_model(model);
        for (const char* file : {transformer, vae, text_encoder})
            if (is_exact || file != vae) rewrite(model / file, dtype, !is_exact, model == plain);
    }
    CHECK(drawn(stored) == drawn(plain));
    const Outcome inspect = run_t2i({"inspect", (stored / transformer).string()});
    CHECK(inspect.out.find(is_exact ? "F64" : "F8_E") != std::string::npos);
}

TEST_CASE("inspect lists what files of PyTorch and GGUF hold, and says which dictionary is read") {
    const auto golden = [](const char* name) { return (source_folder() / "tests/golden/containers" / name).string(); };
    const Outcome torch = run_t2i({"inspect", golden("training.pt")});
    INFO(torch.err);
    REQUIRE(torch.code == 0);
    CHECK(torch.out.starts_with("# of these, \"ema\" is read as the weights\n"));
    CHECK(torch.out.find("F32      [3, 4]               model.x.weight\n") != std::string::npos);
    CHECK(torch.out.find("F32      [3, 4]               opt.state.0.exp_avg\n") != std::string::npos);
    const Outcome gguf = run_t2i({"inspect", "--json", golden("types.gguf")});
    REQUIRE(gguf.code == 0);
    CHECK(gguf.out.find(R"("kind":"checkpoint")") != std::string::npos);
    CHECK(gguf.out.find(R"({"name":"q4_k","dtype":"Q4_K","shape":"[2, 256]"})") != std::string::npos);
    CHECK(gguf.out.find(R"("tokens":"[3 texts]")") != std::string::npos);
    const TempFolder folder;
    const std::string evil = write_file(folder / "evil.pt", "\x80\x02\x8A\x0Al\xFC\x9C");
    const Outcome refused = run_t2i({"inspect", evil});
    CHECK(refused.code == 3);
    CHECK(refused.err == "t2i: error: " + evil + ": pickle: cut short at byte 7; fetch the file again\n");
}

}  // namespace
}  // namespace t2i::test
