//! Atomics, fences and spin hints: the machine's, or loom's under `cfg(ringfence_loom)`.
//!
//! This is the only layer that names either, so everything above it can be model-checked as shipped.

#[cfg(ringfence_loom)]
pub mod modelled;

#[cfg(not(ringfence_loom))]
pub use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

/// Tells the processor that the caller spins. Under loom spinning is compiled out by its callers ([`SPIN`] is 0).
#[cfg(not(ringfence_loom))]
#[inline(always)]
pub fn spin_loop() {
    core::hint::spin_loop();
}

/// Between two `SeqCst` operations of one thread on different words: nothing. loom takes such operations for Acquire and
/// Release, so in a model it is the fence that gives them the order that they have.
#[inline(always)]
pub fn sequential() {
    #[cfg(ringfence_loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// Whether algorithms may spin before they sleep: never under loom, where a spin is a scheduling point that hides the
/// sleep behind it from the exploration.
pub const SPIN: bool = cfg!(not(ringfence_loom));

/// Whether the calling thread unwinds. Loom's threads share one of the system's, so there only a death counts.
#[inline(always)]
pub fn panicking() -> bool {
    #[cfg(ringfence_loom)]
    return death::is_dying();
    #[cfg(not(ringfence_loom))]
    std::thread::panicking()
}

#[cfg(ringfence_loom)]
pub use modelled::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, compiler_fence, death, fence, spin_loop};
