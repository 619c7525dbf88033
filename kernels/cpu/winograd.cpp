// 3x3 convolutions of stride 1 with fewer multiplications, of a picture as it is or doubled first: the forms
// and their formulas are in winograd-inl.h. Here a band of output rows goes through them block by block.
#include <algorithm>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace {

std::int64_t rounded_up(std::int64_t n, std::int64_t to) {
    return (n + to - 1) / to * to;
}

// ---- the filter ----

std::int64_t winograd_filter_floats(std::int64_t out_channels, std::int64_t in_channels, bool doubled) {
    const std::int64_t n = with_form(doubled, [](auto form) { return form.components; });
    return n * n * in_channels * rounded_up(out_channels, kLanes);
}

// Panels of two vectors of columns, the last perhaps of one: [panel][component][Cin][columns of the panel].
template <typename Form>
void pack(const float* w, std::int64_t out_channels, std::int64_t in_channels, float* packed) {
    const std::int64_t columns = rounded_up(out_channels, kLanes);
    for (std::int64_t begin = 0; begin < columns; begin += kPanel) {
        const std::int64_t width = HWY_MIN(kPanel, columns - begin);
        for (int i = 0; i < Form::components; ++i)
            for (int j = 0; j < Form::components; ++j)
                for (std::int64_t c = 0; c < in_channels; ++c)
                    for (std::int64_t o = begin; o < begin + width; ++o)
                        *packed++ = o < out_channels ? filter_component<Form>(w + (o * in_channels + c) * 9, i, j) : 0.0F;
    }
}

void pack_winograd(const float* w, std::int64_t out_channels, std::int64_t in_channels, bool doubled, float* packed) {
    with_form(doubled, [&](auto form) { pack<decltype(form)>(w, out_channels, in_channels, packed); });
}

// ---- how a band is cut ----

// Floats of one tile's products: all components times one panel, and a line more than a power of two, so that
// neighbouring tiles do not share cache sets.
constexpr std::int64_t products_of_tile(std::int64_t n) {
    return n * n * kPanel + 16;
}
// Floats of one component of kRows tiles, and a line more for the same reason.
constexpr std::int64_t component_of_group(std::int64_t channels) {
    return kRows * channels + 16;
}

// Memory of a band: a ring of input rows, which are normalised and have their padding; the components of a
// block of tiles; their products with one panel.
struct Blocks {
    template <typename Form>
    Blocks(const WinogradBand& b, Form /*form*/)
        : n(Form::components),
          step(Form::step),
          channels(rounded_up(b.channels, kLanes)),
          tiles_x((b.out_width + Form::outputs - 1) / Form::outputs) {
        // Few tiles, so that their components and products stay in the second-level cache (with 16 channels
        // some 110 KB; with several hundred even the fewest do not fit), and enough that fetching a panel
        // pays.
        constexpr std::int64_t wanted_floats = 32 * 1024, fewest = 2 * kRows, highest = 4 * kRows;
        std::int64_t most = wanted_floats / (n * n * channels) / kRows * kRows;
        most = HWY_MAX(fewest, HWY_MIN(most, highest));
        tile_rows = HWY_MIN(HWY_MAX(std::int64_t{1}, most / tiles_x), b.tile_row_end - b.tile_row_begin);
        const std::int64_t pieces = tile_rows > 1 ? 1 : (tiles_x + most - 1) / most;
        piece = rounded_up((tiles_x + pieces - 1) / pieces, pieces > 1 ? kRows : 1);
        tiles = rounded_up(tile_rows * piece, kRows);
        row_pixels = tiles_x * step + n - step;
        slots = n + (tile_rows - 1) * step;
    }
    [[nodiscard]] std::int64_t ring_floats() const { return slots * row_pixels * channels; }
    [[nodiscard]] std::int64_t component_floats() const { return tiles / kRows * n * n * component_of_group(channels); }
    [[nodiscard]] std::int64_t floats() const { return ring_floats() + component_floats() + tiles * products_of_tile(n); }

