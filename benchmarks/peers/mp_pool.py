"""Pool.map with chunksize=1: mp_pool.py TASKS WORKERS; prints seconds."""

import multiprocessing
import sys
import time


def following(x):
    return x + 1


if __name__ == "__main__":
    tasks, workers = int(sys.argv[1]), int(sys.argv[2])
    with multiprocessing.Pool(workers) as pool:
        pool.map(following, range(100), chunksize=1)
        start = time.perf_counter()
        results = pool.map(following, range(tasks), chunksize=1)
        elapsed = time.perf_counter() - start
    assert results == list(range(1, tasks + 1))
    print(elapsed)
