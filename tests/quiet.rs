//! What nobody waits for costs no system call, and who waits sleeps as long as the schedule says. Neither looks at a clock:
//! a filter kills whoever makes a system call, and a tracer reads for how long each sleep was meant.
#![cfg(target_arch = "x86_64")]

mod common;
mod filter;

use std::time::Duration;

use common::{Memory, die_with_parent, fork, kill, reap};
use filter::{ALLOW, KILL, Rule};
use ringfence::{
    Array, Blackboard, Broadcast, BroadcastOptions, BroadcastRecvError, ByteRing, Channel, Mutex, Once, OnceValue,
    Queue, RawValue, Segment, SegmentOptions, Spsc, Value, WorkQueue, WorkQueueOptions,
};

const OPERATIONS: u32 = 1000;

fn segment() -> Segment {
    Segment::anonymous(&SegmentOptions::new().size(1 << 16)).unwrap()
}

/// Whether `operation`, which has run before, runs on without a system call.
fn is_quiet(mut operation: impl FnMut()) -> bool {
    let child = fork(|| {
        // The child joins, and its thread registers.
        (0..3).for_each(|_| operation());
        filter::install_or(&[Rule { call: libc::SYS_exit_group, arguments: &[], answer: ALLOW }], KILL);
        (0..OPERATIONS).for_each(|_| operation());
        // SAFETY: ends the process, by the one call that is left.
        unsafe { libc::_exit(42) };
    });
    match reap(child) {
        42 => true,
        status => {
            assert_eq!(status, -libc::SIGSYS, "it failed before");
            false
        }
    }
}