    std::int64_t n, step, channels;
    std::int64_t tiles_x;               // of the picture
    std::int64_t tile_rows = 0;         // of a block: several rows, or …
    std::int64_t piece = 0, tiles = 0;  // … a piece of one row; tiles of a block, rounded up
    std::int64_t row_pixels = 0, slots = 0;
};

// ---- the input ----

template <typename F>
struct Rounded {
    F f;
    template <int K>
    HWY_INLINE void all(VF* HWY_RESTRICT x) const {
        apply_all<K>(f, x);
        for (int i = 0; i < K; ++i) x[i] = round_to_bf16(x[i]);
    }
    HWY_INLINE VF operator()(VF x) const { return round_to_bf16(f(x)); }
};

// One row of the ring: row y of the picture, normalised, between zeros.
void fill_row(const WinogradBand& b, const Blocks& k, std::int64_t y, float* HWY_RESTRICT to) {
    const std::int64_t left = b.doubled ? 1 : b.left;
    if (y < 0 || y >= b.height) {
        std::memset(to, 0, static_cast<std::size_t>(k.row_pixels * k.channels) * sizeof(float));
        return;
    }
    std::memset(to, 0, static_cast<std::size_t>(left * k.channels) * sizeof(float));
    const std::int64_t right = k.row_pixels - left - b.width;
    std::memset(to + (left + b.width) * k.channels, 0, static_cast<std::size_t>(right * k.channels) * sizeof(float));
    to += left * k.channels;
    with_type(b.x, [&](const auto* picture) HWY_ATTR {
        const auto* from = picture + y * b.width * b.channels;
        if (b.mean)
            return with_function(b.input_function, [&](auto f) HWY_ATTR {
                const auto normalise = [&](auto g) HWY_ATTR {
                    normalise_pixels(from, b.channels, to, k.channels, b.width, b.channels, b.mean, b.gain, b.shift, g);
                };
                // In bf16 a normalised picture is one, written or not.
                b.x.is_bf16 ? normalise(Rounded<decltype(f)>{f}) : normalise(f);
            });
        const std::int64_t pixels = b.channels == k.channels ? b.width : 1;  // of one copy
        const std::int64_t count = pixels * b.channels;
        for (std::int64_t x = 0; x < b.width; x += pixels)
            for (std::int64_t i = 0; i < count; i += kLanes)
                store_some(load_some(from + x * b.channels + i, count - i), to + x * k.channels + i, count - i);
    });
}

// Bᵀ d B of `count` neighbouring tiles, the first at rows[.]. Components lie as [tiles / kRows][component]
// [channels / kLanes][kRows][kLanes], as multiply_groups reads them; the first tile is number `tile` there.
template <typename Form>
void transform_tiles(const float* const* rows, std::int64_t count, std::int64_t channels, std::int64_t tile,
                     float* HWY_RESTRICT components) {
    constexpr int N = Form::components;
    const std::int64_t next = component_of_group(channels), group = N * N * next;
    const float* at[N];
    std::int64_t tiles = 0;
    for (std::int64_t done = 0; done < count; done += tiles) {
        const std::int64_t row = (tile + done) % kRows;
        tiles = HWY_MIN(kRows - row, count - done);
        float* to = components + (tile + done) / kRows * group + row * kLanes;
        for (std::int64_t c = 0; c < channels; c += kLanes) {
            for (int i = 0; i < N; ++i) at[i] = rows[i] + done * Form::step * channels + c;
            transform_inputs<Form>(at, channels, tiles, to + c * kRows, next);
        }
    }
}

// ---- the products ----

