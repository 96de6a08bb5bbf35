//! The public API under test: the same scenarios, over a named segment that every process joins by itself.
//!
//! A fresh segment is made for every kill point, by a process that leaves at once. Deaths are told by the kernel, not
//! by the board.

use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::{Relaxed, Release};

use ringfence::layout::segment::{Birth, Geometry, Slot};
use ringfence::sys::nap::{Deadline, Wait};
use ringfence::{
    Channel, LockError, Mutex, MutexGuard, PopError, PushError, Queue, RecvError, ReentrantMutex, Segment,
    SegmentOptions, Semaphore, SemaphoreOptions, SendError, Unlink,
};

use crate::board::{Board, Cue, Digest, Role};
use crate::channel::{bytes, ring_words, value};
use crate::fifos::{Fifo, No, WORDS, message, whole};
use crate::locks::{Entry, LockKind, stage};
use crate::os::{Child, Ended, LIMIT, name_prefix, remove_segments};

/// Participants a segment has room for: more than any scenario has, few enough to notice a leak.
pub const PARTICIPANTS: u16 = 12;
/// Objects a segment has room for.
pub const OBJECTS: u32 = 8;
const HEAP: usize = 16 << 10;

/// The options of all segments of the rig.
pub fn options() -> SegmentOptions {
    SegmentOptions::new().size(HEAP).participants(PARTICIPANTS).objects(OBJECTS).unlink(Unlink::Keep)
}

/// The name of the kill point's segment.
pub fn name(board: &Board) -> String {
    format!("{}{:08}", name_prefix(), board.arena[0].load(Relaxed))
}

/// Removes the segments of earlier kill points, and gives this one a name that no other has had.
pub fn fresh_name(board: &Board) {
    use std::sync::atomic::AtomicU64;
    static NEXT: AtomicU64 = AtomicU64::new(1);
    remove_segments(&name_prefix());
    board.arena[0].store(NEXT.fetch_add(1, Relaxed), Relaxed);
}

/// Runs `body` in a process of its own, to its end.
///
/// # Panics
/// If it fails: then nothing can be staged.
pub fn elsewhere(body: impl FnOnce()) {
    assert_eq!(Child::fork(body).wait(LIMIT), Some(Ended::Exit(0)), "a preparation failed");
}

/// A fresh segment, prepared by a process that leaves.
pub fn fresh_segment(board: &Board, prepare: impl FnOnce(&Segment)) {
    fresh_name(board);
    elsewhere(|| prepare(&Segment::create(&name(board), &options()).expect("a fresh segment")));
}

/// A segment to be unlinked with its last participant, who was killed.
pub fn orphaned_segment(board: &Board) {
    fresh_name(board);
    elsewhere(|| {
        let segment = Segment::create(&name(board), &options().unlink(Unlink::WithLast)).expect("a segment");
        // Not left in peace.
        std::mem::forget(segment);
    });
}

/// Joins the kill point's segment.
pub fn join(board: &Board) -> Segment {
    Segment::open(&name(board)).expect("the segment is there")
}

/// All bytes but those that differ at every run: the segment's number and its checksum, pids and times.
pub fn digest(board: &Board) -> Digest {
    let Ok(file) = std::fs::File::open(format!("/dev/shm/ringfence.{}", name(board))) else { return Digest::new() };
    let size = file.metadata().map_or(0, |meta| meta.len());
    let mut bytes = vec![0; size as usize];
    if file.read_exact_at(&mut bytes, 0).is_err() {
        return Digest::new().word(1);
    }
    let mut blank = vec![offset_of!(Birth, id), offset_of!(Birth, checksum)];
    if let Ok(geometry) = Geometry::new(PARTICIPANTS.into(), OBJECTS, size) {
        let slots = (1..=PARTICIPANTS).map(|participant| geometry.slot(participant) as usize);
        blank.extend(slots.flat_map(|slot| [slot + offset_of!(Slot, pid), slot + offset_of!(Slot, start_time)]));
    }
    for at in blank {
        bytes.get_mut(at..at + 8).into_iter().for_each(|word| word.fill(0));
    }
    let words = bytes.chunks_exact(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap_or_default()));
    words.fold(Digest::new(), Digest::word)
}

/// The participant number of a living process.
pub fn place(segment: &Segment, pid: i32) -> Option<u64> {
    let all = segment.participants();
    all.iter().find(|one| one.alive && one.pid == pid.cast_unsigned()).map(|one| one.id.into())
}

