#include "conformance/conform.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "backend/emulated/emulated_backend.h"
#include "backend/registry.h"
#include "conformance/tolerance.h"
#include "support/catch.h"

namespace t2i::test {
namespace {

struct Worst {
    std::size_t index = 0;
    double error = 0, tolerance = 0, expected = 0, actual = 0;
    bool failed = false;
};

// Position of `index` in `shape`: "[1, 17, 3]".
std::string position(const Shape& shape, std::size_t index) {
    std::vector<std::int64_t> at(static_cast<std::size_t>(shape.rank()));
    auto rest = static_cast<std::int64_t>(index);
    for (int i = shape.rank() - 1; i >= 0; --i) {
        at[static_cast<std::size_t>(i)] = rest % shape[i];
        rest /= shape[i];
    }
    return Shape(at).text();
}

double tolerance(const OpCase& c, const std::string& backend, DType out, Fill fill, double expected, double magnitude) {
    const double storage = storage_tolerance(out, expected);
    switch (c.op) {
        case Op::linear:
        case Op::conv2d:
            // Sums of small integers are exact in any order, and so is what is stored. The transforms of
            // Winograd's convolutions, which the CPU uses in f32 and for few channels in bf16, have fractions.
            if (fill == Fill::integers && !c.curved)
                return backend == "cpu" && c.winograd_channels > 0 && (out == DType::f32 || c.few_channels)
                           ? winograd_tolerance(c) + storage
                           : 0;
            return product_tolerance(c, magnitude) + storage;
        case Op::attention:
            return attention_tolerance(c, fill == Fill::integers ? 2 : 1) + storage;
        case Op::lincomb:
        case Op::sampler_update:
        case Op::limit:
            return 0;
        default: {
            const double t = tolerance_of(c.op, expected);
            return t == 0 ? 0 : t + storage;
        }
    }
}

Worst compare(const OpCase& c, const std::string& backend, const PreparedOp& run, const PreparedOp& reference,
              const std::vector<float>& magnitudes) {
    const auto actual = run.out_values(), expected = reference.out_values();
    Worst worst;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double e = expected[i], a = actual[i], error = std::fabs(a - e);
        const double t = tolerance(c, backend, run.out().dtype, run.fill(), e, magnitudes.empty() ? 0.0 : magnitudes[i]);
        const bool bad = !(error <= t);  // also when either is NaN
        const double excess = t > 0 ? error / t : (bad ? INFINITY : 0.0);
        const double before = worst.tolerance > 0 ? worst.error / worst.tolerance : (worst.failed ? INFINITY : 0.0);
        if ((bad && !worst.failed) || (bad == worst.failed && excess > before)) worst = {i, error, t, e, a, bad};
    }
    return worst;
}

// Backends that must give the same bytes as the one called `name` with two threads.
std::vector<std::unique_ptr<Backend>> twins_of(const std::string& name) {
    std::vector<std::unique_ptr<Backend>> twins;
    if (name == "emulated") {  // in which order threads run must not matter
        for (const char* order : {"emulated:reverse", "emulated:1", "emulated:2"}) twins.push_back(make_backend(order));
    } else {
        twins.push_back(make_backend(name, {.threads = 1}));
    }
    return twins;
}

void check_case(const OpCase& c, const std::string& name, DType dtype, Backend& backend,
                std::span<const std::unique_ptr<Backend>> twins, Backend& reference) {
    std::vector<float> magnitudes;
    if (c.op == Op::linear || c.op == Op::conv2d) {
        const auto sums = c.prepare(reference, dtype, Fill::magnitudes);
        sums->run();
        magnitudes = sums->out_values();
    }
    for (const Fill fill : {Fill::integers, Fill::reals}) {
        INFO(c.name << ", " << name << ", " << name_of(dtype) << (fill == Fill::integers ? ", integers" : ", reals")
                    << "; repeat with T2I_CASE=\"" << c.name << "\" test_conformance \"" << name_of(c.op) << "\"");
        const auto expected = c.prepare(reference, dtype, fill), actual = c.prepare(backend, dtype, fill);
        expected->run();
        actual->run();
        const Worst worst = compare(c, name, *actual, *expected, magnitudes);
        INFO("worst at " << position(actual->out().shape, worst.index) << ": " << worst.actual << " instead of " << worst.expected
                         << ", off by " << worst.error << ", allowed " << worst.tolerance);
        CHECK_FALSE(worst.failed);
        CHECK(actual->guards_intact());

        const auto again = c.prepare(backend, dtype, fill);
        again->run();
        const bool same_twice = again->out_bytes() == actual->out_bytes();
        CHECK(same_twice);
        for (const auto& twin : twins) {
            const auto other = c.prepare(*twin, dtype, fill);
            other->run();
            INFO("beside " << twin->description());
            const bool same_on_twin = other->out_bytes() == actual->out_bytes();
            CHECK(same_on_twin);
        }
    }
}

// Says at the end how much of the GPU's code ran without one.
struct EmulatedCases {
    std::size_t count = 0;
    ~EmulatedCases() {
        if (count > 0) std::printf("emulated: %zu cases, %s\n", count, emulation_summary().c_str());
    }
} emulated_cases;

// What the environment leaves of the suite.
struct Selection {
    const char* name = std::getenv("T2I_CASE");         // one case
    const char* backend = std::getenv("T2I_BACKEND");   // one backend, which must then be there
    const char* bytes = std::getenv("T2I_CASE_BYTES");  // cases that move no more, for slow tools

    [[nodiscard]] std::vector<std::string> backends() const {
        if (backend) return {backend};
        auto names = backend_names();
        std::erase(names, "ref");
        return names;
    }
    [[nodiscard]] bool takes(const OpCase& c, Backend& reference) const {
        if (c.purpose == Purpose::time || (name && c.name != name)) return false;
        return !bytes || c.prepare(reference, DType::f32, Fill::integers)->traffic_bytes() <= std::atoll(bytes);
    }
};

}  // namespace

void check_op(Op op) {
    const Selection selected;
    const auto reference = make_backend("ref");
    for (const std::string& name : selected.backends()) {
        const auto backend = make_backend(name, {.threads = 2});
        const auto twins = twins_of(name);
        for (const DType dtype : {DType::f32, DType::bf16}) {
            if (!backend->supports(op, dtype)) continue;
            for (const OpCase& c : op_cases(op)) {
                if (!selected.takes(c, *reference)) continue;
                check_case(c, name, dtype, *backend, twins, *reference);
                if (name == "emulated") ++emulated_cases.count;
            }
        }
    }
}

}  // namespace t2i::test
