//! A broadcast whose record type is known by size alone: what [`Broadcast`](super::Broadcast) and the C ABI are made of.

use core::cell::{Cell, OnceCell};
use std::sync::Arc;

use super::broadcast_errors::{BroadcastRecvError, BroadcastSendError, ReaderError, WriterError};
use crate::error::Error;
use crate::layout::broadcast::{BroadcastHeader, Geometry};
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::backoff::Backoff;
use crate::raw::broadcast::{Broadcast, Reader, Start, Unread, Writer, cursors, role};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape, Tag};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;
use crate::sys::fork::Mark;
use crate::sys::nap::{Deadline, Interruptible};

/// What a record is.
#[derive(Clone, Copy, Debug)]
pub struct Records {
    /// Bytes; of byte records, the most, and 0 to take whatever is there.
    pub size: usize,
    /// Alignment in the languages' own memory.
    pub align: usize,
    /// Type tag.
    pub tag: Tag,
    /// Whether each has a length of its own.
    pub bytes: bool,
}

/// What a new broadcast is like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Records that can be read at any time.
    pub capacity: usize,
    /// How many readers the writer waits for; 0: for none, it overwrites.
    pub readers: usize,
}

/// An open broadcast.
#[derive(Debug)]
pub struct AnyBroadcast {
    object: Object,
    geometry: Geometry,
    interruptible: Interruptible,
}

fn described(geometry: Geometry) -> String {
    let (capacity, size, readers) = (geometry.capacity(), geometry.record_size(), geometry.readers());
    let up_to = if geometry.is_bytes() { "up to " } else { "" };
    let mode = if readers == 0 { "overwriting".to_owned() } else { format!("waiting for up to {readers} readers") };
    format!("a broadcast of capacity {capacity} with records of {up_to}{size} bytes, {mode}")
}

/// The sizes of an object of `kind` that has been opened.
pub(super) fn geometry_of(object: &Object) -> Option<Geometry> {
    // SAFETY: an object is mapped as long as it lives, aligned to 128, and accessed atomically only.
    unsafe { Broadcast::found(object.base(), object.len()) }.map(|broadcast| broadcast.geometry())
}

/// A new object's memory.
pub(super) fn initialise(base: core::ptr::NonNull<u8>, geometry: Geometry) {
    // SAFETY: the object is as long as the geometry says, and aligned to 128; nobody else sees it yet. Zeroed cursors and slots
    // are valid.
    unsafe { base.cast::<BroadcastHeader>().write(BroadcastHeader::new(geometry)) };
}

pub(super) fn raw(object: &Object, geometry: Geometry) -> Broadcast<'_> {
    // SAFETY: the object is mapped as long as it lives, at least so long (checked when it was opened), aligned to 128, and
    // accessed atomically only.
    unsafe { Broadcast::at(object.base(), geometry) }
}

/// Becomes the writer.
pub(super) fn open_writer(object: &Object, geometry: Geometry) -> Result<(Object, Cell<Writer>), WriterError> {
    let object = object.again().map_err(WriterError::Segment)?;
    let me = object.enter().map_err(WriterError::Segment)?.owner();
    let opened = raw(&object, geometry).open_writer(me, object.peers());
    object.settle();
    match opened {
        Ok(writer) => Ok((object, Cell::new(writer))),
        Err(role::Refused::Taken(holder)) => Err(WriterError::Taken { pid: object.peers().pid_of(holder) }),
        Err(role::Refused::Corrupted) => Err(WriterError::Corrupted),
    }
}

