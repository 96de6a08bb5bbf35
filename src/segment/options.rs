//! What a segment is created with.

use crate::error::Error;
use crate::layout::segment::Geometry;

/// What becomes of a segment's name when its last participant leaves or dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unlink {
    /// The name, and what is in the segment, stays until [`Segment::unlink`](super::Segment::unlink).
    #[default]
    Keep,
    /// The last participant to leave unlinks the name. If all die at once, the next `open_or_create` of the name starts
    /// afresh and [`Segment::sweep`](super::Segment::sweep) removes it.
    WithLast,
}

/// Options of a new segment. The defaults: 1 MiB for objects, mode 0600, [`Unlink::Keep`], 128 participants, 256
/// objects.
///
/// ```
/// use ringfence::{SegmentOptions, Unlink};
/// let options = SegmentOptions::new().size(16 << 20).unlink(Unlink::WithLast);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct SegmentOptions {
    pub(super) size: usize,
    pub(super) mode: u32,
    pub(super) unlink: Unlink,
    pub(super) participants: u16,
    pub(super) objects: u32,
    pub(super) allow_foreign_owner: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SegmentOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            size: 1 << 20,
            mode: 0o600,
            unlink: Unlink::Keep,
            participants: 128,
            objects: 256,
            allow_foreign_owner: false,
        }
    }

    /// Bytes for objects. The segment's own bookkeeping comes on top (about 90 KiB with the default counts), and the sum
    /// is rounded up to pages. All of it is reserved at creation.
    pub fn size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// Permission bits of a named segment (the umask is not applied). Whoever may write it is trusted as far as
    /// `SECURITY.md` says.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// What becomes of the name in the end.
    pub fn unlink(mut self, unlink: Unlink) -> Self {
        self.unlink = unlink;
        self
    }

    /// How many processes can have the segment open at the same time: 1..=8191.
    pub fn participants(mut self, participants: u16) -> Self {
        self.participants = participants;
        self
    }

    /// How many named objects there can be: 1..=65536.
    pub fn objects(mut self, objects: u32) -> Self {
        self.objects = objects;
        self
    }

    /// Also open a segment that belongs to another user. Without this such a segment is refused with
    /// [`Error::Permission`], since anybody may put a file of any name into the directory of named segments.
    pub fn allow_foreign_owner(mut self, allow: bool) -> Self {
        self.allow_foreign_owner = allow;
        self
    }

    pub(super) fn checked_mode(&self) -> Result<u32, Error> {
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            return Err(Error::InvalidArgument("mode must be permission bits that let the owner read and write"));
        }
        Ok(self.mode)
    }

    /// Geometry of a new segment with these options.
    pub(super) fn geometry(&self) -> Result<Geometry, Error> {
        let (participants, objects) = (self.participants.into(), self.objects);
        Geometry::new(participants, objects, Geometry::size_for(participants, objects, self.size)?)
    }
}
