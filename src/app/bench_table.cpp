#include "app/bench_table.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "t2i/version.h"

namespace t2i::app {

double quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    const double at = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

namespace {

double median_ms(const BenchRow& row) {
    return quantile(row.times_ms, 0.5);
}
double per_second(double amount, const BenchRow& row) {
    return amount / median_ms(row) * 1e-6;  // in billions
}
double of_bound(const BenchRow& row, const Bound& bound) {
    return bound.ms / median_ms(row);
}

void print_stages(const BenchReport& report) {
    std::printf("%s; matrix peak %.0f GFLOP/s, measured in this run\n\n", report.machine.c_str(), report.peaks.matrix_gflops);
    std::printf("| %-38s | median ms |    p10 |    p90 | GFLOP/s | of peak |\n", "what");
    std::printf("| %-38s | --------: | -----: | -----: | ------: | ------: |\n", "---");
    for (const auto& row : report.rows) {
        std::printf("| %-38s | %9.2f | %6.2f | %6.2f |", row.what.c_str(), median_ms(row), quantile(row.times_ms, 0.1),
                    quantile(row.times_ms, 0.9));
        if (row.flops > 0)
            std::printf(" %7.0f | %7.2f |\n", per_second(row.flops, row),
                        per_second(row.flops, row) / report.peaks.matrix_gflops);
        else std::printf("         |         |\n");
    }
}

void print_operations(const BenchReport& report) {
    std::printf("%s; matrix peak %.0f GFLOP/s, memory %.1f GB/s, measured in this run\n\n", report.machine.c_str(),
                report.peaks.matrix_gflops, report.peaks.memory_gb_per_s);
    std::printf("| %-44s | median us |      p10 |      p90 | GFLOP/s |   GB/s | bound by | of bound |\n", "what");
    std::printf("| %-44s | --------: | -------: | -------: | ------: | -----: | :------- | -------: |\n", "---");
    for (const auto& row : report.rows) {
        const Bound bound = bound_of(row.flops, row.bytes, report.peaks);
        constexpr double us_per_ms = 1000.0;
        std::printf("| %-44s | %9.2f | %8.2f | %8.2f |", row.what.c_str(), median_ms(row) * us_per_ms,
                    quantile(row.times_ms, 0.1) * us_per_ms, quantile(row.times_ms, 0.9) * us_per_ms);
        if (row.flops > 0) std::printf(" %7.0f |", per_second(row.flops, row));
        else std::printf("         |");
        std::printf(" %6.1f | %-8s | %8.2f |\n", per_second(row.bytes, row), bound.by_flops ? "FLOP" : "bytes",
                    of_bound(row, bound));
    }
}

}  // namespace

void print_bench(const BenchReport& report) {
    report.peaks.memory_gb_per_s > 0 ? print_operations(report) : print_stages(report);
}

std::string bench_json(const BenchReport& report) {
    const bool with_memory = report.peaks.memory_gb_per_s > 0;
    nlohmann::ordered_json j{{"machine", report.machine}, {"version", T2I_VERSION}, {"peak_gflops", report.peaks.matrix_gflops}};
    if (with_memory) j["peak_gb_per_s"] = report.peaks.memory_gb_per_s;
    j["rows"] = nlohmann::ordered_json::array();
    for (const auto& row : report.rows) {
        nlohmann::ordered_json r{{"what", row.what},
                                 {"median_ms", median_ms(row)},
                                 {"p10_ms", quantile(row.times_ms, 0.1)},
                                 {"p90_ms", quantile(row.times_ms, 0.9)},
                                 {"times_ms", row.times_ms}};
        if (row.flops > 0) {
            r["gflops"] = per_second(row.flops, row);
            r["of_peak"] = per_second(row.flops, row) / report.peaks.matrix_gflops;
        }
        if (with_memory && row.bytes > 0) {
            const Bound bound = bound_of(row.flops, row.bytes, report.peaks);
            r["gb_per_s"] = per_second(row.bytes, row);
            r["bound"] = bound.by_flops ? "flops" : "bytes";
            r["bound_ms"] = bound.ms;
            r["of_bound"] = of_bound(row, bound);
        }
        j["rows"].push_back(std::move(r));
    }
    return j.dump(2) + "\n";
}

std::string machine_name(const std::string& backend_description) {
    std::ifstream cpuinfo("/proc/cpuinfo");
    for (std::string line; std::getline(cpuinfo, line);)
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2) + ", " + backend_description;
    return backend_description;
}

}  // namespace t2i::app
