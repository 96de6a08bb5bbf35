//! States of a queue that need a producer stopped between two instructions: made by hand in its words.

use ringfence::layout::queue::{Geometry, QueueHeader};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::queue::{PopFailure, Queue};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};

/// The bits of a claimed slot's word that name the state, as docs/layout.md says.
const WRITING: u64 = 1 << 13;

struct Known(Fate);

impl Peers for Known {
    fn fate(&self, _: ParticipantId) -> Fate {
        self.0
    }
}

fn pop(queue: &Queue<'_>, fate: Fate) -> Result<u64, PopFailure> {
    let mut item = [0; 8];
    queue.try_pop(&mut item, &Known(fate)).map(|()| u64::from_ne_bytes(item))
}

// semantics 68 and 69
#[test]
fn a_claimed_position_is_busy_until_its_producer_is_dead() {
    let geometry = Geometry::new(4, 8).unwrap();
    let header = QueueHeader::new(geometry);
    let slots: Vec<AtomicU64> = (0..geometry.words()).map(|_| AtomicU64::new(0)).collect();
    let queue = Queue::attach(&header, &slots).unwrap();
    // Participant 5 has claimed the first position and goes no further; 6 pushes behind it.
    slots[0].store(WRITING | 5, Ordering::SeqCst);
    queue.try_push(Owner::new(6, 1).unwrap(), &7_u64.to_ne_bytes(), &Known(Fate::Alive)).unwrap();
    assert_eq!(pop(&queue, Fate::Alive), Err(PopFailure::Busy));
    assert_eq!(pop(&queue, Fate::Dead), Ok(7));
    assert_eq!(pop(&queue, Fate::Dead), Err(PopFailure::Empty));
    // A number that no participant has is a torn word.
    slots[geometry.stride() * 2].store(WRITING | 5, Ordering::SeqCst);
    assert_eq!(pop(&queue, Fate::Invalid), Err(PopFailure::Corrupted));
}