impl AnyBroadcast {
    /// Opens the broadcast called `name`, or creates it; `None` takes whatever is there.
    pub fn open(
        segment: &Segment,
        name: &str,
        mode: Mode,
        records: Records,
        plan: Option<Plan>,
    ) -> Result<Self, Error> {
        let wanted = match plan {
            None => None,
            Some(Plan { capacity, readers }) => {
                let readers = u32::try_from(readers).unwrap_or(u32::MAX);
                let wanted = Geometry::new(capacity as u64, records.size as u64, readers, records.bytes);
                let why = "a broadcast has a capacity of at least 1, at most 1024 readers that it waits for, and \
                           bytes that fit the address space";
                Some(wanted.ok_or(Error::InvalidArgument(why))?)
            }
        };
        if wanted.is_none() && mode != Mode::Open {
            return Err(Error::InvalidArgument("a new broadcast needs a capacity"));
        }
        let size = if records.bytes { 1 } else { records.size };
        let size = u32::try_from(size).map_err(|_| Error::InvalidArgument("a record is larger than 4 GiB"))?;
        let align = u32::try_from(records.align).ok().filter(|align| align.is_power_of_two());
        let align = align.ok_or(Error::InvalidArgument("an alignment is a power of two"))?;
        let shape = Shape {
            kind: Kind::Broadcast,
            element: 0,
            size,
            align,
            tag: records.tag,
            capacity: wanted.map_or(0, Geometry::capacity),
            bytes: wanted.map_or(0, |wanted| wanted.bytes() as u64),
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some(wanted) = wanted {
                initialise(base, wanted);
            }
        })?;
        let found = geometry_of(&object)
            .filter(|found| found.capacity() == object.shape().capacity)
            .filter(|found| found.is_bytes() || found.record_size() as u64 == object.shape().element_size.into())
            .ok_or(Error::Corrupted("a broadcast does not fit its entry"))?;
        let expected = Geometry::new(
            wanted.unwrap_or(found).capacity(),
            if records.size == 0 && records.bytes { found.record_size() } else { records.size } as u64,
            wanted.unwrap_or(found).readers(),
            records.bytes,
        );
        if expected != Some(found) {
            let expected = expected.map_or_else(|| "another broadcast".to_owned(), described);
            return Err(Error::WrongShape { expected, found: described(found) });
        }
        Ok(Self { object, geometry: found, interruptible: Interruptible::new() })
    }

    fn raw(&self) -> Broadcast<'_> {
        raw(&self.object, self.geometry)
    }

    /// Becomes the writer.
    pub fn writer(&self) -> Result<AnyWriter, WriterError> {
        let (object, writer) = open_writer(&self.object, self.geometry)?;
        let (geometry, interruptible) = (self.geometry, self.interruptible.again());
        let (mark, looks) = (Mark::get(), Looks::new(writer.get().position()));
        Ok(AnyWriter { object, geometry, writer, of: mark.generation(), mark, looks, interruptible })
    }

    /// Becomes a reader.
    pub fn reader(&self, start: Start) -> Result<AnyReader, ReaderError> {
        let object = self.object.again().map_err(ReaderError::Segment)?;
        let me = object.enter().map_err(ReaderError::Segment)?.owner();
        let opened = raw(&object, self.geometry).open_reader(me, object.peers(), start);
        object.settle();
        let reader = opened.map_err(|refused| match refused {
            cursors::Refused::TooMany => ReaderError::TooMany,
            cursors::Refused::Corrupted => ReaderError::Corrupted,
        })?;
        Ok(AnyReader {
            object,
            geometry: self.geometry,
            reader: Cell::new(reader),
            of: Cell::new(Mark::get().generation()),
            mark: Mark::get(),
            watched: OnceCell::new(),
            looks: Looks::new(reader.position()),
            interruptible: self.interruptible.again(),
        })
    }

    /// Sends fail from now on; readers read what is there and then fail.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.object.enter()?;
        self.raw().shutdown();
        Ok(())
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_shut_down()
    }

    /// The sizes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Whether a signal handler that ran ends a blocked call of a writer or reader that is opened from now on.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

/// How a handle looks before it sleeps. Where more wait than can run at once, to spin keeps the others from coming: so if that
/// was in vain, and records come many at a time, it lets others run instead. Where they come one by one it never does: whoever
/// sleeps is let in at once when it is woken, whoever lets others run waits for their turns to end.
#[derive(Debug)]
struct Looks {
    /// The position at the last call.
    before: Cell<u64>,
    /// Whether the last that was in vain was to spin.
    spun_in_vain: Cell<bool>,
}

/// So many records since the last call are many.
const MANY: u64 = 16;

impl Looks {
    fn new(position: u64) -> Self {
        Self { before: Cell::new(position), spun_in_vain: Cell::new(false) }
    }

    fn with<R>(&self, position: u64, spinning: Backoff, wait: impl FnOnce(&mut Backoff) -> R) -> R {
        let many = position.wrapping_sub(self.before.replace(position)) >= MANY;
        let lets_others_run = many && self.spun_in_vain.get();
        let mut backoff = if lets_others_run { Backoff::in_crowd() } else { spinning };
        let result = wait(&mut backoff);
        if backoff.is_spent() {
            self.spun_in_vain.set(!lets_others_run);
        }
        result
    }
}

/// The writer of a broadcast.
#[derive(Debug)]
pub struct AnyWriter {
    object: Object,
    geometry: Geometry,
    writer: Cell<Writer>,
    /// The process whose place it is.
    of: u64,
    /// Where that is told.
    mark: Mark,
    looks: Looks,
    interruptible: Interruptible,
}

impl AnyWriter {
    /// Sends a record, waiting for readers until `deadline`. Always inline: where the record has a constant size, its copy has no
    /// loop.
    #[inline(always)]
    pub fn send(&self, record: &[u8], deadline: Deadline) -> Result<(), BroadcastSendError> {
        let fits = if self.geometry.is_bytes() {
            record.len() <= self.geometry.record_size()
        } else {
            record.len() == self.geometry.record_size()
        };
        if fits && self.of == self.mark.generation() {
            let mut writer = self.writer.get();
            let sent = raw(&self.object, self.geometry).send_once(&mut writer, record);
            if sent.is_ok() {
                self.writer.set(writer);
                return Ok(());
            }
        }
        self.send_slow(record, deadline)
    }