#[test]
fn nobody_waits_and_nobody_calls_the_system() {
    let segment = segment();
    let mutex = Mutex::create(&segment, "mutex", 0_u64).unwrap();
    assert!(is_quiet(|| *mutex.lock().unwrap() += 1), "lock and unlock");
    assert!(is_quiet(|| *mutex.try_lock().unwrap() += 1), "try_lock and unlock");

    let queue = Queue::<u64>::create(&segment, "queue", 3).unwrap();
    let round = || {
        queue.push(7).unwrap();
        queue.try_push(8).unwrap();
        assert_eq!((queue.len(), queue.pop(), queue.try_pop()), (2, Ok(7), Ok(8)));
        assert!(queue.try_pop().is_err(), "empty");
    };
    assert!(is_quiet(round), "push and pop");

    let work = WorkQueue::create(&segment, "work", &WorkQueueOptions::new(3, 8)).unwrap();
    assert!(is_quiet(|| {
        work.push(b"one").unwrap();
        work.try_push(b"two").unwrap();
        let (one, two) = (work.take().unwrap(), work.try_take().unwrap());
        assert_eq!(one.read_into(&mut [0; 8]), Ok(3));
        one.done().unwrap();
        two.fail().unwrap();
        work.take().unwrap().keep().unwrap();
        work.task_done().unwrap();
        assert!(work.try_take().is_err(), "empty");
        assert_eq!((work.unfinished(), work.join()), (0, Ok(())));
    }));
    let channel = Channel::create(&segment, "channel", 1024).unwrap();
    let round = || {
        channel.send(&[7; 64]).unwrap();
        channel.try_send(&[]).unwrap();
        assert_eq!(channel.recv_into(&mut [0; 64]), Ok(64));
        assert_eq!(channel.try_recv_into(&mut [0; 64]), Ok(0));
        assert!(channel.try_recv_into(&mut [0; 64]).is_err(), "empty");
    };
    assert!(is_quiet(round), "send and receive");

    // The child that is looked at takes the ends: it has none that it inherited.
    let ring = Spsc::<u64>::create(&segment, "ring", 3).unwrap();
    let mut ends = None;
    let round = || {
        let (producer, consumer) = ends.get_or_insert_with(|| (ring.producer().unwrap(), ring.consumer().unwrap()));
        producer.push(7).unwrap();
        assert_eq!((producer.push_slice(&[8, 9, 10]), ring.len()), (Ok(2), 3));
        assert!(producer.try_push(11).is_err(), "full");
        assert_eq!((consumer.pop(), consumer.pop_slice(&mut [0; 3])), (Ok(7), Ok(2)));
        assert!(consumer.try_pop().is_err(), "empty");
    };
    assert!(is_quiet(round), "a ring");

    let ring = ByteRing::create(&segment, "bytes", 4096).unwrap();
    let mut ends = None;
    let round = || {
        let (producer, consumer) = ends.get_or_insert_with(|| (ring.producer().unwrap(), ring.consumer().unwrap()));
        producer.push(&[7; 100]).unwrap();
        producer.reserve(500).unwrap().commit(3).unwrap();
        assert_eq!((consumer.pop_into(&mut [0; 100]), producer.write_some(&[8; 10])), (Ok(100), Ok(10)));
        consumer.peek().unwrap().release();
        assert_eq!(consumer.read_some(&mut [0; 20]), Ok(10));
        assert!(consumer.try_peek().is_err() && ring.is_empty());
    };
    assert!(is_quiet(round), "a ring of records");
    for (name, options) in
        [("overwriting", BroadcastOptions::new(3)), ("waiting", BroadcastOptions::new(3).back_pressure(2))]
    {
        let broadcast = Broadcast::<u64>::create(&segment, name, options).unwrap();
        // Opened by the process that uses them.
        let mut ends = None;
        let round = || {
            let (writer, reader) =
                ends.get_or_insert_with(|| (broadcast.writer().unwrap(), broadcast.reader().unwrap()));
            writer.send(7).unwrap();
            writer.try_send(8).unwrap();
            assert_eq!((reader.recv(), reader.try_recv()), (Ok(7), Ok(8)));
            assert_eq!(reader.try_recv(), Err(BroadcastRecvError::Empty));
        };
        assert!(is_quiet(round), "{name} broadcast");
    }

    let board = Blackboard::<[u64; 9]>::create(&segment, "board").unwrap();
    let mut writer = None;
    let round = || {
        let number = writer.get_or_insert_with(|| board.writer().unwrap()).write([7; 9]).unwrap();
        assert_eq!(board.read(), Ok((number, [7; 9])));
        assert_eq!(board.wait_newer(number - 1), Ok((number, [7; 9])));
        assert!(board.try_newer(number).is_err());
    };
    assert!(is_quiet(round), "blackboard");

    let value = Value::create(&segment, "value", 0_u64).unwrap();
    let raw = RawValue::<u64>::open(&segment, "value").unwrap();
    let wide = Value::create(&segment, "wide", [0_u64; 4]).unwrap();
    let round = || {
        value.set(value.get() + 1);
        value.fetch_add(1);
        raw.set(raw.get());
        wide.write([7; 4]).unwrap();
        assert_eq!(wide.read().unwrap(), [7; 4]);
        let mut outer = wide.lock().unwrap();
        let _inner = wide.lock().unwrap();
        outer.update(|wide| wide.map(|word| word + 1));
    };
    assert!(is_quiet(round), "values");

    let array = Array::<u32>::create(&segment, "array", 9).unwrap();
    let rows = Array::<[u64; 3]>::create(&segment, "rows", 4).unwrap();
    let round = || {
        array.set(8, array.get(0).unwrap()).unwrap();
        array.fetch_add(0, 1).unwrap();
        array.fill(1).unwrap();
        let _guard = array.lock().unwrap();
        rows.write(1, &[[7; 3]; 2]).unwrap();
        rows.read(0, &mut [[0; 3]; 4]).unwrap();
        rows.fill([1; 3]).unwrap();
    };
    assert!(is_quiet(round), "arrays");

    let once = Once::create(&segment, "once").unwrap();
    let settled = OnceValue::<[u64; 3]>::create(&segment, "settled").unwrap();
    // Its turns too, as long as nobody waits.
    assert!(is_quiet(|| drop(once.begin().unwrap().expect("a turn"))), "turns");
    once.call_once(|_| ()).unwrap();
    settled.set([7; 3]).unwrap();
    let round = || {
        once.call_once(|_| panic!("twice")).unwrap();
        once.wait().unwrap();
        assert!(once.is_completed() && once.begin().unwrap().is_none());
        assert_eq!(
            (settled.get(), settled.get_or_init(|_| [8; 3]), settled.wait()),
            (Some([7; 3]), Ok([7; 3]), Ok([7; 3]))
        );
        assert!(settled.set([9; 3]).is_err());
    };
    assert!(is_quiet(round), "what is done");
}

#[test]
fn adopted_memory_is_as_quiet() {
    let memory = Memory::new(1 << 16);
    // SAFETY: the mapping outlives the handles, and is used as a segment only.
    let segment = unsafe { Segment::format_at(memory.base, memory.len, &common::small()) }.unwrap();
    let mutex = Mutex::create(&segment, "mutex", 0_u64).unwrap();
    let queue = Queue::<u64>::create(&segment, "queue", 3).unwrap();
    let round = || {
        *mutex.lock().unwrap() += 1;
        queue.push(7).unwrap();
        queue.pop().unwrap();
    };
    assert!(is_quiet(round));
}

/// The control: a system call is seen.
#[test]
fn a_system_call_is_seen() {
    assert!(is_quiet(|| {}));
    // SAFETY: takes nothing.
    assert!(!is_quiet(|| assert!(unsafe { libc::syscall(libc::SYS_getppid) } >= 0)));
    let queue = Queue::<u64>::create(&segment(), "queue", 3).unwrap();
    assert!(!is_quiet(|| assert!(queue.pop_timeout(Duration::from_millis(1)).is_err())));
}

