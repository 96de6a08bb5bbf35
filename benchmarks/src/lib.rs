//! Benchmarks against peers. See `src/bin/`.
