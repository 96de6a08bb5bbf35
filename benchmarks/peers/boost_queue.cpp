// Boost.Interprocess message_queue: argv = pairs, messages per producer, bytes of a message, name.
// Forks the workers, pins them round-robin, prints the seconds from the start to the end of the last one.
#include <boost/interprocess/ipc/message_queue.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vector>

using namespace boost::interprocess;

static double seconds()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

struct board {
    std::atomic<int> ready, go;
    std::atomic<std::uint64_t> sent, received;
    double end[64];
};

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int pairs = std::atoi(argv[1]);
    const long each = std::atol(argv[2]);
    const std::size_t size = std::strtoul(argv[3], nullptr, 10);
    const char *name = argv[4];
    void *memory = mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    board &b = *new (memory) board();
    message_queue::remove(name);
    int failed = 0;
    {
        message_queue queue(create_only, name, 1024, size);
        for (int index = 0; index < 2 * pairs; ++index) {
            if (fork() != 0)
                continue;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            alarm(60);
            cpu_set_t cores;
            CPU_ZERO(&cores);
            CPU_SET(index % sysconf(_SC_NPROCESSORS_ONLN), &cores);
            sched_setaffinity(0, sizeof cores, &cores);
            message_queue own(open_only, name);
            std::vector<std::uint64_t> buffer(size / 8);
            std::uint64_t sum = 0;
            unsigned priority;
            message_queue::size_type length;
            b.ready++;
            while (!b.go)
                sched_yield();
            for (long turn = 0; turn < each; ++turn) {
                if (index % 2 == 0) {
                    std::fill(buffer.begin(), buffer.end(), turn * pairs + index / 2 + 1);
                    own.send(buffer.data(), size, 0);
                } else {
                    own.receive(buffer.data(), size, length, priority);
                    // Whole; and where there is one producer only, in order.
                    if (length != size || std::count(buffer.begin(), buffer.end(), buffer[0]) != long(size / 8)
                        || (pairs == 1 && buffer[0] != std::uint64_t(turn) + 1))
                        _exit(1);
                }
                sum += buffer[0];
            }
            (index % 2 == 0 ? b.sent : b.received) += sum;
            b.end[index] = seconds();
            _exit(0);
        }
        while (b.ready < 2 * pairs)
            usleep(200);
        const double begin = seconds();
        b.go = 1;
        int status;
        while (wait(&status) > 0)
            failed |= status;
        double end = begin;
        for (int index = 0; index < 2 * pairs; ++index)
            end = b.end[index] > end ? b.end[index] : end;
        std::printf("%.9f\n", end - begin);
    }
    message_queue::remove(name);
    return failed != 0 || b.sent != b.received;
}
