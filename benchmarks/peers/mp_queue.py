"""Python's multiprocessing.Queue: argv = pairs, messages per producer, bytes of a message. Prints the seconds."""

import ctypes
import multiprocessing
import os
import signal
import sys
import time


def worker(index, each, size, queue, barrier, ends):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})
    message = bytes(size)
    barrier.wait()
    if index % 2 == 0:
        for _ in range(each):
            queue.put(message)
        queue.close()
        queue.join_thread()
    else:
        for _ in range(each):
            assert len(queue.get()) == size
    ends[index] = time.monotonic()


def main():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    pairs, each, size = map(int, sys.argv[1:])
    context = multiprocessing.get_context("fork")
    queue = context.Queue(1024)
    barrier = context.Barrier(2 * pairs + 1)
    ends = context.RawArray("d", 2 * pairs)
    workers = [context.Process(target=worker, args=(i, each, size, queue, barrier, ends)) for i in range(2 * pairs)]
    for process in workers:
        process.start()
    barrier.wait()
    begin = time.monotonic()
    for process in workers:
        process.join(60)
        if process.exitcode != 0:
            sys.exit(1)
    print(max(ends) - begin)


main()
