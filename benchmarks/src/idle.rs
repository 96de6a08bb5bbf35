//! What nothing costs: system calls where nobody waits, wake-ups of somebody who waits for nothing.

use std::time::{Duration, Instant};

use ringfence::{Channel, Mutex, Queue, Segment, SegmentOptions, Semaphore, SemaphoreOptions, WaitAny};

use crate::channel::{Peer, Pipe};
use crate::crew::Child;
use crate::table::{Book, Demand};

const OPERATIONS: u32 = 10_000;

/// System calls for each operation: the body runs under ptrace, between two marks.
fn system_calls(prepare: impl FnOnce() -> Box<dyn FnMut()>) -> f64 {
    let child = Child::fork(|| {
        let mut operation = prepare();
        operation(); // the first one registers the thread
        // SAFETY: asks to be traced by the parent and stops; then two marks around the work.
        unsafe {
            assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), 0, "ptrace is forbidden here");
            libc::raise(libc::SIGSTOP);
            libc::syscall(libc::SYS_getppid);
        }
        for _ in 0..OPERATIONS {
            operation();
        }
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_getppid) };
    });
    let mut counter = Counter::default();
    loop {
        let mut status = 0;
        // SAFETY: our own child, which is our tracee once it has stopped.
        unsafe { libc::waitpid(child.pid(), &mut status, 0) };
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the traced worker failed");
            break;
        }
        let mut pass_on = 0;
        match libc::WSTOPSIG(status) {
            libc::SIGSTOP => {
                // SAFETY: the tracee is stopped.
                let set = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, child.pid(), 0, libc::PTRACE_O_TRACESYSGOOD) };
                assert_eq!(set, 0);
            }
            stop if stop == libc::SIGTRAP | 0x80 => counter.see(number(child.pid())),
            signal => pass_on = signal,
        }
        // SAFETY: the tracee is stopped.
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, child.pid(), 0, pass_on) };
    }
    assert_eq!(counter.marks, 2, "the marks were not seen");
    f64::from(counter.between) / f64::from(OPERATIONS)
}

#[derive(Default)]
struct Counter {
    marks: u32,
    between: u32,
}

impl Counter {
    /// Sees a system call enter (`Some`) or leave.
    fn see(&mut self, entered: Option<i64>) {
        match entered {
            Some(libc::SYS_getppid) => self.marks += 1,
            Some(_) if self.marks == 1 => self.between += 1,
            _ => {}
        }
    }
}

/// The number of the system call a tracee is stopped at the entry of.
fn number(pid: i32) -> Option<i64> {
    // SAFETY: the call fills at most the bytes it is told.
    unsafe {
        let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
        let size = size_of::<libc::ptrace_syscall_info>();
        let got = libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &mut info);
        assert!(got > 0, "PTRACE_GET_SYSCALL_INFO: {}", std::io::Error::last_os_error());
        (info.op == libc::PTRACE_SYSCALL_INFO_ENTRY).then_some(info.u.entry.nr as i64)
    }
}

/// Wake-ups a second of a process that blocks in `body`, which never returns.
fn wake_ups(time: Duration, body: impl FnOnce()) -> f64 {
    let child = Child::fork(|| {
        body();
        panic!("there was nothing to wait for");
    });
    std::thread::sleep(Duration::from_millis(20));
    let (begin, before) = (Instant::now(), switches(child.pid()));
    std::thread::sleep(time);
    let rate = (switches(child.pid()) - before) as f64 / begin.elapsed().as_secs_f64();
    child.kill();
    rate
}

/// Times a process went to sleep of its own will.
fn switches(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a living child");
    let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")).expect("a kernel that counts");
    line.trim().parse().expect("a number")
}

/// Counts both.
pub fn measure(book: &mut Book) {
    println!("\nidle: system calls per operation when nobody waits (ptrace, {OPERATIONS} operations)");
    let mut calls = |what: &str, prepare: &dyn Fn() -> Box<dyn FnMut()>, demand| {
        book.judge(&format!("idle, {what}"), system_calls(prepare), "system calls", demand);
    };
    calls("lock + unlock", &lock_alone, Demand::AtMost(0.0));
    calls("push + pop", &queue_alone, Demand::AtMost(0.0));
    calls("send + receive", &channel_alone, Demand::AtMost(0.0));
    calls("pipe, write + read", &pipe_alone, Demand::Shown);
    let time = Duration::from_secs(if book.quick { 3 } else { 10 });
    println!("\nidle: wake-ups a second of a blocked waiter, averaged over {} s", time.as_secs());
    let mut waits = |what: &str, body: fn()| {
        book.judge(&format!("idle, {what}"), wake_ups(time, body), "wake-ups/s", Demand::AtMost(15.0));
    };
    waits("blocked in lock", lock_blocked);
    waits("blocked in pop", pop_blocked);
    waits("blocked in receive", receive_blocked);
    waits("blocked in wait_any of 64", any_blocked);
}

fn lock_alone() -> Box<dyn FnMut()> {
    let segment = segment();
    let mutex = Mutex::create(&segment, "lock", 0_u64).expect("a new mutex");
    Box::new(move || *mutex.lock().expect("free") += 1)
}

fn queue_alone() -> Box<dyn FnMut()> {
    let queue = Queue::create(&segment(), "queue", 8).expect("a new queue");
    Box::new(move || {
        queue.push(7_u64).expect("room");
        queue.pop().expect("an item");
    })
}

fn channel_alone() -> Box<dyn FnMut()> {
    let channel = Channel::create(&segment(), "channel", 4096).expect("a new channel");
    Box::new(move || {
        channel.send(&[7; 64]).expect("room");
        channel.recv_into(&mut [0; 64]).expect("a message");
    })
}

fn pipe_alone() -> Box<dyn FnMut()> {
    let pipe = Pipe::new();
    Box::new(move || {
        pipe.send(&(), &[7; 64]);
        pipe.receive(&());
    })
}

fn lock_blocked() {
    let mutex = Mutex::create(&segment(), "lock", 0_u64).expect("a new mutex");
    std::thread::scope(|scope| {
        // Another thread holds it: the main thread is the one that is counted.
        let (told, held) = std::sync::mpsc::channel();
        let mutex = &mutex;
        scope.spawn(move || {
            let _guard = mutex.lock().expect("free");
            told.send(()).expect("somebody listens");
            std::thread::park();
        });
        held.recv().expect("it is held");
        let _ = mutex.lock();
    });
}

fn pop_blocked() {
    let _ = Queue::<u64>::create(&segment(), "queue", 8).expect("a new queue").pop();
}

fn receive_blocked() {
    let _ = Channel::create(&segment(), "channel", 4096).expect("a new channel").recv();
}

fn any_blocked() {
    let segment = segment();
    let queue = Queue::<u64>::create(&segment, "queue", 8).expect("a new queue");
    let channel = Channel::create(&segment, "channel", 4096).expect("a new channel");
    let semaphore = SemaphoreOptions::new(0).signalling();
    let semaphore = Semaphore::create(&segment, "semaphore", &semaphore).expect("a new semaphore");
    let items = (0..64).map(|place| match place % 3 {
        0 => queue.readable(),
        1 => channel.readable(),
        _ => semaphore.available(1 + place),
    });
    let _ = WaitAny::new(items).expect("64 of them").wait();
}

fn segment() -> Segment {
    Segment::anonymous(&SegmentOptions::new().size(1 << 20)).expect("a new segment")
}
