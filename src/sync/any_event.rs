//! The event as a named object: as C sees it. [`Event`](super::Event) is this with Rust's verbs.

use super::any_mutex::LockFailure;
use super::event::Reset;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::layout::event::{EventHeader, bytes};
use crate::raw::Owner;
use crate::raw::event::{Event, Refused};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::sys::nap::{Deadline, Interruptible};

impl From<Refused> for LockFailure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Interrupted => Self::Interrupted,
            Refused::Corrupted => Self::Corrupted,
        }
    }
}

/// An open event.
#[derive(Debug)]
pub struct AnyEvent {
    object: Object,
    participants: u16,
    reset: Reset,
    interruptible: Interruptible,
}

fn described(reset: Reset) -> String {
    match reset {
        Reset::Manual => "an event that is cleared by hand".to_owned(),
        Reset::Auto => "an event that resets itself".to_owned(),
    }
}

fn reset_of(event: &Event<'_>) -> Reset {
    match event {
        Event::Manual(_) => Reset::Manual,
        Event::Auto(_) => Reset::Auto,
    }
}

impl AnyEvent {
    /// Opens the event called `name`, or creates it; `None` takes whatever is there.
    pub fn open(segment: &Segment, name: &str, mode: Mode, reset: Option<Reset>) -> Result<Self, Error> {
        let participants = *segment.attachment().view().participants().end();
        let auto = reset == Some(Reset::Auto);
        let bytes = bytes(auto, participants);
        let shape = Shape { kind: Kind::Event, element: 0, size: 0, align: 1, tag: [0; 32], capacity: 1, bytes };
        let object = Object::open(segment, name, mode, &shape, |base| {
            // SAFETY: the object is at least a header long and aligned to 128, and nobody else sees it yet.
            unsafe { base.cast::<EventHeader>().write(EventHeader::new(auto)) };
        })?;
        // SAFETY: the object is mapped as long as it lives, aligned to 128, and accessed atomically only.
        let raw = unsafe { Event::at(object.base(), object.len(), participants) };
        let found = reset_of(&raw.ok_or(Error::Corrupted("an event is shorter than its records"))?);
        if let Some(expected) = reset.filter(|reset| *reset != found) {
            return Err(Error::WrongShape { expected: described(expected), found: described(found) });
        }
        Ok(Self { object, participants, reset: found, interruptible: Interruptible::new() })
    }

    /// The calling thread, and the event. Also for an event without records: a forked child joins at its first call, or the
    /// space might be given to another object under its hands.
    #[inline]
    fn enter(&self) -> Result<(Owner, Event<'_>), LockFailure> {
        let me = self.object.enter().map_err(LockFailure::Segment)?.owner();
        // SAFETY: as in `open`.
        let raw = unsafe { Event::at(self.object.base(), self.object.len(), self.participants) };
        let raw = raw.filter(|raw| reset_of(raw) == self.reset).ok_or(LockFailure::Corrupted)?;
        Ok((me, raw))
    }

    /// The result of an operation that may have met dead participants, and what is due for them.
    #[inline(never)]
    fn settled<R>(&self, result: Result<R, Refused>) -> Result<R, LockFailure> {
        self.object.settle();
        Ok(result?)
    }

    /// Waits until it is set, or was while this call waited; `false` if that took too long. Of an event that resets itself
    /// it takes the signal.
    #[inline]
    pub fn wait(&self, deadline: Deadline) -> Result<bool, LockFailure> {
        let wait = self.interruptible.wait(deadline);
        match self.enter()? {
            (_, Event::Manual(manual)) => Ok(manual.wait(wait)?),
            (me, Event::Auto(auto)) => self.settled(auto.wait(me, self.object.peers(), wait)),
        }
    }

    /// Sets it.
    #[inline]
    pub fn set(&self) -> Result<(), LockFailure> {
        match self.enter()? {
            (_, Event::Manual(manual)) => {
                manual.set();
                Ok(())
            }
            (me, Event::Auto(auto)) => self.settled(auto.set(me, self.object.peers())),
        }
    }

    /// Clears it.
    #[inline]
    pub fn clear(&self) -> Result<(), LockFailure> {
        match self.enter()? {
            (_, Event::Manual(manual)) => {
                manual.clear();
                Ok(())
            }
            (me, Event::Auto(auto)) => self.settled(auto.clear(me, self.object.peers())),
        }
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> Result<bool, LockFailure> {
        match self.enter()? {
            (_, Event::Manual(manual)) => Ok(manual.is_set()),
            (me, Event::Auto(auto)) => self.settled(auto.is_set(me, self.object.peers())),
        }
    }

    /// That it is set.
    pub fn occurred(&self) -> Waitable<'_> {
        Waitable::occurred(&self.object, self.participants, self.is_auto())
    }

    /// Whether it resets itself.
    pub fn is_auto(&self) -> bool {
        self.reset == Reset::Auto
    }

    /// Whether a signal handler that ran ends a blocked call with [`LockFailure::Interrupted`].
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}
