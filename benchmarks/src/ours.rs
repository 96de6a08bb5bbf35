//! Segments for the benchmarks: one for each measurement, gone with its value.

use std::sync::atomic::{AtomicU32, Ordering};

use ringfence::{Segment, SegmentOptions};

/// A named segment that is unlinked when its value goes.
pub struct Scene {
    name: String,
    /// The benchmark's own handle.
    pub segment: Segment,
}

impl Scene {
    /// A new segment of `size` bytes.
    pub fn new(size: usize) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let segment = Segment::create(&name, &SegmentOptions::new().size(size)).expect("a new segment");
        Self { name, segment }
    }

    /// Opens it by its name, as any process would.
    pub fn open(&self) -> Segment {
        Segment::open(&self.name).expect("the segment just made")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = Segment::unlink(&self.name);
    }
}