    #[cold]
    #[inline(never)]
    fn send_slow(&self, record: &[u8], deadline: Deadline) -> Result<(), BroadcastSendError> {
        if self.of != self.mark.generation() {
            return Err(BroadcastSendError::NotOwner);
        }
        self.object.enter().map_err(BroadcastSendError::Segment)?;
        let mut writer = self.writer.get();
        let wait = self.interruptible.wait(deadline);
        let (raw, peers) = (raw(&self.object, self.geometry), self.object.peers());
        let sent = self.looks.with(writer.position(), Backoff::in_stream(), |looks| {
            raw.send_with(&mut writer, record, peers, wait, looks)
        });
        self.writer.set(writer);
        self.object.settle();
        sent.map_err(|failure| BroadcastSendError::new(failure, record.len(), self.geometry.record_size()))
    }

    /// That a send would not wait.
    pub fn writable(&self) -> Waitable<'_> {
        Waitable::for_readers(&self.object, self.geometry)
    }

    /// The sizes.
    #[cfg(feature = "capi")]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Sends fail from now on; readers read what is there and then fail.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.object.enter()?;
        raw(&self.object, self.geometry).shutdown();
        Ok(())
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

impl Drop for AnyWriter {
    fn drop(&mut self) {
        // In a forked child the place is the parent's.
        if self.of == self.mark.generation() {
            raw(&self.object, self.geometry).close_writer(self.writer.get());
        }
    }
}

/// A reader of a broadcast.
#[derive(Debug)]
pub struct AnyReader {
    object: Object,
    geometry: Geometry,
    reader: Cell<Reader>,
    /// The process that reads.
    of: Cell<u64>,
    /// Where that is told.
    mark: Mark,
    /// Its position for those who wait for it, once there are any.
    watched: OnceCell<Arc<AtomicU64>>,
    looks: Looks,
    interruptible: Interruptible,
}

impl AnyReader {
    /// Receives a record into the first bytes of `buffer`, waiting for one until `deadline`; its length. Of records of one size,
    /// `buffer` has that size. On failure its bytes are arbitrary. Always inline, as [`AnyWriter::send`].
    #[inline(always)]
    pub fn recv(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, BroadcastRecvError> {
        let fits = self.geometry.is_bytes() || buffer.len() == self.geometry.record_size();
        if fits && self.of.get() == self.mark.generation() {
            let mut reader = self.reader.get();
            if let Ok(len) = raw(&self.object, self.geometry).recv_once(&mut reader, buffer) {
                self.set(reader);
                return Ok(len);
            }
        }
        self.recv_slow(buffer, deadline)
    }

    #[inline(always)]
    fn set(&self, reader: Reader) {
        self.reader.set(reader);
        if let Some(watched) = self.watched.get() {
            // Relaxed: where to look, nothing else.
            watched.store(reader.position(), Ordering::Relaxed);
        }
    }

    #[cold]
    #[inline(never)]
    fn recv_slow(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, BroadcastRecvError> {
        // Entering makes a forked child a participant before it waits for anybody.
        self.object.enter().map_err(BroadcastRecvError::Segment)?;
        if self.of.get() != self.mark.generation() {
            if self.geometry.readers() != 0 {
                return Err(BroadcastRecvError::NotOwner);
            }
            // Nobody waits for it: the child reads on from where the parent was.
            self.of.set(self.mark.generation());
        }
        if !self.geometry.is_bytes() && buffer.len() != self.geometry.record_size() {
            return Err(BroadcastRecvError::BufferTooShort { needed: self.geometry.record_size() });
        }
        let mut reader = self.reader.get();
        let (raw, peers, wait) =
            (raw(&self.object, self.geometry), self.object.peers(), self.interruptible.wait(deadline));
        let received = match raw.recv_once(&mut reader, buffer) {
            Ok(len) => Ok(len),
            Err(Unread::Elsewhere | Unread::TooShort(_) | Unread::Corrupted) => {
                self.looks.with(reader.position(), Backoff::new(), |looks| {
                    raw.recv_from(&mut reader, buffer, peers, wait, looks)
                })
            }
        };
        self.set(reader);
        self.object.settle();
        Ok(received?)
    }

    /// That there is a record, or the end.
    pub fn readable(&self) -> Waitable<'_> {
        let watched = self.watched.get_or_init(|| Arc::new(AtomicU64::new(self.reader.get().position())));
        Waitable::record(&self.object, self.geometry, watched.clone())
    }

    /// The sizes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

impl Drop for AnyReader {
    fn drop(&mut self) {
        // In a forked child the cursor is the parent's.
        if self.of.get() == self.mark.generation() {
            raw(&self.object, self.geometry).close_reader(self.reader.get());
        }
    }
}
