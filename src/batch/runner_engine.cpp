// The engine's stage of a run: batches, and what happens when one fails.
#include <algorithm>
#include <utility>

#include "batch/runner.h"

namespace t2i::batch {

using Clock = std::chrono::steady_clock;

namespace {

// Look-ahead: enough that buckets fill, small enough that memory and the time to the first step do not notice.
constexpr std::size_t window_pictures = 1024, window_bytes = std::size_t{16} << 20;
// A reader that checks thousands of finished files finds nothing to make for a while; what waits is made meanwhile.
constexpr std::chrono::milliseconds patience{50};
constexpr int most_in_a_row = 3;

}  // namespace

void Runner::make() {
    Planner planner(window_pictures, window_bytes);
    const auto together = [this](const Settings& settings) { return tuner_.together(load_of(settings)); };
    while (true) {
        if (planner.is_empty() && requests_.size() == 0) settle();  // nothing keeps what is made while it waits
        fill(planner);
        if (interrupt_.requested() || failed_) break;
        auto batch = planner.take(together);
        if (batch.empty()) break;
        make_batch(std::move(batch));
    }
    if (!failed_) settle();
    note_times();
}

// Everything that was given to the engine is handed out or given up.
void Runner::settle() {
    finish_previous();
    if (const auto last = std::exchange(previous_, nullptr)) make_carefully(take_back(*last));
}

// Reads ahead; waits only where there is nothing better to do.
void Runner::fill(Planner& planner) {
    const auto together = [this](const Settings& settings) { return tuner_.together(load_of(settings)); };
    const auto begin = Clock::now();
    while (!planner.is_full() && !interrupt_.requested()) {
        if (planner.has_full_batch(together) && requests_.size() == 0) break;
        auto picture = planner.is_empty() ? requests_.pop() : requests_.pop_unless_idle(patience);
        if (!picture) break;
        planner.add(std::move(*picture));
    }
    const std::lock_guard lock(mutex_);
    status_.starved_s += seconds_since(begin);
}

// Hands pictures to the engine; they come back through hand_out, on a backend with a queue during the next call.
void Runner::start(const std::shared_ptr<Flight>& flight) {
    std::vector<PictureJob> jobs;
    for (const Picture& p : flight->pictures) jobs.push_back({p.text->prompt_ids, p.text->negative_ids, p.seed});
    const auto hand_out = [this, flight](std::size_t index, Engine::Picture pixels) {
        const auto begin = Clock::now();
        flight->handed_out[index] = true;
        const std::size_t bytes = pixels.rgb.size() + pixels.latents.size() * sizeof(float);
        // A backend without a queue hands out before make() is over.
        const double ms = flight->engine_ms > 0
                              ? flight->engine_ms
                              : seconds_since(flight->begin) * 1e3 / static_cast<double>(flight->handed_out.size());
        made_.push({std::move(flight->pictures[index]), std::move(pixels), ms}, bytes);
        const std::lock_guard lock(mutex_);
        status_.blocked_s += seconds_since(begin);
    };
    // In flight is finished, also after an interrupt; not when its result could not be written.
    engine_.make(flight->pictures.front().settings->resolved, jobs, {hand_out, [this](int) { return !failed_; }});
}

void Runner::make_batch(std::vector<Picture> pictures) {
    const Load load = load_of(*pictures.front().settings);
    const auto size = static_cast<int>(pictures.size());
    const auto flight =
        std::make_shared<Flight>(Flight{std::move(pictures), std::vector<bool>(static_cast<std::size_t>(size)), Clock::now()});
    try {
        start(flight);
    } catch (const Error& error) {
        if (failed_ || (error.code() != ErrorCode::resource && error.code() != ErrorCode::input)) throw;
        if (error.code() == ErrorCode::resource) {
            tuner_.too_many(load, size);
            warn(std::string(error.what()) + "; " + std::to_string(size) + " pictures together did not fit, trying fewer");
        }
        finish_previous();
        auto again = previous_ ? take_back(*previous_) : std::vector<Picture>{};
        for (auto& picture : take_back(*flight)) again.push_back(std::move(picture));
        previous_.reset();
        return make_carefully(std::move(again));
    }
    const double seconds = seconds_since(flight->begin);
    flight->engine_ms = seconds * 1e3 / size;
    tuner_.measured(load, size, seconds);
    in_a_row_ = 0;
    previous_ = flight;
    note_times();
    const std::lock_guard lock(mutex_);
    status_.together = tuner_.together(load);
}

// What a backend with a queue still holds is handed out, or fails and is not: take_back() then finds it.
void Runner::finish_previous() {
    try {
        engine_.flush();
    } catch (const Error& error) {
        if (failed_ || (error.code() != ErrorCode::resource && error.code() != ErrorCode::input)) throw;
    }
}

// What the engine did not hand out, and will not any more.
std::vector<Picture> Runner::take_back(Flight& flight) {
    std::vector<Picture> left;
    for (std::size_t i = 0; i < flight.pictures.size(); ++i)
        if (!flight.handed_out[i]) left.push_back(std::move(flight.pictures[i]));
    flight.pictures.clear();
    return left;
}

// Finds the picture that fails among others that do not: alone or in halves, waiting for each. Pictures may be of two kinds.
void Runner::make_carefully(std::vector<Picture> pictures) {
    if (pictures.empty() || failed_) return;
    const bool one_kind = std::ranges::all_of(pictures, [&](const Picture& p) {
        return p.settings == pictures.front().settings && p.tokens() == pictures.front().tokens();
    });
    if (one_kind && pictures.size() <= static_cast<std::size_t>(tuner_.together(load_of(*pictures.front().settings)))) {
        const auto flight = std::make_shared<Flight>(Flight{std::move(pictures), {}, Clock::now()});
        flight->handed_out.resize(flight->pictures.size());
        try {
            engine_.drop_caches();
            start(flight);
            engine_.flush();
            in_a_row_ = 0;
            return;
        } catch (const Error& error) {
            if (failed_ || (error.code() != ErrorCode::resource && error.code() != ErrorCode::input)) throw;
            finish_previous();
            pictures = take_back(*flight);
            if (pictures.empty()) return;
            if (pictures.size() == 1) return give_up(std::move(pictures.front()), error);
        }
    }
    const auto middle = pictures.begin() + static_cast<std::ptrdiff_t>(pictures.size() / 2);
    std::vector<Picture> second(std::make_move_iterator(middle), std::make_move_iterator(pictures.end()));
    pictures.erase(middle, pictures.end());
    make_carefully(std::move(pictures));
    make_carefully(std::move(second));
}

void Runner::give_up(Picture picture, const Error& error) {
    // Without memory the next start may have more of it; what is wrong with the numbers stays wrong.
    const bool for_good = error.code() == ErrorCode::input;
    in_a_row_ = for_good ? 0 : in_a_row_ + 1;
    if (in_a_row_ >= most_in_a_row) throw error;
    JournalRecord record;
    record.id = picture.id;
    record.request = picture.request;
    record.failed = error.what();
    record.finished = utc_now();
    reject(picture.line, std::move(record), excerpt(picture.text->prompt), for_good);
}

void Runner::note_times() {
    const StageTimes t = engine_.times();
    const std::lock_guard lock(mutex_);
    status_.text_s = t.text_ms * 1e-3;
    status_.denoise_s = (t.prepare_ms + t.denoise_ms) * 1e-3;
    status_.decode_s = t.decode_ms * 1e-3;
}

}  // namespace t2i::batch
