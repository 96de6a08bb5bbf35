//! One end of a ring, as the process has it that is there.

use crate::error::Error;
use crate::layout::ring::Side;
use crate::raw::Owner;
use crate::raw::backoff::Backoff;
use crate::raw::ring::{self, Refused};
use crate::segment::attachment::Attachment;
use crate::segment::directory::Object;
use crate::sys::fork::Mark;
use crate::sys::nap::{Deadline, Interruptible, Wait};

/// What both ends of both kinds of rings have.
#[derive(Debug)]
pub struct End {
    /// The ring.
    pub object: Object,
    /// As it stands in the ring.
    owner: Owner,
    /// The process's mark, and what stood there: a forked child is another.
    mark: Mark,
    of: u64,
    interruptible: Interruptible,
    tells: bool,
}

/// Why a handle cannot be used.
#[derive(Debug)]
pub enum Barred {
    /// The role is another process's.
    NotOwner,
    /// The process could not join the segment.
    Segment(Error),
}

impl End {
    /// Claims an end: `role` is its name, and `claim` does it.
    pub fn claim<R>(
        object: &Object,
        role: &'static str,
        claim: impl FnOnce(Owner, &Attachment) -> Result<R, Refused>,
    ) -> Result<(Self, R), Error> {
        let object = object.again()?;
        let owner = object.enter()?.owner();
        let claimed = claim(owner, object.peers());
        object.settle();
        let claimed = claimed.map_err(|refused| match refused {
            Refused::Taken(by) => Error::RoleTaken { role, pid: object.peers().pid_of(by) },
            Refused::Corrupted => Error::Corrupted("an end of a ring"),
        })?;
        let mark = Mark::get();
        let end =
            Self { object, owner, mark, of: mark.generation(), interruptible: Interruptible::new(), tells: false };
        Ok((end, claimed))
    }

    /// Who has it.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether this is the process that has it, and no fork of it.
    #[inline(always)]
    pub fn is_here(&self) -> bool {
        self.mark.generation() == self.of
    }

    /// The same, and that nobody has taken the end away.
    #[cold]
    pub fn check(&self, side: &Side) -> Result<(), Barred> {
        self.object.enter().map_err(Barred::Segment)?;
        if self.is_here() && ring::has(side, self.owner) { Ok(()) } else { Err(Barred::NotOwner) }
    }

    /// How to wait.
    pub fn wait(&self, deadline: Deadline) -> Wait {
        self.interruptible.wait(deadline)
    }

    /// Whom to ask whether anybody is at the other end, if the caller wants to know.
    pub fn company(&self) -> Option<&Attachment> {
        self.tells.then(|| self.object.peers())
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }

    /// Whether a blocked call ends when nobody is at the other end.
    pub fn set_tells(&mut self, tells: bool) {
        self.tells = tells;
    }
}

/// How many calls of an end in turn found at once what they came for: how long the next one that does not is to wait before it
/// looks again.
#[derive(Debug, Default)]
pub struct Run(u32);

impl Run {
    /// One more did.
    #[inline(always)]
    pub fn more(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }

    /// One did not. Nobody else waits for that.
    pub fn end(&mut self) -> Backoff {
        Backoff::alone(core::mem::take(&mut self.0) > 0)
    }
}
