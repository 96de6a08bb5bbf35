//! Broken ways to make a segment and an object.
//!
//! - [`named_first`]: the file gets its name first, and then its header: for a while there is half a segment, and for
//!   ever if its maker dies.
//! - [`reserved_late`]: the file gets its name whole, but its memory only then: whoever opens it when its maker is dead
//!   finds out by SIGBUS whether there was enough.
//! - [`published_first`]: the directory has the queue before its memory is zeroed, which another object had before.

use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use ringfence::Queue;
use ringfence::layout::segment::{BYTE_ORDER, Birth, ENTRY_FREE, ENTRY_READY, Geometry, LAYOUT_VERSION, MAGIC};
use ringfence::sys::shm;

use crate::api::{OBJECTS, PARTICIPANTS, join, name};
use crate::board::Board;
use crate::broken::bare::Bare;
use crate::life::{Case, LARGE};
use crate::step::marker;

/// The size and header of a segment of the rig's.
fn header() -> (u64, [u8; 128]) {
    let size = Geometry::size_for(PARTICIPANTS.into(), OBJECTS, 16 << 10).expect("a small segment");
    let birth = Birth {
        magic: MAGIC,
        layout_version: LAYOUT_VERSION,
        byte_order: BYTE_ORDER,
        size,
        participants: PARTICIPANTS.into(),
        objects: OBJECTS,
        unlink: 0,
        liveness: 0,
        id: 1,
        pid_namespace: 0,
        reserved: [0; 8],
        checksum: 0,
    };
    (size, ringfence::bytemuck::cast(birth.sealed()))
}

/// See the module's head.
pub fn named_first(board: &'static Board, _: Case) {
    let path = shm::path_of(&name(board));
    let (size, bytes) = header();
    let file = shm::Unlinked::create(0o600).expect("a file");
    let fd = shm::duplicate(file.fd.as_fd()).expect("a descriptor");
    marker();
    file.link(&path).expect("the name is free");
    shm::reserve(fd.as_fd(), size).expect("room");
    shm::write_at(fd.as_fd(), &bytes, 0).expect("room");
}

/// See the module's head.
pub fn reserved_late(board: &'static Board, _: Case) {
    let path = shm::path_of(&name(board));
    let (size, bytes) = header();
    let file = shm::Unlinked::create(0o600).expect("a file");
    let fd = shm::duplicate(file.fd.as_fd()).expect("a descriptor");
    marker();
    std::fs::File::from(shm::duplicate(fd.as_fd()).expect("a descriptor")).set_len(size).expect("a length");
    shm::write_at(fd.as_fd(), &bytes, 0).expect("room");
    file.link(&path).expect("the name is free");
    shm::reserve(fd.as_fd(), size).expect("room");
}

/// See the module's head.
pub fn published_first(board: &'static Board, _: Case) {
    let segment = join(board);
    let queue = Queue::<u64>::create(&segment, "large", LARGE).expect("room");
    assert!((0..LARGE as u64).all(|n| queue.try_push(n).is_ok()));
    drop(queue);
    let bare = Bare::open(board);
    let entry = bare.entry("large");
    let (offset, len) = (entry.offset.load(Relaxed), entry.len.load(Relaxed));
    // The bytes are those of a queue that is gone.
    let state = entry.state.load(Relaxed) & !3;
    entry.state.store(state | ENTRY_FREE, Relaxed);
    marker();
    entry.state.store(state | ENTRY_READY, Release);
    for offset in (offset..offset + len).step_by(8) {
        // SAFETY: a word of the queue.
        unsafe { bare.at::<AtomicU64>(offset) }.store(0, Release);
    }
    std::mem::forget(segment);
}
