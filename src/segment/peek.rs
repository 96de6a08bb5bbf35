//! A segment file looked at before it is joined: whoever may put a file into the directory of named segments may also
//! cut it short, and a mapping would turn that into a SIGBUS.

use std::os::fd::BorrowedFd;

use super::attachment::view_of;
use super::view::View;
use crate::error::Error;
use crate::layout::segment::{Birth, Geometry, Header};
use crate::primitive::Ordering;
use crate::sys::ofd;
use crate::sys::shm::{self, Mapping};

/// The checked header of a file.
#[derive(Clone, Copy, Debug)]
pub struct Peek<'a> {
    fd: BorrowedFd<'a>,
    birth: Birth,
    geometry: Geometry,
    retired: bool,
}

const RETIRED: usize = core::mem::offset_of!(Header, retired);

impl<'a> Peek<'a> {
    /// Reads and checks the header of a file of `size` bytes.
    pub fn new(fd: BorrowedFd<'a>, size: u64) -> Result<Self, Error> {
        let mut words = [0_u64; (RETIRED + 4).div_ceil(8)];
        shm::read_at(fd, bytemuck::cast_slice_mut(&mut words), 0)?;
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        let birth: Birth = *bytemuck::from_bytes(&bytes[..size_of::<Birth>()]);
        let geometry = birth.validate(size)?;
        Ok(Self { fd, birth, geometry, retired: bytes[RETIRED..RETIRED + 4] != [0; 4] })
    }

    /// The same, and maps the file: by way of the mapping where the kernel says that the header is there.
    pub fn map(fd: BorrowedFd<'a>, size: u64) -> Result<(Self, View, Mapping), Error> {
        let mapping = usize::try_from(size).map_err(|_| Error::NoMemory).and_then(|len| Mapping::new(fd, len));
        // The header, and the first slots and entries.
        if !mapping.as_ref().is_ok_and(|mapping| mapping.populate(size_of::<Header>())) {
            // Before anything is touched; and why it is no segment is a better answer than why it cannot be mapped.
            Self::new(fd, size)?;
        }
        let mapping = mapping?;
        let view = view_of(&mapping)?;
        let (birth, geometry) = (*view.birth(), *view.geometry());
        // Its participants hold no locks of the file: they would all be taken for dead.
        if birth.liveness != 0 {
            return Err(Error::NotSupported("a segment in memory without a file: attach it by its address"));
        }
        // Relaxed: whoever set it had the door alone, whoever is about to set it waits for it.
        let retired = view.header().retired.load(Ordering::Relaxed) != 0;
        Ok((Self { fd, birth, geometry, retired }, view, mapping))
    }

    /// Whether the name is to go with the last participant.
    pub fn goes_with_last(&self) -> bool {
        self.birth.unlink == 1
    }

    /// Whether the name was gone for good when the header was read.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Notes whether the name is gone for good. Mappings see it, as the file is memory.
    pub fn set_retired(&self, retired: bool) -> Result<(), Error> {
        shm::write_at(self.fd, &u32::from(retired).to_ne_bytes(), RETIRED as u64)
    }

    /// Whether nobody lives in it, but for whom `fd` itself holds locks. `false` where the file cannot tell.
    pub fn is_dead(&self) -> Result<bool, Error> {
        Ok(self.birth.liveness == 0 && ofd::any_live(self.fd, 1, self.geometry.participants)?.is_none())
    }

    /// How many live in it.
    pub fn living(&self) -> Result<usize, Error> {
        ofd::count_live(self.fd, 1, self.geometry.participants)
    }
}
