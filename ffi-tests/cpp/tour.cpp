// The header in C++17: handles in unique_ptr, threads over a queue, a lock guard that repairs.
#include <ringfence.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

void check(int status) {
    if (status < 0) throw std::runtime_error(std::string(rf_status_str(status)) + ": " + rf_last_error());
}

template <typename T, int (*close)(T *)>
struct Close {
    void operator()(T *handle) const { close(handle); }
};
template <typename T, int (*close)(T *)>
using Handle = std::unique_ptr<T, Close<T, close>>;
using Segment = Handle<rf_segment, rf_segment_close>;
using Mutex = Handle<rf_mutex, rf_mutex_close>;
using Queue = Handle<rf_queue, rf_queue_close>;
using Value = Handle<rf_value, rf_value_close>;

template <typename T>
Queue open_queue(const Segment &segment, const char *name, std::size_t capacity) {
    static_assert(std::is_trivially_copyable<T>::value, "items are plain bytes");
    rf_queue *queue = nullptr;
    check(rf_queue_open(segment.get(), name, RF_CREATE, sizeof(T), alignof(T), nullptr, capacity, &queue));
    return Queue(queue);
}

class Guard {
  public:
    explicit Guard(const Mutex &mutex) : mutex_(mutex.get()) {
        int status = rf_mutex_lock(mutex_, RF_FOREVER);
        check(status);
        if (status == RF_OWNER_DIED) check(rf_mutex_make_consistent(mutex_));
    }
    ~Guard() { rf_mutex_unlock(mutex_); }
    Guard(const Guard &) = delete;
    Guard &operator=(const Guard &) = delete;

  private:
    rf_mutex *mutex_;
};

struct Task {
    std::uint64_t from, to;
};

void tour(const char *name) {
    rf_segment_options options{};
    options.size_of = sizeof options;
    options.unlink = RF_UNLINK_WITH_LAST;
    rf_segment *handle = nullptr;
    check(rf_segment_open(name, RF_CREATE | RF_EXCL, 1 << 20, &options, &handle));
    Segment segment(handle);
    rf_mutex *mutex_handle = nullptr;
    check(rf_mutex_open(segment.get(), "sum", RF_CREATE, &mutex_handle));
    Mutex mutex(mutex_handle);
    rf_value *value_handle = nullptr;
    check(rf_value_open(segment.get(), "done", RF_CREATE, RF_U64, 0, 0, nullptr, nullptr, &value_handle));
    Value done(value_handle);
    Queue tasks = open_queue<Task>(segment, "tasks", 8);

    std::uint64_t sum = 0;
    std::vector<std::thread> workers;
    for (int i = 0; i < 3; i++) {
        workers.emplace_back([&] {
            Task task{};
            while (rf_queue_pop(tasks.get(), &task, RF_FOREVER) == RF_OK) {
                std::uint64_t part = 0;
                for (std::uint64_t n = task.from; n < task.to; n++) part += n;
                Guard guard(mutex);
                sum += part;
                check(rf_value_fetch_add(done.get(), 1, nullptr));
            }
        });
    }
    for (std::uint64_t n = 0; n < 100; n++) {
        Task task{n * 100, n * 100 + 100};
        check(rf_queue_push(tasks.get(), &task, RF_FOREVER));
    }
    check(rf_queue_shutdown(tasks.get()));
    for (auto &worker : workers) worker.join();
    std::uint64_t count = 0;
    check(rf_value_get(done.get(), &count));
    std::printf("%llu tasks, sum %llu\n", static_cast<unsigned long long>(count), static_cast<unsigned long long>(sum));
}

} // namespace

int main(int argc, char **argv) {
    try {
        tour(argc > 1 ? argv[1] : "tour");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    // The segment went with its last participant.
    rf_segment *gone = nullptr;
    return rf_segment_open(argc > 1 ? argv[1] : "tour", 0, 0, nullptr, &gone) == RF_E_MISSING ? 0 : 2;
}