// One component of R tiles, in groups of kRows that are `group` floats apart, times one panel: sums that stay
// in registers.
template <int N, int R, int Vectors>
HWY_INLINE void multiply_groups(const float* HWY_RESTRICT tiles, std::int64_t group, std::int64_t channels,
                                const float* HWY_RESTRICT panel, float* HWY_RESTRICT products) {
    const F32 d;
    VF sum[R][Vectors];
    HWY_UNROLL(24)
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < Vectors; ++v) sum[r][v] = hn::Zero(d);
    for (; channels > 0; channels -= kLanes, tiles += kRows * kLanes) {
        const float* HWY_RESTRICT at = tiles;
        const std::int64_t count = HWY_MIN(channels, kLanes);
        HWY_UNROLL(1)  // more, and the sums leave their registers
        for (std::int64_t i = 0; i < count; ++i, ++at, panel += Vectors * kLanes) {
            VF p[Vectors];
            for (int v = 0; v < Vectors; ++v) p[v] = load(panel + v * kLanes);
            HWY_UNROLL(24)
            for (int r = 0; r < R; ++r) {
                const VF x = hn::Set(d, at[r / kRows * group + r % kRows * kLanes]);
                for (int v = 0; v < Vectors; ++v) sum[r][v] = hn::MulAdd(x, p[v], sum[r][v]);
            }
        }
    }
    HWY_UNROLL(24)
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < Vectors; ++v) store(sum[r][v], products + r * products_of_tile(N) + v * kLanes);
}

// All components of a block times one panel: products [tile][component][Vectors · kLanes].
template <int N, int Vectors>
void multiply_block(const Blocks& k, std::int64_t channels, std::int64_t tiles, const float* components, const float* panel,
                    float* products) {
    const std::int64_t component = component_of_group(k.channels), group = N * N * component;
    for (std::int64_t i = 0; i < N * N; ++i, panel += channels * Vectors * kLanes) {
        const float* from = components + i * component;
        float* to = products + i * Vectors * kLanes;
        std::int64_t left = tiles;
        const auto multiply = [&]<int R>() HWY_ATTR {
            multiply_groups<N, R, Vectors>(from, group, channels, panel, to);
            from += R / kRows * group;
            to += R * products_of_tile(N);
            left -= R;
        };
        constexpr int most = Vectors == 1 ? 2 * kRows : kRows, fewer = kRows * 2 / 3;
        if constexpr (most > kRows)  // one group alone would wait for its own sums
            while (left > kRows) multiply.template operator()<most>();
        while (left > fewer) multiply.template operator()<kRows>();
        if (left > 0) multiply.template operator()<fewer>();
    }
}

// ---- the output ----

// Where the outputs of `count` neighbouring tiles go: `columns` channels from `column` on.
struct Outputs {
    std::int64_t count;
    std::int64_t pixel;   // of the first tile's first output, in the picture
    std::int64_t height;  // rows of a tile that are in the picture
    std::int64_t width;   // outputs in a row, from there on
    std::int64_t column, columns;
};

template <typename Form, int Vectors, bool Whole, typename T>
void write_tiles(const WinogradBand& b, const float* HWY_RESTRICT products, const Outputs& o, T* const out) {
    with_function(b.function, [&](auto f) HWY_ATTR {
        constexpr int N = Form::components, outputs = Form::outputs;
        const std::int64_t channels = b.out_channels, below = b.out_width * channels;
        const auto* residual = static_cast<const T*>(b.residual);
        VF bias[Vectors];
        for (int v = 0; v < Vectors; ++v)
            bias[v] = b.bias ? load_some(b.bias + o.column + v * kLanes, o.columns - v * kLanes) : hn::Zero(F32());
        // Where pixels have few channels and nothing lies between them, a whole vector is stored: what goes
        // past a pixel, its neighbour overwrites, which comes later. Not in place, where it is still to be
        // read, and not at the end of a row, after which other rows come.
        const bool may_spill = Vectors == 1 && channels == o.columns && !residual;
        std::int64_t at = o.pixel * channels + o.column;
        for (std::int64_t j = 0; j < o.count; ++j, at += outputs * channels, products += products_of_tile(N)) {
            const std::int64_t width = o.width - j * outputs;
            for (int v = 0; v < Vectors; ++v) {
                const std::int64_t some = Whole ? kLanes : o.columns - v * kLanes;
                const auto put = [&](std::int64_t row, int column, VF y) HWY_ATTR {
                    if (column >= width) return;
                    const std::int64_t to = at + v * kLanes + row * below + column * channels;
                    y = hn::Add(y, bias[v]);
                    if (residual) y = hn::Add(y, load_some(residual + to, some));
                    const bool spills = may_spill && (width - column) * channels >= kLanes;
                    store_some(f(y), out + to, spills ? kLanes : some);
                };
                transform_outputs<Form>(products + v * kLanes, Vectors * kLanes, o.height, put);
            }
        }
    });
}

