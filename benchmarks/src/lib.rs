//! Benchmarks of ringfence against its peers, measured in turn within one run. How to run and read them: `README.md`.

pub mod crew;
pub mod limits;
pub mod lock;
pub mod queue;
pub mod table;
