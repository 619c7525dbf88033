#include "app/bench_table.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

namespace t2i::app {

double quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    const double at = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

namespace {
double gflops(const BenchRow& row) { return row.flops / quantile(row.times_ms, 0.5) * 1e-6; }
}  // namespace

void print_bench(const std::vector<BenchRow>& rows, const std::string& machine, double peak_gflops) {
    std::printf("%s; matrix peak %.0f GFLOP/s, measured in this run\n\n", machine.c_str(), peak_gflops);
    std::printf("| %-38s | median ms |    p10 |    p90 | GFLOP/s | of peak |\n", "what");
    std::printf("| %-38s | --------: | -----: | -----: | ------: | ------: |\n", "---");
    for (const auto& row : rows) {
        std::printf("| %-38s | %9.2f | %6.2f | %6.2f |", row.what.c_str(), quantile(row.times_ms, 0.5), quantile(row.times_ms, 0.1),
                    quantile(row.times_ms, 0.9));
        if (row.flops > 0) std::printf(" %7.0f | %7.2f |\n", gflops(row), gflops(row) / peak_gflops);
        else std::printf("         |         |\n");
    }
}

std::string bench_json(const std::vector<BenchRow>& rows, const std::string& machine, double peak_gflops) {
    nlohmann::ordered_json j{{"machine", machine}, {"version", T2I_VERSION}, {"peak_gflops", peak_gflops}, {"rows", nlohmann::ordered_json::array()}};
    for (const auto& row : rows) {
        nlohmann::ordered_json r{{"what", row.what},
                                 {"median_ms", quantile(row.times_ms, 0.5)},
                                 {"p10_ms", quantile(row.times_ms, 0.1)},
                                 {"p90_ms", quantile(row.times_ms, 0.9)},
                                 {"times_ms", row.times_ms}};
        if (row.flops > 0) {
            r["gflops"] = gflops(row);
            r["of_peak"] = gflops(row) / peak_gflops;
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
