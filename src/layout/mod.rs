//! The structs that lie in shared memory. No logic but validation.

pub mod eventcount;
pub mod mutex;
pub mod queue;
