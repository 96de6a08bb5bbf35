//! Atomics, fences and spin hints: the machine's, or loom's under `cfg(ringfence_loom)`.
//!
//! This is the only file that names either, so everything above it can be model-checked as shipped. Under loom every
//! atomic operation is also a *crash point*: a modelled process may die right before it, which is how the models of
//! `loom-tests/` kill a victim at every step (see `death`).

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

#[cfg(ringfence_loom)]
pub use modelled::{AtomicU32, AtomicU64, Ordering, compiler_fence, death, fence, spin_loop};

#[cfg(ringfence_loom)]
#[allow(missing_docs)] // the names are the standard library's
mod modelled {
    pub use loom::sync::atomic::Ordering;

    /// Death as a choice: a model names the step at which the current modelled process dies.
    pub mod death {
        use std::cell::Cell;

        loom::thread_local! {
            static FUSE: Cell<Option<usize>> = Cell::new(None);
        }

        /// What a dying process unwinds with. Algorithms under test hold nothing with a `Drop`, so the unwind changes
        /// nothing in shared memory, exactly as a SIGKILL does.
        #[derive(Debug)]
        pub struct Killed;

        /// Runs `f` as a process that is killed right before its atomic operation number `step` (from 0). Returns
        /// `None` if it was killed, its result if it finished first.
        pub fn run_until<R>(step: usize, f: impl FnOnce() -> R) -> Option<R> {
            FUSE.with(|fuse| fuse.set(Some(step)));
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
            FUSE.with(|fuse| fuse.set(None));
            match outcome {
                Ok(result) => Some(result),
                Err(payload) if payload.is::<Killed>() => None,
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }

        /// One step of the process: dies here if the fuse has burnt down.
        pub fn crash_point() {
            FUSE.with(|fuse| match fuse.get() {
                Some(0) => std::panic::resume_unwind(Box::new(Killed)),
                Some(left) => fuse.set(Some(left - 1)),
                None => {}
            });
        }
    }

    pub fn fence(order: Ordering) {
        death::crash_point();
        loom::sync::atomic::fence(order);
    }

    /// A model has no fence for the compiler alone; one for the machine is at least that.
    pub fn compiler_fence(order: Ordering) {
        fence(order);
    }

    pub fn spin_loop() {
        loom::thread::yield_now();
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            /// loom's atomic with a crash point before every operation.
            #[derive(Debug)]
            pub struct $name(loom::sync::atomic::$name);

            impl $name {
                pub fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }
                pub fn load(&self, order: Ordering) -> $value {
                    death::crash_point();
                    self.0.load(order)
                }
                /// A load by the model itself, not a step of a process.
                pub fn observe(&self, order: Ordering) -> $value {
                    self.0.load(order)
                }
                pub fn store(&self, value: $value, order: Ordering) {
                    death::crash_point();
                    self.0.store(value, order);
                }
                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    death::crash_point();
                    self.0.swap(value, order)
                }
                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    death::crash_point();
                    self.0.compare_exchange(current, new, success, failure)
                }
                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    death::crash_point();
                    self.0.fetch_add(value, order)
                }
                pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    death::crash_point();
                    self.0.fetch_or(value, order)
                }
                pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    death::crash_point();
                    self.0.fetch_and(value, order)
                }
            }
        };
    }
    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);
}
