//! The operating system. The only layer that names `rustix` or `libc`.

pub mod errno;
pub mod futex;
pub mod membarrier;
pub mod nap;

#[cfg(not(ringfence_loom))]
pub mod bridge;
#[cfg(not(ringfence_loom))]
pub mod fork;
/// In a model each process is what a fork would have made.
#[cfg(ringfence_loom)]
pub mod fork {
    /// Which process it is.
    #[derive(Clone, Copy, Debug)]
    pub struct Mark;

    impl Mark {
        /// That of this process.
        pub fn get() -> Self {
            Self
        }

        /// Its number; 0 for a dead one.
        pub fn generation(self) -> u64 {
            crate::primitive::death::process()
        }
    }
}
#[cfg(not(ringfence_loom))]
pub mod loan;
#[cfg(not(ringfence_loom))]
pub mod log;
#[cfg(not(ringfence_loom))]
pub mod ofd;
#[cfg(not(ringfence_loom))]
pub mod process;
#[cfg(not(ringfence_loom))]
pub mod shm;
#[cfg(not(ringfence_loom))]
pub mod spawn;

#[cfg(not(ringfence_loom))]
use crate::error::Error;

#[cfg(not(target_endian = "little"))]
compile_error!("ringfence is written for little-endian machines.");
#[cfg(not(target_os = "linux"))]
compile_error!("ringfence runs on Linux only: it rests on futexes and OFD locks.");

/// The error for an `errno`.
#[cfg(not(ringfence_loom))]
fn error(errno: i32) -> Error {
    match errno {
        libc::ENOENT => Error::Missing,
        libc::EEXIST => Error::Exists,
        libc::EACCES | libc::EPERM => Error::Permission,
        libc::ENOSPC | libc::EFBIG | libc::EDQUOT => Error::NoSpace,
        libc::ENOMEM => Error::NoMemory,
        libc::EMFILE | libc::ENFILE => Error::NoDescriptors,
        errno => Error::Os(errno),
    }
}

#[cfg(not(ringfence_loom))]
impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        error(errno.raw_os_error())
    }
}
