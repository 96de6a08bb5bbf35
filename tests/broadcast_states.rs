//! A broadcast whose writer stands in the middle of a record: made by hand in its words.

use ringfence::layout::broadcast::{BroadcastHeader, Geometry};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::broadcast::{Broadcast, RecvFailure, Start};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};
use ringfence::sys::nap::{Deadline, Wait};

/// Whether they are dead.
struct All(bool);

impl Peers for All {
    fn fate(&self, _: ParticipantId) -> Fate {
        if self.0 { Fate::Dead } else { Fate::Alive }
    }
}

const NOW: Wait = Wait { deadline: Deadline::Now, interruptible: false };

/// As many as the capacity can be read, also by a reader that was lapped, and by one who comes: the record that is being
/// written does not count.
// semantics 128
#[test]
fn an_unfinished_record_takes_no_other_ones_place() {
    for capacity in [1, 2, 5] {
        let geometry = Geometry::new(capacity, 8, 0, false).unwrap();
        let header = BroadcastHeader::new(geometry);
        let slots: Vec<AtomicU64> = (0..geometry.words()).map(|_| AtomicU64::new(0)).collect();
        let broadcast = Broadcast::new(&header, &[], &slots, geometry).unwrap();
        let [me, other] = [1, 2].map(|participant| Owner::new(participant, 1).unwrap());
        let mut writer = broadcast.open_writer(me, &All(false)).unwrap();
        let mut lapped = broadcast.open_reader(other, &All(false), Start::Next).unwrap();
        for number in 0..20_u64 {
            broadcast.send(&mut writer, &number.to_ne_bytes(), &All(false), NOW).unwrap();
        }
        // Position 20 is claimed, and its slot marked.
        header.tail.0.store(21 << 1, Ordering::Relaxed);
        slots[(20 % geometry.slots()) as usize * geometry.stride()].store(21 << 1 | 1, Ordering::Relaxed);
        broadcast.shutdown();
        let mut new = broadcast.open_reader(other, &All(false), Start::Oldest).unwrap();
        let mut record = [0; 8];
        let told = broadcast.recv(&mut lapped, &mut record, &All(false), NOW);
        assert_eq!(told, Err(RecvFailure::Missed(20 - capacity)));
        for reader in [&mut lapped, &mut new] {
            for number in 20 - capacity..20 {
                assert_eq!(broadcast.recv(reader, &mut record, &All(false), NOW), Ok(8));
                assert_eq!(u64::from_ne_bytes(record), number);
            }
            // It may still come, until its writer is dead.
            assert_eq!(broadcast.recv(reader, &mut record, &All(false), NOW), Err(RecvFailure::Empty));
        }
        for reader in [&mut lapped, &mut new] {
            assert_eq!(broadcast.recv(reader, &mut record, &All(true), NOW), Err(RecvFailure::Closed));
        }
    }
}
