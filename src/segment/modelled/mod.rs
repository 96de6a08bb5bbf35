//! Segments in a model: the interface of the real ones towards the layers above, which are the same in a model, with
//! memory from the heap, a map for the directory, and loom's threads for processes.
//!
//! | module | what it is |
//! |---|---|
//! | [`attachment`] | a segment with its participants |
//! | [`directory`] | named objects, and the memory they lie in |
//! | [`thread`] | who the calling thread stands for; the deaths that a model asks for |

pub(crate) mod attachment;
pub(crate) mod directory;
#[path = "../info.rs"]
mod info;
#[path = "../kinds.rs"]
pub(crate) mod kinds;
#[path = "../options.rs"]
mod options;
#[path = "../shape.rs"]
mod shape;
pub(crate) mod thread;
/// Where the real segment has its parts.
pub(crate) mod view {
    pub use super::shape::StoredShape;
}

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use attachment::Attachment;

pub use info::{ObjectInfo, ParticipantInfo};
pub use options::{SegmentOptions, Unlink};
pub use thread::{at_every_step, run_until};

/// A segment of a model: memory of the model's own, with named objects in it.
///
/// It is made inside a model, and lasts as long as its handles. Each thread of loom that uses it is a participant, a
/// process with one thread. It has no descriptor and no address, so what deals with those is not there; a program that
/// makes segments by name can be compiled, but makes none in a model.
#[derive(Clone)]
#[must_use]
pub struct Segment {
    attachment: Arc<Attachment>,
}

const NO_NAMES: Result<Segment, Error> =
    Err(Error::NotSupported("a model has no segments with a name: make an anonymous one"));

impl Segment {
    /// Creates a segment. Of the options, `participants` beyond [eight](attachment::MOST_PARTICIPANTS) are not made.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for impossible options.
    pub fn anonymous(options: &SegmentOptions) -> Result<Self, Error> {
        Ok(Self { attachment: Attachment::new(&options.geometry()?) })
    }

    /// Not in a model.
    ///
    /// # Errors
    /// [`Error::NotSupported`].
    pub fn create(_name: &str, _options: &SegmentOptions) -> Result<Self, Error> {
        NO_NAMES
    }

    /// Not in a model.
    ///
    /// # Errors
    /// [`Error::NotSupported`].
    pub fn open(_name: &str) -> Result<Self, Error> {
        NO_NAMES
    }

    /// Not in a model.
    ///
    /// # Errors
    /// [`Error::NotSupported`].
    pub fn open_or_create(_name: &str, _options: &SegmentOptions) -> Result<Self, Error> {
        NO_NAMES
    }

    /// There are no names to remove.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn unlink(_name: &str) -> Result<(), Error> {
        Err(Error::Missing)
    }

    /// It has none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        None
    }

    /// Length of the whole segment in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.attachment.size() as usize
    }

    /// The processes that have it open.
    #[must_use]
    pub fn participants(&self) -> Vec<ParticipantInfo> {
        self.attachment.participants()
    }

    /// Recovers the dead whom nobody has recovered yet: only those are left whose recoverer was killed at it. Returns how
    /// many this call recovered.
    ///
    /// # Errors
    /// None in a model.
    pub fn recover(&self) -> Result<usize, Error> {
        Ok(self.attachment.recover())
    }

    /// Removes an object's name. Its space is not used again.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`].
    pub fn remove(&self, object: &str) -> Result<(), Error> {
        self.attachment.remove(object)
    }

    pub(crate) fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("size", &self.size()).finish_non_exhaustive()
    }
}
