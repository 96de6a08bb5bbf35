//! The heap of a victim: what it allocates follows what it allocated before and nothing is ever freed, so that the same
//! operation takes the same instructions whatever the rig has done with its own heap before it forked.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

const SIZE: usize = 4 << 20;
const OFF: usize = usize::MAX;

struct Heap {
    bytes: UnsafeCell<[u8; SIZE]>,
    /// How much of it is used, or [`OFF`].
    used: AtomicUsize,
}

// SAFETY: each range of the bytes is handed out once.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap { bytes: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(OFF) };

/// From now on, this process allocates as a victim does.
pub fn begin() {
    HEAP.used.store(0, Relaxed);
}

// SAFETY: a range is handed out once, aligned, inside the bytes; what the system gave goes back to it or to nobody.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = self.used.load(Relaxed);
        if used == OFF {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc(layout) };
        }
        let base = self.bytes.get().cast::<u8>();
        let start = (base.addr() + used).next_multiple_of(layout.align()) - base.addr();
        if start + layout.size() > SIZE {
            return std::ptr::null_mut();
        }
        self.used.store(start + layout.size(), Relaxed);
        // SAFETY: inside the bytes.
        unsafe { base.add(start) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if self.used.load(Relaxed) == OFF {
            // SAFETY: as the caller promises; a process that is no victim has nothing from the bytes.
            unsafe { System.dealloc(at, layout) };
        }
    }
}
