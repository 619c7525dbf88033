#include "conformance/conform.h"

#include <algorithm>
#include <cstdlib>

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

double tolerance(const OpCase& c, DType out, Fill fill, double expected, double magnitude) {
    const double storage = storage_tolerance(out, expected);
    switch (c.op) {
        case Op::linear:
        case Op::conv2d:
            // Sums of small integers are exact in any order, and so is what is stored.
            if (fill == Fill::integers && !c.curved) return 0;
            return product_tolerance(c, magnitude) + storage;
        case Op::attention:
            return attention_tolerance(c, fill == Fill::integers ? 2 : 1) + storage;
        case Op::lincomb:
        case Op::sampler_update:
            return 0;
        default: {
            const double t = tolerance_of(c.op, expected);
            return t == 0 ? 0 : t + storage;
        }
    }
}

Worst compare(const OpCase& c, const PreparedOp& run, const PreparedOp& reference,
              const std::vector<float>& magnitudes) {
    const auto actual = run.out_values(), expected = reference.out_values();
    Worst worst;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double e = expected[i], a = actual[i], error = std::fabs(a - e);
        const double t =
            tolerance(c, run.out().dtype, run.fill(), e, magnitudes.empty() ? 0.0 : magnitudes[i]);
        const bool bad = !(error <= t);  // also when either is NaN
        const double excess = t > 0 ? error / t : (bad ? INFINITY : 0.0);
        const double before =
            worst.tolerance > 0 ? worst.error / worst.tolerance : (worst.failed ? INFINITY : 0.0);
        if ((bad && !worst.failed) || (bad == worst.failed && excess > before))
            worst = {i, error, t, e, a, bad};
    }
    return worst;
}

void check_case(const OpCase& c, const std::string& name, DType dtype, Backend& backend, Backend& alone,
                Backend& reference) {
    std::vector<float> magnitudes;
    if (c.op == Op::linear || c.op == Op::conv2d) {
        const auto sums = c.prepare(reference, dtype, Fill::magnitudes);
        sums->run();
        magnitudes = sums->out_values();
    }
    for (const Fill fill : {Fill::integers, Fill::reals}) {
        INFO(c.name << ", " << name << ", " << name_of(dtype)
                    << (fill == Fill::integers ? ", integers" : ", reals") << "; repeat with T2I_CASE=\""
                    << c.name << "\" test_conformance \"" << name_of(c.op) << "\"");
        const auto expected = c.prepare(reference, dtype, fill), actual = c.prepare(backend, dtype, fill);
        expected->run();
        actual->run();
        const Worst worst = compare(c, *actual, *expected, magnitudes);
        INFO("worst at " << position(actual->out().shape, worst.index) << ": " << worst.actual
                         << " instead of " << worst.expected << ", off by " << worst.error << ", allowed "
                         << worst.tolerance);
        CHECK_FALSE(worst.failed);
        CHECK(actual->guards_intact());

        const auto again = c.prepare(backend, dtype, fill), serial = c.prepare(alone, dtype, fill);
        again->run();
        serial->run();
        const bool same_twice = again->out_bytes() == actual->out_bytes(),
                   same_alone = serial->out_bytes() == actual->out_bytes();
        CHECK(same_twice);
        CHECK(same_alone);
    }
}

}  // namespace

void check_op(Op op) {
    const char* only = std::getenv("T2I_CASE");
    const auto reference = make_backend("ref");
    for (const std::string& name : backend_names()) {
        if (name == "ref") continue;
        const auto backend = make_backend(name, {.threads = 2}), alone = make_backend(name, {.threads = 1});
        for (const DType dtype : {DType::f32, DType::bf16}) {
            if (!backend->supports(op, dtype)) continue;
            for (const OpCase& c : op_cases(op)) {
                if (c.purpose == Purpose::time || (only && c.name != only)) continue;
                check_case(c, name, dtype, *backend, *alone, *reference);
            }
        }
    }
}

}  // namespace t2i::test
