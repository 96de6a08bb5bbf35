//! No operation on an open handle allocates: what it needs is in the segment, or was allocated when the handle was opened. What a
//! thread allocates when it first uses a segment is apart: every operation is done once before it is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use ringfence::{
    Array, Barrier, Blackboard, Broadcast, BroadcastOptions, ByteRing, Channel, Condvar, Event, Mutex, Once, OnceValue,
    Pipe, Queue, ReentrantMutex, Reset, RwLock, Segment, SegmentOptions, Semaphore, SemaphoreOptions, Spsc, Value,
    WaitAny, WorkQueue, WorkQueueOptions,
};

/// The system's, which counts what this thread asks it for.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends may still allocate.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: all is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const TIMES: usize = 20;

/// How often `operation` asks for memory, done several times.
fn allocations<R>(mut operation: impl FnMut() -> R) -> usize {
    drop(operation());
    let before = ASKED.get();
    (0..TIMES).for_each(|_| drop(operation()));
    ASKED.get() - before
}

/// What takes nothing. Whatever it returns is looked at by itself.
macro_rules! none {
    ($operation:expr) => {
        assert_eq!(allocations(|| $operation), 0, "{}", stringify!($operation))
    };
}

/// Long enough to sleep, which an operation does without memory as well.
const A_WHILE: Duration = Duration::from_millis(2);

fn segment() -> Segment {
    Segment::anonymous(&SegmentOptions::new()).unwrap()
}

#[test]
fn locks_and_the_like_allocate_nothing() {
    let s = segment();
    let mutex = Mutex::create(&s, "mutex", 7_u64).unwrap();
    none!(*mutex.lock().unwrap() += 1);
    none!(mutex.try_lock().unwrap().unlock());
    let reentrant = ReentrantMutex::create(&s, "reentrant").unwrap();
    none!((reentrant.lock().unwrap(), reentrant.lock().unwrap()));
    let rwlock = RwLock::create(&s, "rwlock", 7_u64).unwrap();
    none!(*rwlock.read().unwrap());
    none!(*rwlock.write().unwrap() += 1);
    none!(rwlock.upgradable_read().unwrap().upgrade().unwrap());
    let owned = Semaphore::create(&s, "owned", &SemaphoreOptions::new(2)).unwrap();
    none!(owned.acquire(2).unwrap());
    none!({
        owned.acquire(1).unwrap().forget();
        owned.release(1).unwrap();
    });
    none!({
        let _all = owned.acquire(2).unwrap();
        assert!(owned.acquire_timeout(1, A_WHILE).is_err());
    });
    let signalling = Semaphore::create(&s, "signalling", &SemaphoreOptions::new(0).signalling()).unwrap();
    none!({
        signalling.release(1).unwrap();
        signalling.acquire(1).unwrap().forget();
    });
    for (name, reset) in [("auto", Reset::Auto), ("manual", Reset::Manual)] {
        let event = Event::create(&s, name, reset).unwrap();
        none!({
            event.set().unwrap();
            event.wait().unwrap();
            event.clear().unwrap();
            assert!(!event.wait_timeout(A_WHILE).unwrap());
        });
    }
    let condvar = Condvar::create(&s, "condvar", 2).unwrap();
    none!(condvar.notify_all(&mutex.lock().unwrap()).unwrap());
    none!(condvar.wait_timeout(mutex.lock().unwrap(), A_WHILE).is_err());
    let barrier = Barrier::create(&s, "barrier", 1).unwrap();
    none!(barrier.wait().unwrap());
    let once = Once::create(&s, "once").unwrap();
    none!(once.call_once(|_| ()).unwrap());
    let value = OnceValue::create(&s, "once value").unwrap();
    none!(value.get_or_init(|_| 7_u64).unwrap());
    none!(value.get().unwrap());
}

#[test]
fn values_and_arrays_allocate_nothing() {
    let s = segment();
    let value = Value::create(&s, "value", 7_u64).unwrap();
    none!(value.fetch_add(1));
    none!(value.lock().unwrap().update(|value| value + 1));
    let large = Value::create(&s, "large", [7_u64; 9]).unwrap();
    none!(large.write(large.read().unwrap()).unwrap());
    let array = Array::<u32>::create(&s, "array", 10).unwrap();
    none!(array.set(3, array.get(4).unwrap()).unwrap());
    none!(array.write(0, &[1, 2, 3]).unwrap());
    none!(array.read(0, &mut [0; 10]).unwrap());
}

