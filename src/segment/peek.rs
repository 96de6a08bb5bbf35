//! A segment file looked at without mapping it: whoever may put a file into the directory of named segments may also cut
//! it short, and a mapping would turn that into a SIGBUS.

use std::os::fd::BorrowedFd;

use bytemuck::Zeroable;

use crate::error::Error;
use crate::layout::segment::{Birth, Geometry, Header};
use crate::sys::ofd;
use crate::sys::shm;

/// The checked header of a file.
#[derive(Clone, Copy, Debug)]
pub struct Peek<'a> {
    fd: BorrowedFd<'a>,
    birth: Birth,
    geometry: Geometry,
}

const RETIRED: u64 = core::mem::offset_of!(Header, retired) as u64;

impl<'a> Peek<'a> {
    /// Reads and checks the header of a file of `size` bytes.
    pub fn new(fd: BorrowedFd<'a>, size: u64) -> Result<Self, Error> {
        let mut birth = Birth::zeroed();
        shm::read_at(fd, bytemuck::bytes_of_mut(&mut birth), 0)?;
        let geometry = birth.validate(size)?;
        Ok(Self { fd, birth, geometry })
    }

    /// Whether the name is to go with the last participant.
    pub fn goes_with_last(&self) -> bool {
        self.birth.unlink == 1
    }

    /// Whether the name is gone for good.
    pub fn is_retired(&self) -> Result<bool, Error> {
        let mut retired = [0; 4];
        shm::read_at(self.fd, &mut retired, RETIRED)?;
        Ok(retired != [0; 4])
    }

    /// Notes that the name is gone for good. Mappings see it, as the file is memory.
    pub fn retire(&self) -> Result<(), Error> {
        shm::write_at(self.fd, &1_u32.to_ne_bytes(), RETIRED)
    }

    /// Whether nobody lives in it, but for whom `fd` itself holds locks.
    pub fn is_dead(&self) -> Result<bool, Error> {
        Ok(ofd::any_live(self.fd, 1, self.geometry.participants)?.is_none())
    }

    /// How many live in it.
    pub fn living(&self) -> Result<usize, Error> {
        ofd::count_live(self.fd, 1, self.geometry.participants)
    }
}
