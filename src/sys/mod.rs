//! The operating system. The only layer that names `rustix` or `libc`.

pub mod futex;
pub mod membarrier;
pub mod nap;