/// What a blocked process asks of the kernel.
struct Blocked {
    /// For how many milliseconds each sleep was meant, and how many other calls came before it.
    sleeps: Vec<(u64, usize)>,
}

impl Blocked {
    /// Looks at the first `count` sleeps of a process that blocks in `body`, which never returns.
    fn look(count: usize, body: impl FnOnce()) -> Self {
        struct Gone(i32);
        impl Drop for Gone {
            fn drop(&mut self) {
                kill(self.0);
                reap(self.0);
            }
        }
        let child = Gone(fork(|| {
            die_with_parent();
            // SAFETY: asks to be traced by the parent, and stops.
            unsafe {
                assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), 0, "ptrace is forbidden here");
                libc::raise(libc::SIGSTOP);
            }
            body();
        }));
        let (mut sleeps, mut others) = (Vec::new(), 0);
        let mut status = 0;
        // SAFETY: our child, stopped by itself; the out-pointer is valid.
        unsafe {
            assert_eq!(libc::waitpid(child.0, &mut status, 0), child.0);
            assert!(libc::WIFSTOPPED(status), "it ended before it was traced");
            assert_eq!(libc::ptrace(libc::PTRACE_SETOPTIONS, child.0, 0, libc::PTRACE_O_TRACESYSGOOD), 0);
        }
        while sleeps.len() < count {
            // SAFETY: the tracee is stopped; the out-pointer is valid.
            unsafe {
                assert_eq!(libc::ptrace(libc::PTRACE_SYSCALL, child.0, 0, 0), 0);
                assert_eq!(libc::waitpid(child.0, &mut status, 0), child.0);
            }
            assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80, "status {status:x}");
            let Some((call, arguments)) = entered(child.0) else { continue };
            if call == libc::SYS_futex && arguments[1] & 0x7f == libc::FUTEX_WAIT as u64 {
                assert_ne!(arguments[3], 0, "a sleep without an end");
                let [seconds, nanoseconds] = [0, 8].map(|at| peek(child.0, arguments[3] + at));
                sleeps.push((seconds * 1000 + nanoseconds / 1_000_000, others));
                others = 0;
            } else {
                others += 1;
            }
        }
        Self { sleeps }
    }
}

/// The number and the arguments of the system call that a tracee is about to make.
fn entered(pid: i32) -> Option<(i64, [u64; 6])> {
    // SAFETY: the call fills at most the bytes it is told; the union is plain numbers.
    unsafe {
        let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
        let size = size_of::<libc::ptrace_syscall_info>();
        assert!(libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &mut info) > 0);
        (info.op == libc::PTRACE_SYSCALL_INFO_ENTRY).then_some((info.u.entry.nr as i64, info.u.entry.args))
    }
}

fn peek(pid: i32, address: u64) -> u64 {
    // SAFETY: reads the tracee's memory.
    unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, pid, address, 0) as u64 }
}

/// 8 ms, doubled each time up to 100 ms; and few questions in between.
fn sleeps_by_the_schedule(body: impl FnOnce()) {
    let blocked = Blocked::look(8, body);
    let meant: Vec<_> = blocked.sleeps.iter().map(|(milliseconds, _)| *milliseconds).collect();
    assert_eq!(meant, [8, 16, 32, 64, 100, 100, 100, 100]);
    // Before the first one it joins.
    assert!(blocked.sleeps[1..].iter().all(|(_, others)| *others <= 8), "{:?}", blocked.sleeps);
}

#[test]
fn who_is_blocked_sleeps_by_the_schedule() {
    let segment = segment();
    let mutex = Mutex::create(&segment, "mutex", 0_u64).unwrap();
    let _guard = mutex.lock().unwrap();
    sleeps_by_the_schedule(|| drop(mutex.lock()));
    sleeps_by_the_schedule(|| drop(mutex.lock_timeout(Duration::from_secs(3600))));
    let queue = Queue::<u64>::create(&segment, "queue", 1).unwrap();
    sleeps_by_the_schedule(|| drop(queue.pop()));
    queue.push(7).unwrap();
    sleeps_by_the_schedule(|| drop(queue.push(8)));
    let ring = Spsc::<u64>::create(&segment, "ring", 1).unwrap();
    sleeps_by_the_schedule(|| drop(ring.consumer().unwrap().pop()));
    sleeps_by_the_schedule(|| {
        let mut producer = ring.producer().unwrap();
        producer.push(7).unwrap();
        let _ = producer.push(8);
    });
    let channel = Channel::create(&segment, "channel", 64).unwrap();
    sleeps_by_the_schedule(|| drop(channel.recv()));
    channel.send(&[7; 56]).unwrap();
    sleeps_by_the_schedule(|| drop(channel.send(b"")));
    let value = Value::create(&segment, "value", [0_u64; 3]).unwrap();
    let _guard = value.lock().unwrap();
    sleeps_by_the_schedule(|| drop(value.write([1; 3])));
}
