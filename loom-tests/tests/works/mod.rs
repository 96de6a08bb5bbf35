//! A work queue, and what can be done with it: what its models share.
#![allow(dead_code)] // each test file uses its own part

use std::collections::BTreeMap;

use loom::sync::Arc;
use ringfence::layout::work_queue::{Geometry, WorkQueueHeader};
use ringfence::primitive::AtomicU64;
use ringfence::raw::work_queue::{Lease, LeaseFailure, PushFailure, TakeFailure, WorkQueue};
use ringfence::raw::{Owner, ParticipantId};
use ringfence::sys::nap::Wait;

use crate::mortals::{FOREVER, Mortals, NOW, owner};

/// Two words: a torn message shows.
pub const LONGEST: usize = 9;

pub struct World {
    pub header: WorkQueueHeader,
    pub words: Vec<AtomicU64>,
    pub peers: Mortals,
}

impl World {
    pub fn with_limit(places: u64, limit: u32) -> Arc<Self> {
        let geometry = Geometry::new(places, LONGEST as u64).unwrap();
        Arc::new(Self {
            header: WorkQueueHeader::new(geometry, limit),
            words: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
            peers: Mortals::new(),
        })
    }

    pub fn new(places: u64) -> Arc<Self> {
        Self::with_limit(places, 0)
    }

    /// With messages 10, 11, ...
    pub fn holding(places: u64, messages: u8) -> Arc<Self> {
        let world = Self::new(places);
        (10..10 + messages).for_each(|value| world.push(4, value, NOW).unwrap());
        world
    }

    /// With so many messages, all of them leased by 1, who is dead.
    pub fn of_the_dead(messages: u8) -> Arc<Self> {
        let world = Self::holding(messages.into(), messages);
        (0..messages).for_each(|_| assert_eq!(world.take(1, NOW).unwrap().1.deliveries(), 1));
        world.peers.live(1, 0, || world.queue().is_shut_down());
        world
    }

    pub fn queue(&self) -> WorkQueue<'_> {
        WorkQueue::attach(&self.header, &self.words).unwrap()
    }

    pub fn push(&self, me: ParticipantId, value: u8, wait: Wait) -> Result<(), PushFailure> {
        self.queue().push(owner(me), &[value; LONGEST], &self.peers, wait)
    }

    pub fn take_as(&self, me: Owner, wait: Wait) -> Result<(u8, Lease), TakeFailure> {
        let lease = self.queue().take(me, &self.peers, wait)?;
        let mut message = [0; LONGEST];
        assert_eq!(self.queue().read(lease, &mut message), Ok(LONGEST));
        assert!(message.iter().all(|byte| *byte == message[0]), "torn: {message:?}");
        Ok((message[0], lease))
    }

    pub fn take(&self, me: ParticipantId, wait: Wait) -> Result<(u8, Lease), TakeFailure> {
        self.take_as(owner(me), wait)
    }

    pub fn done(&self, lease: Lease) -> Result<(), LeaseFailure> {
        self.queue().done(lease)
    }

    /// Takes one message and reports it done.
    pub fn work(&self, me: ParticipantId, wait: Wait) -> Result<u8, TakeFailure> {
        let (value, lease) = self.take(me, wait)?;
        self.done(lease).unwrap();
        Ok(value)
    }

    pub fn join(&self, me: ParticipantId) {
        self.queue().join(owner(me), &self.peers, FOREVER).unwrap();
    }

    pub fn recover(&self, dead: ParticipantId) {
        self.queue().recover(dead, &self.peers);
    }

    /// What a fresh consumer finds, with how often it was delivered.
    pub fn drain(&self) -> BTreeMap<u8, u32> {
        let mut found = BTreeMap::new();
        loop {
            match self.take(4, NOW) {
                Ok((value, lease)) => {
                    assert!(found.insert(value, lease.deliveries()).is_none(), "doubled: {value}");
                    self.done(lease).unwrap();
                }
                Err(TakeFailure::Empty | TakeFailure::Closed) => return found,
                Err(other) => panic!("a fresh consumer met {other:?} after {found:?}"),
            }
        }
    }

    /// Ends a model: nothing is left, and there is room for exactly as much as the queue was made for.
    pub fn settle(&self) {
        assert_eq!(self.drain(), BTreeMap::new(), "left behind");
        assert!(self.queue().is_all_done());
        if !self.queue().is_shut_down() {
            let places = self.queue().geometry().places();
            (0..places).for_each(|_| self.push(4, 99, NOW).unwrap());
            assert_eq!(self.push(4, 99, NOW), Err(PushFailure::Full));
        }
    }
}

pub fn sorted(mut values: Vec<u8>) -> Vec<u8> {
    values.sort_unstable();
    values
}
