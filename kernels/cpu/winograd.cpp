// 3x3 convolutions with fewer multiplications: F(2x2, 3x3) of Lavin & Gray 2015 (arXiv:1509.09308). A tile of
// 2x2 outputs is Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, with d the 4x4 inputs that it sees:
//        1  0 -1  0          1    0   0
//   Bᵀ = 0  1  1  0    G =  1/2  1/2 1/2    Aᵀ = 1 1  1  0
//        0 -1  1  0         1/2 -1/2 1/2         0 1 -1 -1
//        0  1  0 -1          0    0   1
// The product ⊙ is one small matrix product over the channels for each of the 16 components, so that an
// output takes 4 multiplications a channel instead of 9.
//
// Of a picture that is doubled first (nearest neighbour) a tile at an even pixel sees (p, q, q, r) along each
// axis. The third component, q - q, is then zero; without it, and with the factor 2 of the second one moved
// to G, 9 components are left, made from 3x3 pixels of the small picture, 2.25 multiplications an output:
//        1 -1  0         1 0 0
//   Bᵀ = 0  1  0    G =  1 1 1    Aᵀ = 1 1  0
//        0  1 -1         0 0 1         0 1 -1
//
// All divisors are powers of two, so that small integers stay exact.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace t2i::cpu::HWY_NAMESPACE {
namespace {

std::int64_t rounded_up(std::int64_t n, std::int64_t to) {
    return (n + to - 1) / to * to;
}

// Components along one axis, and how many inputs apart two tiles are.
constexpr std::int64_t components(bool doubled) {
    return doubled ? 3 : 4;
}
constexpr std::int64_t tile_step(bool doubled) {
    return doubled ? 1 : 2;
}

// ---- the filter ----

std::int64_t winograd_filter_floats(std::int64_t out_channels, std::int64_t in_channels, bool doubled) {
    const std::int64_t n = components(doubled);
    return n * n * in_channels * rounded_up(out_channels, kLanes);
}

// Panels of two vectors of columns, the last perhaps of one: [panel][component][Cin][columns of the panel].
void pack_winograd(const float* w, std::int64_t out_channels, std::int64_t in_channels, bool doubled,
                   float* packed) {
    constexpr double whole[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    constexpr double halved[3][3] = {{1, 0, 0}, {1, 1, 1}, {0, 0, 1}};
    const auto* g = doubled ? halved : whole;
    const std::int64_t n = components(doubled), columns = rounded_up(out_channels, kLanes);
    for (std::int64_t begin = 0; begin < columns; begin += kPanel) {
        const std::int64_t width = HWY_MIN(kPanel, columns - begin);
        for (std::int64_t i = 0; i < n; ++i)
            for (std::int64_t j = 0; j < n; ++j)
                for (std::int64_t c = 0; c < in_channels; ++c)
                    for (std::int64_t o = begin; o < begin + width; ++o) {
                        double sum = 0;
                        if (o < out_channels)
                            for (int y = 0; y < 3; ++y)
                                for (int x = 0; x < 3; ++x)
                                    sum += g[i][y] * g[j][x] *
                                           static_cast<double>(w[((o * in_channels + c) * 3 + y) * 3 + x]);
                        *packed++ = static_cast<float>(sum);
                    }
    }
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
    explicit Blocks(const WinogradBand& b)
        : n(components(b.doubled)),
          step(tile_step(b.doubled)),
          channels(rounded_up(b.channels, kLanes)),
          tiles_x((b.out_width + 1) / 2) {
        // Few tiles: with few channels their components and products nearly fit the first-level cache, with
        // many the components fit the second. Enough tiles that fetching a panel pays.
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
    [[nodiscard]] std::int64_t component_floats() const {
        return tiles / kRows * n * n * component_of_group(channels);
    }
    [[nodiscard]] std::int64_t floats() const {
        return ring_floats() + component_floats() + tiles * products_of_tile(n);
    }

    std::int64_t n, step, channels;
    std::int64_t tiles_x;               // of the picture
    std::int64_t tile_rows = 0;         // of a block: several rows, or …
    std::int64_t piece = 0, tiles = 0;  // … a piece of one row; tiles of a block, rounded up
    std::int64_t row_pixels = 0, slots = 0;
};

// ---- the input ----

// One row of the ring: row y of the picture, normalised, between zeros.
void fill_row(const WinogradBand& b, const Blocks& k, std::int64_t y, float* HWY_RESTRICT to) {
    const std::int64_t left = b.doubled ? 1 : b.left;
    if (y < 0 || y >= b.height) {
        std::memset(to, 0, static_cast<std::size_t>(k.row_pixels * k.channels) * sizeof(float));
        return;
    }
    std::memset(to, 0, static_cast<std::size_t>(left * k.channels) * sizeof(float));
    const std::int64_t right = k.row_pixels - left - b.width;
    std::memset(to + (left + b.width) * k.channels, 0,
                static_cast<std::size_t>(right * k.channels) * sizeof(float));
    const float* from = b.x + y * b.width * b.channels;
    to += left * k.channels;
    if (b.mean)
        return with_function(b.input_function, [&](auto f) HWY_ATTR {
            normalise_pixels(from, b.channels, to, k.channels, b.width, b.channels, b.mean, b.gain, b.shift,
                             f);
        });
    const std::int64_t together = b.channels == k.channels ? b.width : 1;  // pixels of one copy
    for (std::int64_t x = 0; x < b.width; x += together)
        std::memcpy(to + x * k.channels, from + x * b.channels,
                    static_cast<std::size_t>(together * b.channels) * sizeof(float));
}

// Bᵀ along one column of inputs, `at` floats from the start of each row.
template <int N>
HWY_INLINE void transform_column(const float* const* rows, std::int64_t at, VF* HWY_RESTRICT t) {
    const VF d0 = load(rows[0] + at), d1 = load(rows[1] + at), d2 = load(rows[2] + at);
    if constexpr (N == 3) {
        t[0] = hn::Sub(d0, d1);
        t[1] = d1;
        t[2] = hn::Sub(d1, d2);
    } else {
        t[0] = hn::Sub(d0, d2);
        t[1] = hn::Add(d1, d2);
        t[2] = hn::Sub(d2, d1);
        t[3] = hn::Sub(d1, load(rows[3] + at));
    }
}

// Bᵀ d B of `count` neighbouring tiles, the first at rows[.]. Components lie as [tiles / kRows][component]
// [channels / kLanes][kRows][kLanes], as multiply_groups reads them; the first tile is number `tile` there.
template <int N>
void transform_tiles(const float* const* rows, std::int64_t count, std::int64_t channels, std::int64_t tile,
                     float* HWY_RESTRICT components) {
    const std::int64_t next = component_of_group(channels), group = N * N * next;
    for (std::int64_t c = 0; c < channels; c += kLanes) {
        VF t0[N], t1[N], t2[N], t3[N];
        transform_column<N>(rows, c, t0);
        transform_column<N>(rows, c + channels, t1);
        std::int64_t row = tile % kRows;
        float* HWY_RESTRICT to = components + tile / kRows * group + c * kRows + row * kLanes;
        for (std::int64_t j = 0; j < count; ++j) {
            if constexpr (N == 3) {
                transform_column<N>(rows, c + (j + 2) * channels, t2);
                HWY_UNROLL(3)
                for (int l = 0; l < 3; ++l) {
                    store(hn::Sub(t0[l], t1[l]), to + (3 * l) * next);
                    store(t1[l], to + (3 * l + 1) * next);
                    store(hn::Sub(t1[l], t2[l]), to + (3 * l + 2) * next);
                    t0[l] = t1[l];
                    t1[l] = t2[l];
                }
            } else {
                transform_column<N>(rows, c + (2 * j + 2) * channels, t2);
                HWY_UNROLL(4)
                for (int l = 0; l < 4; ++l) {
                    store(hn::Sub(t0[l], t2[l]), to + (4 * l) * next);
                    store(hn::Add(t1[l], t2[l]), to + (4 * l + 1) * next);
                    store(hn::Sub(t2[l], t1[l]), to + (4 * l + 2) * next);
                    t0[l] = t2[l];
                }
                transform_column<N>(rows, c + (2 * j + 3) * channels, t3);
                HWY_UNROLL(4)
                for (int l = 0; l < 4; ++l) {
                    store(hn::Sub(t1[l], t3[l]), to + (4 * l + 3) * next);
                    t1[l] = t3[l];
                }
            }
            to += kLanes;
            if (++row == kRows) {  // on to the next group
                row = 0;
                to += group - kRows * kLanes;
            }
        }
    }
}

// ---- the products ----

// One component of Groups · kRows tiles, `group` floats apart, times one panel: sums that stay in registers.
template <int N, int Groups, int Vectors>
HWY_INLINE void multiply_groups(const float* HWY_RESTRICT tiles, std::int64_t group, std::int64_t channels,
                                const float* HWY_RESTRICT panel, float* HWY_RESTRICT products) {
    const F32 d;
    constexpr int R = Groups * kRows;
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
void multiply_block(const Blocks& k, std::int64_t channels, std::int64_t tiles, const float* components,
                    const float* panel, float* products) {
    const std::int64_t component = component_of_group(k.channels), group = N * N * component;
    for (std::int64_t i = 0; i < N * N; ++i, panel += channels * Vectors * kLanes) {
        const float* from = components + i * component;
        float* to = products + i * Vectors * kLanes;
        std::int64_t left = tiles;
        const auto multiply = [&]<int Groups>() HWY_ATTR {
            multiply_groups<N, Groups, Vectors>(from, group, channels, panel, to);
            from += Groups * group;
            to += Groups * kRows * products_of_tile(N);
            left -= Groups * kRows;
        };
        if constexpr (Vectors == 1)  // one group alone would wait for its own sums
            while (left > kRows) multiply.template operator()<2>();
        while (left > 0) multiply.template operator()<1>();
    }
}

// ---- the output ----

// Aᵀ along one axis, of the vectors m[0], m[by], …
template <int N>
HWY_INLINE void sum_up(const VF* m, int by, VF* y) {
    if constexpr (N == 3) {
        y[0] = hn::Add(m[0], m[by]);
        y[1] = hn::Sub(m[by], m[2 * by]);
    } else {
        y[0] = hn::Add(hn::Add(m[0], m[by]), m[2 * by]);
        y[1] = hn::Sub(hn::Sub(m[by], m[2 * by]), m[3 * by]);
    }
}

// Where the 2x2 outputs of `count` neighbouring tiles go: `columns` channels from `column` on.
struct Outputs {
    std::int64_t count;
    std::int64_t pixel;  // of the first tile's first output, in the picture
    bool second_row;     // is there one below
    std::int64_t width;  // outputs in a row, from there on: 2 · count, or one less
    std::int64_t column, columns;
};

template <int N, int Vectors, bool Whole>
void write_tiles(const WinogradBand& b, const float* HWY_RESTRICT products, const Outputs& o) {
    with_function(b.function, [&](auto f) HWY_ATTR {
        const std::int64_t channels = b.out_channels, below = b.out_width * channels;
        const float* residual = b.residual;
        float* const out = b.out;
        VF bias[Vectors];
        for (int v = 0; v < Vectors; ++v)
            bias[v] =
                b.bias ? load_some(b.bias + o.column + v * kLanes, o.columns - v * kLanes) : hn::Zero(F32());
        std::int64_t at = o.pixel * channels + o.column;
        for (std::int64_t j = 0; j < o.count; ++j, at += 2 * channels, products += products_of_tile(N)) {
            const bool second = 2 * j + 1 < o.width;
            HWY_UNROLL(2)
            for (int v = 0; v < Vectors; ++v) {
                const std::int64_t some = Whole ? kLanes : o.columns - v * kLanes;
                const auto put = [&](VF y, std::int64_t to) HWY_ATTR {
                    y = hn::Add(y, bias[v]);
                    if (residual) y = hn::Add(y, load_some(residual + to, some));
                    store_some(f(y), out + to, some);
                };
                VF s[2 * N], y[2];
                HWY_UNROLL(4)
                for (int i = 0; i < N; ++i) {
                    VF m[N];
                    HWY_UNROLL(4)
                    for (int l = 0; l < N; ++l) m[l] = load(products + ((l * N + i) * Vectors + v) * kLanes);
                    sum_up<N>(m, 1, s + 2 * i);
                }
                const std::int64_t to = at + v * kLanes;
                sum_up<N>(s, 2, y);
                put(y[0], to);
                if (second) put(y[1], to + channels);
                if (!o.second_row) continue;
                sum_up<N>(s + 1, 2, y);
                put(y[0], to + below);
                if (second) put(y[1], to + below + channels);
            }
        }
    });
}

// A block times one panel, and where it goes: rows of outputs[.].count tiles.
template <int N, int Vectors>
void make_outputs(const WinogradBand& b, const Blocks& k, const float* components, Outputs o,
                  std::int64_t tile_rows, float* products) {
    multiply_block<N, Vectors>(k, b.channels, tile_rows * o.count, components,
                               b.filter + o.column * N * N * b.channels, products);
    for (std::int64_t y = o.pixel / b.out_width; tile_rows > 0; --tile_rows, y += 2) {
        o.second_row = y + 1 < b.out_height;
        if (o.columns == Vectors * kLanes)
            write_tiles<N, Vectors, true>(b, products, o);
        else
            write_tiles<N, Vectors, false>(b, products, o);
        products += o.count * products_of_tile(N);
        o.pixel += 2 * b.out_width;
    }
}

// ---- a band ----

template <int N>
void run_band(const WinogradBand& b, const Blocks& k, float* scratch) {
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
                for (int i = 0; i < N; ++i)
                    rows[i] = slot((tile_row + r) * k.step - above + i) + begin * k.step * k.channels;
                transform_tiles<N>(rows, piece, k.channels, r * piece, components);
            }
            for (std::int64_t column = b.column_begin; column < b.column_end; column += kPanel) {
                const Outputs o{.count = piece,
                                .pixel = 2 * (tile_row * b.out_width + begin),
                                .second_row = true,
                                .width = b.out_width - 2 * begin,
                                .column = column,
                                .columns = HWY_MIN(kPanel, b.column_end - column)};
                if (o.columns > kLanes)
                    make_outputs<N, 2>(b, k, components, o, tile_rows, products);
                else
                    make_outputs<N, 1>(b, k, components, o, tile_rows, products);
            }
        }
    }
}

std::int64_t winograd_scratch(const WinogradBand& b) {
    return Blocks(b).floats();
}

void winograd_band(const WinogradBand& b, float* scratch) {
    const Blocks blocks(b);
    if (b.doubled)
        run_band<3>(b, blocks, scratch);
    else
        run_band<4>(b, blocks, scratch);
}

}  // namespace
}  // namespace t2i::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace t2i::cpu {
HWY_EXPORT(winograd_filter_floats);
HWY_EXPORT(pack_winograd);
HWY_EXPORT(winograd_scratch);
HWY_EXPORT(winograd_band);

std::int64_t winograd_filter_floats(std::int64_t out_channels, std::int64_t in_channels, bool doubled) {
    return HWY_DYNAMIC_DISPATCH(winograd_filter_floats)(out_channels, in_channels, doubled);
}
void pack_winograd(const float* w, std::int64_t out_channels, std::int64_t in_channels, bool doubled,
                   float* packed) {
    HWY_DYNAMIC_DISPATCH(pack_winograd)(w, out_channels, in_channels, doubled, packed);
}
std::int64_t winograd_scratch(const WinogradBand& band) {
    return HWY_DYNAMIC_DISPATCH(winograd_scratch)(band);
}
void winograd_band(const WinogradBand& band, float* scratch) {
    HWY_DYNAMIC_DISPATCH(winograd_band)(band, scratch);
}
}  // namespace t2i::cpu
#endif
