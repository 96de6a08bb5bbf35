//! The operating system. The only layer that names `rustix` or `libc`.

pub mod errno;
pub mod futex;
pub mod nap;