// A block times one panel, and where it goes: rows of outputs[.].count tiles.
template <typename Form, int Vectors>
void make_outputs(const WinogradBand& b, const Blocks& k, const float* components, Outputs o, std::int64_t tile_rows,
                  float* products) {
    constexpr int N = Form::components, outputs = Form::outputs;
    multiply_block<N, Vectors>(k, b.channels, tile_rows * o.count, components, b.filter + o.column * N * N * b.channels,
                               products);
    for (std::int64_t y = o.pixel / b.out_width; tile_rows > 0; --tile_rows, y += outputs) {
        o.height = HWY_MIN(outputs, b.out_height - y);
        with_type(b.out, [&](auto* out) HWY_ATTR {
            if (o.columns == Vectors * kLanes) write_tiles<Form, Vectors, true>(b, products, o, out);
            else write_tiles<Form, Vectors, false>(b, products, o, out);
        });
        products += o.count * products_of_tile(N);
        o.pixel += outputs * b.out_width;
    }
}

// ---- a band ----

template <typename Form>
void run_band(const WinogradBand& b, float* scratch) {
    constexpr int N = Form::components, outputs = Form::outputs;
    const Blocks k(b, Form());
    float* ring = scratch;
    float* components = ring + k.ring_floats();
    float* products = components + k.component_floats();
    const std::int64_t row_floats = k.row_pixels * k.channels, above = b.doubled ? 1 : b.top;
    const std::int64_t first_row = b.tile_row_begin * k.step - above;
    std::int64_t filled = first_row;  // rows up to here are, or were, in the ring
    const auto slot = [&](std::int64_t y) { return ring + (y - first_row) % k.slots * row_floats; };

    for (std::int64_t tile_row = b.tile_row_begin; tile_row < b.tile_row_end; tile_row += k.tile_rows) {
        const std::int64_t tile_rows = HWY_MIN(k.tile_rows, b.tile_row_end - tile_row);
        const std::int64_t last_row = (tile_row + tile_rows - 1) * k.step - above + N;
        for (; filled < last_row; ++filled) fill_row(b, k, filled, slot(filled));
        for (std::int64_t begin = 0; begin < k.tiles_x; begin += k.piece) {
            const std::int64_t piece = HWY_MIN(k.piece, k.tiles_x - begin);
            for (std::int64_t r = 0; r < tile_rows; ++r) {
                const float* rows[N];
                for (int i = 0; i < N; ++i) rows[i] = slot((tile_row + r) * k.step - above + i) + begin * k.step * k.channels;
                transform_tiles<Form>(rows, piece, k.channels, r * piece, components);
            }
            for (std::int64_t column = b.column_begin; column < b.column_end; column += kPanel) {
                const Outputs o{.count = piece,
                                .pixel = outputs * (tile_row * b.out_width + begin),
                                .height = outputs,
                                .width = b.out_width - outputs * begin,
                                .column = column,
                                .columns = HWY_MIN(kPanel, b.column_end - column)};
                if (o.columns > kLanes) make_outputs<Form, 2>(b, k, components, o, tile_rows, products);
                else make_outputs<Form, 1>(b, k, components, o, tile_rows, products);
            }
        }
    }
}

