//! A memory barrier on other processors: the heavy half of an asymmetric fence.
//!
//! `membarrier(GLOBAL_EXPEDITED)` makes every processor that runs a thread of a *registered* process execute a full
//! fence. So a process that is registered need not fence where it meets somebody who calls [`barrier`]: the one who
//! goes to sleep pays, the one who notifies does not.
//!
//! A registration belongs to the address space: threads share it, fork copies it together with our note of it (Linux
//! copies the whole memory descriptor; `tests/membarrier.rs` asks the kernel), and exec drops both.

#[cfg(not(ringfence_loom))]
pub use real::{barrier, register, registered};

#[cfg(not(ringfence_loom))]
mod real {
    use crate::primitive::{AtomicU32, Ordering};

    const GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
    const REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

    /// Whether this process is registered: it starts as no, and a no costs nothing but fences.
    static REGISTERED: AtomicU32 = AtomicU32::new(0);

    /// Registers this process, once, and returns whether it is registered: it is not where the kernel is older than
    /// 4.16 or a filter forbids the call. Later calls cost a load. The first takes some microseconds, or, where several
    /// threads run already, as long as the kernel needs to see every processor pass by (10-20 ms).
    pub fn register() -> bool {
        if !registered() && membarrier(REGISTER_GLOBAL_EXPEDITED) {
            // Release: whoever reads 1 runs after the registration.
            REGISTERED.store(1, Ordering::Release);
        }
        registered()
    }

    /// Whether this process may leave out its fence where it meets a [`barrier`].
    #[inline(always)]
    pub fn registered() -> bool {
        // Acquire: pairs with the Release in `register`.
        REGISTERED.load(Ordering::Acquire) != 0
    }

    /// A full fence on every processor that runs a registered process. `false` if the system cannot do it.
    pub fn barrier() -> bool {
        membarrier(GLOBAL_EXPEDITED)
    }

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: the system call takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

/// In a model nobody is registered, so both sides always fence.
#[cfg(ringfence_loom)]
mod modelled {
    /// Never: the model has no such barrier.
    pub fn registered() -> bool {
        false
    }

    /// Not needed where nobody leaves out a fence.
    pub fn barrier() -> bool {
        true
    }
}

#[cfg(ringfence_loom)]
pub use modelled::{barrier, registered};
