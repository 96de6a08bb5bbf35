//! Broken ways to make a segment.

use std::os::fd::AsFd;

use ringfence::layout::segment::{BYTE_ORDER, Birth, Geometry, LAYOUT_VERSION, MAGIC};
use ringfence::sys::shm;

use crate::api::{OBJECTS, PARTICIPANTS, name};
use crate::board::Board;
use crate::life::Case;
use crate::step::marker;

/// Gives the file its name first, and then its header: for a while there is half a segment, and for ever if its maker dies.
pub fn named_first(board: &'static Board, _: Case) {
    let path = shm::path_of(&name(board));
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
    let bytes: [u8; 128] = ringfence::bytemuck::cast(birth.sealed());
    let file = shm::Unlinked::create(0o600).expect("a file");
    let fd = shm::duplicate(file.fd.as_fd()).expect("a descriptor");
    marker();
    file.link(&path).expect("the name is free");
    shm::reserve(fd.as_fd(), size).expect("room");
    shm::write_at(fd.as_fd(), &bytes, 0).expect("room");
}