std::int64_t winograd_tile(bool doubled) {
    return with_form(doubled, [](auto form) { return form.outputs; });
}

std::int64_t winograd_scratch(const WinogradBand& b) {
    return with_form(b.doubled, [&](auto form) { return Blocks(b, form).floats(); });
}

void winograd_band(const WinogradBand& b, float* scratch) {
    with_form(b.doubled, [&](auto form) { run_band<decltype(form)>(b, scratch); });
}

}  // namespace
}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace t2i::cpu {
HWY_EXPORT(winograd_filter_floats);
HWY_EXPORT(pack_winograd);
HWY_EXPORT(winograd_tile);
HWY_EXPORT(winograd_scratch);
HWY_EXPORT(winograd_band);

std::int64_t winograd_filter_floats(std::int64_t out_channels, std::int64_t in_channels, bool doubled) {
    return HWY_DYNAMIC_DISPATCH(winograd_filter_floats)(out_channels, in_channels, doubled);
}
void pack_winograd(const float* w, std::int64_t out_channels, std::int64_t in_channels, bool doubled, float* packed) {
    HWY_DYNAMIC_DISPATCH(pack_winograd)(w, out_channels, in_channels, doubled, packed);
}
std::int64_t winograd_tile(bool doubled) {
    return HWY_DYNAMIC_DISPATCH(winograd_tile)(doubled);
}
std::int64_t winograd_scratch(const WinogradBand& band) {
    return HWY_DYNAMIC_DISPATCH(winograd_scratch)(band);
}
void winograd_band(const WinogradBand& band, float* scratch) {
    HWY_DYNAMIC_DISPATCH(winograd_band)(band, scratch);
}

WinogradBands winograd_bands(const WinogradBand& picture, std::int64_t batch) {
    // About 16 bands a picture: their first two rows of input are made twice, which counts most where there
    // are few channels, and such pictures are high. Many columns are cut, too.
    constexpr std::int64_t bands_wanted = 16, columns_wanted = 128;
    const std::int64_t tile = winograd_tile(picture.doubled), tile_rows = (picture.out_height + tile - 1) / tile,
                       each = std::max<std::int64_t>(1, tile_rows / bands_wanted);
    WinogradBands bands{.picture = picture,
                        .batch = batch,
                        .tile_rows = each,
                        .columns = columns_wanted,
                        .row_parts = (tile_rows + each - 1) / each,
                        .column_parts = (picture.out_channels + columns_wanted - 1) / columns_wanted};
    bands.picture.tile_row_begin = bands.picture.column_begin = 0;
    bands.picture.tile_row_end = tile_rows;
    bands.picture.column_end = picture.out_channels;
    return bands;
}

WinogradBand band_of(const WinogradBands& bands, std::int64_t part) {
    WinogradBand band = bands.picture;
    const std::int64_t b = part / bands.row_parts % bands.batch, in = b * band.height * band.width * band.channels,
                       out = b * band.out_height * band.out_width * band.out_channels;
    const auto bytes = [](bool is_bf16) -> std::int64_t { return is_bf16 ? sizeof(std::uint16_t) : sizeof(float); };
    band.x.data = static_cast<const std::byte*>(band.x.data) + in * bytes(band.x.is_bf16);
    band.out.data = static_cast<std::byte*>(band.out.data) + out * bytes(band.out.is_bf16);
    if (band.residual) band.residual = static_cast<const std::byte*>(band.residual) + out * bytes(band.out.is_bf16);
    if (band.mean) {
        band.mean += b * band.channels;
        band.gain += b * band.channels;
    }
    band.tile_row_begin = part % bands.row_parts * bands.tile_rows;
    band.tile_row_end = std::min(band.tile_row_end, band.tile_row_begin + bands.tile_rows);
    band.column_begin = part / (bands.row_parts * bands.batch) * bands.columns;
    band.column_end = std::min(band.column_end, band.column_begin + bands.columns);
    return band;
}
}  // namespace t2i::cpu
#endif
