//! The structs that lie in shared memory. No logic but validation.

pub mod mutex;
#[cfg(not(ringfence_loom))]
pub mod segment;