#[test]
fn rings_allocate_nothing() {
    let s = segment();
    let spsc = Spsc::<u64>::create(&s, "spsc", 4).unwrap();
    let (mut tx, mut rx) = (spsc.producer().unwrap(), spsc.consumer().unwrap());
    none!({
        tx.push(7).unwrap();
        assert_eq!(rx.pop(), Ok(7));
        assert_eq!(tx.push_slice(&[1, 2, 3]), Ok(3));
        assert_eq!(rx.pop_slice(&mut [0; 3]), Ok(3));
        assert!(rx.pop_timeout(A_WHILE).is_err());
    });
    let bytes = ByteRing::create(&s, "bytes", 1024).unwrap();
    let (mut tx, mut rx) = (bytes.producer().unwrap(), bytes.consumer().unwrap());
    none!({
        let mut room = tx.reserve(100).unwrap();
        room.write_at(0, &[7; 100]);
        room.commit(90).unwrap();
        drop(tx.reserve(50).unwrap());
        let record = rx.peek().unwrap();
        record.read_at(0, &mut [0; 90]);
        record.release();
        tx.push(&[7; 30]).unwrap();
        assert_eq!(rx.pop_into(&mut [0; 30]), Ok(30));
        assert_eq!(tx.write_some(&[7; 30]), Ok(30));
        assert_eq!(rx.read_some(&mut [0; 30]), Ok(30));
        assert!(rx.pop_into_timeout(&mut [0; 30], A_WHILE).is_err());
    });
    let broadcast = Broadcast::<u64>::create(&s, "broadcast", BroadcastOptions::new(4).back_pressure(1)).unwrap();
    let (writer, reader) = (broadcast.writer().unwrap(), broadcast.reader().unwrap());
    none!({
        writer.send(7).unwrap();
        assert_eq!(reader.recv(), Ok(7));
        assert!(reader.recv_timeout(A_WHILE).is_err());
    });
    let broadcast = Broadcast::create_bytes(&s, "broadcast of bytes", 64, BroadcastOptions::new(4)).unwrap();
    let (writer, reader) = (broadcast.writer().unwrap(), broadcast.reader().unwrap());
    none!({
        writer.send(&[7; 64]).unwrap();
        assert_eq!(reader.recv_into(&mut [0; 64]), Ok(64));
    });
    let blackboard = Blackboard::<[u64; 9]>::create(&s, "blackboard").unwrap();
    let writer = blackboard.writer().unwrap();
    none!({
        writer.write([7; 9]).unwrap();
        blackboard.read().unwrap()
    });
}

#[test]
fn queues_and_channels_allocate_nothing() {
    let s = segment();
    let queue = Queue::<[u64; 9]>::create(&s, "queue", 4).unwrap();
    none!({
        queue.push([7; 9]).unwrap();
        assert_eq!(queue.pop(), Ok([7; 9]));
        assert_eq!(queue.push_slice(&[[7; 9]; 3]), Ok(3));
        assert_eq!(queue.pop_slice(&mut [[0; 9]; 3]), Ok(3));
        assert!(queue.pop_timeout(A_WHILE).is_err());
    });
    let channel = Channel::create(&s, "channel", 1024).unwrap();
    none!({
        channel.send(&[7; 100]).unwrap();
        assert_eq!(channel.recv_into(&mut [0; 100]), Ok(100));
        channel.send_with(100, |message| message.write_at(0, &[7; 100])).unwrap();
        channel.recv_with(|message| message.read_at(0, &mut [0; 100])).unwrap();
        assert_eq!(channel.send_many(&[&[7; 10], &[8; 20]]), Ok(2));
        assert_eq!((channel.recv_into(&mut [0; 10]), channel.recv_into(&mut [0; 20])), (Ok(10), Ok(20)));
        assert!(channel.recv_into_timeout(&mut [0; 100], A_WHILE).is_err());
    });
    let (first, second) = Pipe::pair(&s, "pipe", 1024).unwrap();
    none!({
        first.send(&[7; 100]).unwrap();
        assert_eq!(second.recv_into(&mut [0; 100]), Ok(100));
        second.send(&[]).unwrap();
        assert_eq!(first.recv_into(&mut []), Ok(0));
    });
    let work = WorkQueue::create(&s, "work", &WorkQueueOptions::new(4, 100)).unwrap();
    none!({
        work.push(&[7; 100]).unwrap();
        work.take().unwrap().fail().unwrap();
        let lease = work.take().unwrap();
        assert_eq!(lease.read_into(&mut [0; 100]), Ok(100));
        lease.done().unwrap();
        work.join().unwrap();
        assert!(work.take_timeout(A_WHILE).is_err());
    });
    // To make the list allocates, to wait for what is in it does not.
    let any = WaitAny::new([channel.readable(), queue.writable()]).unwrap();
    none!(any.wait().unwrap().first());
    let any = WaitAny::new([channel.readable(), queue.readable()]).unwrap();
    none!(any.wait_timeout(A_WHILE).is_err());
}

/// The control: what returns a `Vec` does allocate, and is seen.
#[test]
fn what_returns_a_vec_is_counted() {
    let s = segment();
    let channel = Channel::create(&s, "channel", 1024).unwrap();
    let received = allocations(|| {
        channel.send(&[7; 100]).unwrap();
        channel.recv().unwrap()
    });
    assert!(received >= TIMES, "{received}");
    let work = WorkQueue::create(&s, "work", &WorkQueueOptions::new(4, 100)).unwrap();
    let read = allocations(|| {
        work.push(&[7; 100]).unwrap();
        let lease = work.take().unwrap();
        (lease.read().unwrap(), lease.done())
    });
    assert!(read >= TIMES, "{read}");
    assert!(allocations(|| s.objects().unwrap()) >= TIMES);
}
