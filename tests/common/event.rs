//! Who waits for an event and who is in the middle of an operation on it, told by its words.

use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;

use ringfence::Segment;

use super::{Name, Parts, Role, until};

/// Waits until `thread` of a role waits for the event, so that the next set is for it.
pub fn waits(name: &Name, role: &Role, thread: i32) {
    let words = Words::of(name);
    until("its wait", || match words.waiting(role) {
        Some(threads) => threads > 0,
        // Nothing tells but its sleep, and there is nothing else that this thread could wait for in such a way.
        None => read_to_string(format!("/proc/{}/task/{thread}/wchan", role.pid())).unwrap().contains("futex"),
    });
}

/// From here on it does nothing, until it is told to go on; outside of the lock that an operation on the event takes, where
/// the others would wait for it.
pub fn stop(name: &Name, role: &Role) {
    let words = Words::of(name);
    loop {
        role.stop();
        if !words.is_inside(role) {
            return;
        }
        role.go_on();
    }
}

/// The words of a segment whose first object is an event: docs/layout.md.
struct Words {
    segment: Segment,
    file: File,
    parts: Parts,
}

impl Words {
    fn of(name: &Name) -> Self {
        let file = File::open(name.path()).unwrap();
        let mut words = Self { segment: Segment::open(&name.0).unwrap(), file, parts: Parts::of(0, 0) };
        words.parts = Parts::of(words.word(24) & u64::from(u32::MAX), words.word(24) >> 32);
        words
    }

    /// On a machine whose integers begin with the low byte.
    fn word(&self, at: u64) -> u64 {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, at).unwrap();
        u64::from_le_bytes(word)
    }

    fn place(&self, role: &Role) -> u64 {
        let participants = self.segment.participants();
        participants.into_iter().find(|info| info.pid == role.pid() as u32).unwrap().id.into()
    }

    /// How many threads of it wait; `None` if the event does not count them.
    fn waiting(&self, role: &Role) -> Option<u32> {
        let place = self.place(role);
        let record = self.word(self.parts.heap + 128 + (place - 1) * 8);
        // One that is left of another life counts nobody.
        let life = self.word(self.parts.slots[place as usize - 1].0) as u32 >> 1;
        let counts = self.word(self.parts.heap + 16) >> 32 == 1;
        counts.then_some(if (record >> 32) as u32 == life { record as u32 } else { 0 })
    }

    /// Whether it has the event's lock: the lower 13 bits.
    fn is_inside(&self, role: &Role) -> bool {
        self.word(self.parts.heap) & 0x1fff == self.place(role)
    }
}
