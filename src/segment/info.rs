//! What people are told of a segment.

use crate::plain::Element;

/// A living participant, as [`Segment::participants`](super::Segment::participants) lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParticipantInfo {
    /// Its number in the segment.
    pub id: u16,
    /// Its pid, in its own PID namespace.
    pub pid: u32,
    /// Its short name.
    pub name: String,
    /// Whether it is alive; a dead one has not been recovered yet.
    pub alive: bool,
    /// Which of the lives that had this number in the segment. Number and life together belong to one participant.
    pub life: u32,
}

/// A named object, as [`Segment::objects`](super::Segment::objects) lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name.
    pub name: String,
    /// Its kind: "mutex", "queue", ...
    pub kind: &'static str,
    /// Its capacity in the kind's own unit.
    pub capacity: u64,
    /// The type of its elements: [`Element::Struct`] for a queue, a channel and a mutex without data. `None` if another
    /// version of the library wrote a type that this one does not know.
    pub element: Option<Element>,
    /// Bytes of an element; 0 for a mutex without data.
    pub element_size: u32,
    /// Alignment of an element.
    pub element_align: u32,
    /// The [tag](crate::Plain::TAG) of the element's type, or nothing.
    pub tag: String,
    /// Its length in bytes.
    pub bytes: u64,
}
