// What lies around the model in the pipeline: the cache of texts, the thread that writes pictures.
#include <algorithm>
#include <filesystem>

#include "backend/registry.h"
#include "generators/prompts.h"
#include "pipeline/picture_writer.h"
#include "support/files.h"
#include "unit/expect_error.h"

namespace t2i::test {
namespace {

using Ids = std::vector<std::int32_t>;

// A text is its ids, once a row; counts what it was asked.
class CountingEncoder final : public TextEncoder {
  public:
    [[nodiscard]] std::int64_t width() const override { return 1; }
    [[nodiscard]] std::int64_t vocabulary() const override { return 100; }
    void encode(const ExecContext& ctx, std::span<const Text> texts) const override {
        ++calls;
        for (const Text& text : texts) encode_one(ctx, text.ids, text.out);
    }
    bool is_resident() const override { return resident; }
    void encode_one(const ExecContext&, std::span<const std::int32_t> ids, const TensorView& out) const {
        asked.emplace_back(ids.begin(), ids.end());
        std::ranges::copy(ids, out.as<float>().begin());
    }
    mutable std::vector<Ids> asked;
    mutable int calls = 0;
    bool resident = true;
};

Image picture(std::uint8_t value) {
    return {.width = 2, .height = 1, .rgb = std::vector<std::uint8_t>(6, value), .seed = 0, .parameters = {}};
}

}  // namespace

TEST_CASE("prompts to come are encoded along where the encoder must be read anyway") {
    const auto backend = make_backend("ref");
    Arena scratch([&](std::size_t bytes) { return backend->allocate(bytes); });
    const ExecContext ctx{*backend, scratch, nullptr};
    CountingEncoder encoder;
    encoder.resident = false;
    TextCache cache(100);
    int looked = 0;
    std::vector<Ids> waiting;
    for (std::int32_t i = 0; i < 90; ++i) waiting.push_back({i});
    const Ahead ahead = [&](std::size_t enough) {
        CHECK(enough <= 64);
        ++looked;
        return waiting;
    };
    const auto first = std::vector<Ids>{{7}, {99}};
    CHECK(cache.encode(ctx, encoder, first, ahead).at(1)->as<float>()[0] == 99.0F);
    CHECK(encoder.calls == 1);
    CHECK(looked == 1);
    REQUIRE(encoder.asked.size() == 64);  // a group, those that were asked for among it
    CHECK(std::ranges::count(encoder.asked, Ids{7}) == 1);
    CHECK(std::ranges::count(encoder.asked, Ids{0}) == 1);
    for (std::int32_t i = 0; i < 62; ++i) CHECK(cache.encode(ctx, encoder, std::vector<Ids>{{i}}, ahead).size() == 1);
    CHECK(encoder.calls == 1);
    CHECK(looked == 1);
    CHECK(cache.encode(ctx, encoder, std::vector<Ids>{{80}}, ahead).size() == 1);
    CHECK(encoder.calls == 2);
    CHECK(encoder.asked.size() == 64 + 27);  // all the others

    encoder.resident = true;  // it costs nothing to encode a prompt when it is wanted
    TextCache another(100);
    CHECK(another.encode(ctx, encoder, std::vector<Ids>{{1}}, ahead).size() == 1);
    CHECK(looked == 2);
    CHECK(encoder.asked.size() == 64 + 27 + 1);
    encoder.resident = false;
    TextCache small(3);  // what is not kept need not be made
    CHECK(small.encode(ctx, encoder, std::vector<Ids>{{1}}, ahead).size() == 1);
    CHECK(encoder.asked.size() == 64 + 27 + 1 + 3);
}

TEST_CASE("a text is encoded once while it is remembered") {
    const auto backend = make_backend("ref");
    Arena scratch([&](std::size_t bytes) { return backend->allocate(bytes); });
    const ExecContext ctx{*backend, scratch, nullptr};
    const CountingEncoder encoder;
    TextCache cache(2);
    const auto check = [&](const std::vector<Ids>& prompts, const std::vector<Ids>& asked) {
        encoder.asked.clear();
        const auto texts = cache.encode(ctx, encoder, prompts);
        CHECK(encoder.asked == asked);
        REQUIRE(texts.size() == prompts.size());
        for (std::size_t i = 0; i < prompts.size(); ++i) {
            const auto rows = texts[i]->as<float>();
            CHECK(std::ranges::equal(rows, prompts[i], [](float a, std::int32_t b) { return a == static_cast<float>(b); }));
        }
    };
    const Ids a{1}, b{2, 3}, c{4, 5, 6};
    check({a, b, a}, {a, b});
    check({b, a}, {});
    check({c}, {c});  // the one used longest ago, b, is forgotten
    check({a}, {});
    check({b, c}, {b});
    check({a, b, c}, {a});  // more than it remembers, yet each is right
    TextCache none(0);
    CHECK(none.encode(ctx, encoder, std::vector<Ids>{a}).size() == 1);
    encoder.asked.clear();
    CHECK(none.encode(ctx, encoder, std::vector<Ids>{a}).size() == 1);
    CHECK(encoder.asked == std::vector<Ids>{a});
}

TEST_CASE("pictures are written in order, whole, and told of when they are on disk") {
    const TempFolder folder;
    std::vector<std::string> written;
    {
        PictureWriter writer(
            [&](const std::string& path) {
                CHECK(std::filesystem::exists(path));
                written.push_back(path);
            },
            nullptr, 2);
        for (int i = 0; i < 20; ++i)
            writer.write((folder.path() / (std::to_string(i) + ".png")).string(), picture(static_cast<std::uint8_t>(i)));
        writer.finish();
        writer.finish();
    }
    REQUIRE(written.size() == 20);
    for (int i = 0; i < 20; ++i)
        CHECK(written[static_cast<std::size_t>(i)] == (folder.path() / (std::to_string(i) + ".png")).string());
}

TEST_CASE("nothing is written after a failure, and the failure is told") {
    const TempFolder folder;
    std::vector<std::string> written;
    PictureWriter writer([&](const std::string& path) { written.push_back(path); });
    writer.write((folder.path() / "a.png").string(), picture(1));
    writer.finish();
    const auto lost = (folder.path() / "nowhere" / "b.png").string();
    const auto hand_over = [&] {
        writer.write(lost, picture(2));
        writer.write((folder.path() / "c.png").string(), picture(3));
        writer.finish();
    };
    CHECK(contains(message_of(ErrorCode::input, hand_over), "nowhere"));
    CHECK(message_of(ErrorCode::input, [&] { writer.write((folder.path() / "d.png").string(), picture(4)); }).size() > 0);
    CHECK(written == std::vector{(folder.path() / "a.png").string()});
    CHECK_FALSE(std::filesystem::exists(folder.path() / "c.png"));
    CHECK_FALSE(std::filesystem::exists(folder.path() / "d.png"));
}

}  // namespace t2i::test