/// A critical section of a mutex with the pair in it.
pub fn in_mutex<'a>(
    cue: &Cue,
    inside: impl FnOnce(Entry),
    lock: impl FnOnce() -> Result<MutexGuard<'a, [u64; 2]>, LockError<MutexGuard<'a, [u64; 2]>>>,
) -> Result<u64, String> {
    cue.stage.store(stage::ASKED, Release);
    let (mut guard, died) = match lock() {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(guard)) => (guard, true),
        Err(error) => return Err(error.to_string()),
    };
    cue.stage.store(stage::INSIDE, Release);
    inside(Entry { died, found: *guard });
    let count = guard[0] + 1;
    *guard = [count; 2];
    if died {
        guard.make_consistent();
    }
    cue.stage.store(stage::LEAVING, Release);
    guard.unlock();
    cue.stage.store(stage::OUT, Release);
    Ok(count)
}

/// `Mutex<[u64; 2]>`.
#[derive(Debug)]
pub struct ApiMutex;

impl LockKind for ApiMutex {
    type Joined = (Segment, Mutex<[u64; 2]>);

    const NEVER_TORN: bool = true;

    fn reset(board: &'static Board) {
        fresh_segment(board, |segment| {
            let _ = Mutex::create(segment, "warm", 0_u64).expect("room for a mutex");
            let _ = Mutex::create(segment, "pair", [0_u64; 2]).expect("room for a mutex");
        });
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        drop(Mutex::<u64>::open(&segment, "warm").expect("it is there").lock());
        let mutex = Mutex::open(&segment, "pair").expect("it is there");
        (segment, mutex)
    }

    fn critical((_, mutex): &mut Self::Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        in_mutex(cue, inside, || mutex.lock())
    }

    fn recover((segment, _): &mut Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    fn place((segment, _): &Self::Joined, pid: i32) -> Option<u64> {
        place(segment, pid)
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// A critical section of a lock without data around the board's pair; `half` runs when half of the pair is changed, and is
/// told whether the last owner died.
fn around_the_pair<G>(
    board: &'static Board,
    cue: &Cue,
    inside: impl FnOnce(Entry),
    lock: impl FnOnce() -> Result<G, LockError<G>>,
    half: impl FnOnce(G, bool) -> Result<G, String>,
    unlock: impl FnOnce(G),
) -> Result<u64, String> {
    let [first, second] = &board.pair;
    cue.stage.store(stage::ASKED, Release);
    let (guard, died) = match lock() {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(guard)) => (guard, true),
        Err(error) => return Err(error.to_string()),
    };
    cue.stage.store(stage::INSIDE, Release);
    inside(Entry { died, found: [first.load(Relaxed), second.load(Relaxed)] });
    if died {
        second.store(first.load(Relaxed), Relaxed);
    }
    let count = first.load(Relaxed) + 1;
    first.store(count, Relaxed);
    let guard = half(guard, died)?;
    second.store(count, Relaxed);
    cue.stage.store(stage::LEAVING, Release);
    unlock(guard);
    cue.stage.store(stage::OUT, Release);
    Ok(count)
}

/// `ReentrantMutex`, locked twice, around the board's pair.
#[derive(Debug)]
pub struct ApiReentrant;

impl LockKind for ApiReentrant {
    type Joined = (Segment, ReentrantMutex, &'static Board);

    fn reset(board: &'static Board) {
        fresh_segment(board, |segment| {
            let _ = ReentrantMutex::create(segment, "warm").expect("room for a mutex");
            let _ = ReentrantMutex::create(segment, "lock").expect("room for a mutex");
        });
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        drop(ReentrantMutex::open(&segment, "warm").expect("it is there").lock());
        let mutex = ReentrantMutex::open(&segment, "lock").expect("it is there");
        (segment, mutex, board)
    }

    fn critical((_, mutex, board): &mut Self::Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        around_the_pair(
            board,
            cue,
            inside,
            || mutex.lock(),
            |mut guard, died| {
                if died {
                    guard.make_consistent();
                }
                // The pair is half changed.
                let inner = mutex.lock().map_err(|error| error.to_string())?;
                let levels = mutex.count();
                drop(inner);
                if levels == 2 { Ok(guard) } else { Err(format!("{levels} levels")) }
            },
            |guard| guard.unlock(),
        )
    }

    fn recover((segment, ..): &mut Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// A `Semaphore` with one permit that belongs to who took it, around the board's pair.
#[derive(Debug)]
pub struct ApiSemaphore;

impl LockKind for ApiSemaphore {
    type Joined = (Segment, Semaphore, &'static Board);

    fn reset(board: &'static Board) {
        let options = SemaphoreOptions::new(1).maximum(1);
        fresh_segment(board, |segment| {
            let _ = Semaphore::create(segment, "warm", &options).expect("room for a semaphore");
            let _ = Semaphore::create(segment, "lock", &options).expect("room for a semaphore");
        });
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        drop(Semaphore::open(&segment, "warm").expect("it is there").acquire(1));
        let semaphore = Semaphore::open(&segment, "lock").expect("it is there");
        (segment, semaphore, board)
    }

    fn critical(
        (_, semaphore, board): &mut Self::Joined,
        cue: &Cue,
        inside: impl FnOnce(Entry),
    ) -> Result<u64, String> {
        around_the_pair(board, cue, inside, || semaphore.acquire(1), |permit, _| Ok(permit), drop)
    }

    fn recover((segment, ..): &mut Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// `Queue<[u64; 3]>`.
#[derive(Debug)]
pub struct ApiQueue;

impl Fifo for ApiQueue {
    type Joined = (Segment, Queue<[u64; WORDS]>);

    const IN_ARENA: bool = false;

    fn reset(board: &'static Board, capacity: usize) {
        fresh_segment(board, |segment| {
            let _ = Queue::<[u64; WORDS]>::create(segment, "queue", capacity).expect("room for a queue");
        });
    }

    fn join(board: &'static Board, _: usize, _: Role) -> Self::Joined {
        let segment = join(board);
        let queue = Queue::open(&segment, "queue").expect("it is there");
        // The thread's registration is a scenario of its own.
        let _ = segment.objects();
        (segment, queue)
    }

    fn push((_, queue): &mut Self::Joined, value: u64, wait: Wait) -> Result<(), No> {
        let item = message(value);
        let pushed = if wait.deadline == Deadline::Now { queue.try_push(item) } else { queue.push(item) };
        pushed.map_err(|error| match error {
            PushError::Full(_) => No::Full,
            PushError::Closed(_) => No::Closed,
            _ => No::Other,
        })
    }

    fn pop((_, queue): &mut Self::Joined, wait: Wait) -> Result<u64, No> {
        let popped = if wait.deadline == Deadline::Now { queue.try_pop() } else { queue.pop() };
        whole(popped.map_err(|error| match error {
            PopError::Empty => No::Empty,
            PopError::Busy => No::Busy,
            PopError::Closed => No::Closed,
            _ => No::Other,
        })?)
    }

    fn recover((segment, _): &mut Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    fn place((segment, _): &Self::Joined, pid: i32) -> Option<u64> {
        place(segment, pid)
    }

    fn len((_, queue): &mut Self::Joined) -> usize {
        queue.len()
    }

    fn shutdown((_, queue): &mut Self::Joined) -> bool {
        queue.shutdown().is_ok()
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// `Channel`.
#[derive(Debug)]
pub struct ApiChannel;

impl Fifo for ApiChannel {
    type Joined = (Segment, Channel);

    const IN_ARENA: bool = false;

    fn reset(board: &'static Board, capacity: usize) {
        fresh_segment(board, |segment| {
            let _ = Channel::create(segment, "channel", 8 * ring_words(capacity)).expect("room for a channel");
        });
    }

    fn join(board: &'static Board, _: usize, _: Role) -> Self::Joined {
        let segment = join(board);
        let channel = Channel::open(&segment, "channel").expect("it is there");
        // The thread's registration is a scenario of its own.
        let _ = segment.objects();
        (segment, channel)
    }

    fn push((_, channel): &mut Self::Joined, value: u64, wait: Wait) -> Result<(), No> {
        let message = bytes(value);
        let sent = if wait.deadline == Deadline::Now { channel.try_send(&message) } else { channel.send(&message) };
        sent.map_err(|error| match error {
            SendError::Full => No::Full,
            SendError::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop((_, channel): &mut Self::Joined, wait: Wait) -> Result<u64, No> {
        let mut buffer = [0; 8 * WORDS + 8];
        let now = wait.deadline == Deadline::Now;
        let received = if now { channel.try_recv_into(&mut buffer) } else { channel.recv_into(&mut buffer) };
        let len = received.map_err(|error| match error {
            RecvError::Empty => No::Empty,
            RecvError::Closed => No::Closed,
            _ => No::Other,
        })?;
        value(&buffer[..len])
    }

    fn recover((segment, _): &mut Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    fn place((segment, _): &Self::Joined, pid: i32) -> Option<u64> {
        place(segment, pid)
    }

    fn len((_, channel): &mut Self::Joined) -> usize {
        channel.len()
    }

    fn shutdown((_, channel): &mut Self::Joined) -> bool {
        channel.shutdown().is_ok()
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}
