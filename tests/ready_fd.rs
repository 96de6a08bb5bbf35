//! A descriptor that becomes readable when an object is ready. Numbers in comments are those of docs/semantics.md.

mod common;
mod filter;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use common::{Name, PATIENCE, Role, fork, hear, hold, reap, role, say, unsafe_copy, until};
use filter::{Rule, errno, install};
use ringfence::{
    Channel, Error, Event, Mutex, Pipe, Queue, ReadyFd, ReentrantMutex, Reset, Segment, SegmentOptions, Semaphore,
    SemaphoreOptions, WaitAny, Waitable,
};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    match role.as_str() {
        "holder" => {
            hold(&Mutex::open(&segment, "mutex").unwrap());
            std::mem::forget(ReentrantMutex::open(&segment, "reentrant").unwrap().lock());
            Semaphore::open(&segment, "permits").unwrap().acquire(1).unwrap().forget();
            say("has it");
            hear();
        }
        "pusher" => {
            let queue = Queue::open(&segment, "queue").unwrap();
            (0..2000_u64).for_each(|number| queue.push(number).unwrap());
        }
        "idler" => {
            say("there");
            hear();
        }
        "threads" => threads(&segment),
        "refused" => {
            install(&[Rule { call: libc::SYS_futex_waitv, arguments: &[], answer: errno(libc::EPERM) }]);
            threads(&segment);
        }
        _ => panic!("no role {role}"),
    }
}

fn poll(fd: &impl AsRawFd, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd.
    let found = unsafe { libc::poll(&mut poll, 1, milliseconds) };
    assert!(found >= 0 && (found == 0 || poll.revents == libc::POLLIN), "{found} {}", poll.revents);
    found == 1
}

/// It becomes readable, if it is not yet.
fn becomes_readable(fd: &impl AsRawFd) {
    assert!(poll(fd, PATIENCE.as_millis() as i32), "never readable");
}

/// The threads of this process that serve descriptors, by number.
fn bridges() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let ours =
        tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "ringfence-fd\n"));
    ours.map(|task| task.to_str().unwrap().to_owned()).collect()
}

/// In a process of its own: one thread for each descriptor, which hears no signal and ends with it, asleep or not.
fn threads(segment: &Segment) {
    let queue = Queue::<u64>::open(segment, "queue").unwrap();
    let other = Queue::<u64>::open(segment, "other").unwrap();
    for fired in [true, false] {
        let wait = WaitAny::new([other.readable(), queue.readable()]).unwrap();
        let [first, second] = [wait.as_fd().unwrap(), wait.as_fd().unwrap()];
        // A thread gives itself its name, and is gone from the list a little after it was joined.
        until("their names", || bridges().len() == 2);
        for bridge in bridges() {
            let status = std::fs::read_to_string(format!("{bridge}/status")).unwrap();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
            // All but those that cannot be blocked, and the two that the C library keeps for itself.
            let heard = !u64::from_str_radix(blocked, 16).unwrap();
            let never = [libc::SIGKILL, libc::SIGSTOP, 32, 33].map(|signal| 1 << (signal - 1));
            assert_eq!(heard & !never.iter().sum::<u64>(), 0, "{blocked}");
        }
        let asleep = |bridge: &String| {
            std::fs::read_to_string(format!("{bridge}/wchan")).is_ok_and(|wchan| wchan.contains("futex"))
        };
        until("their sleep", || bridges().iter().all(asleep));
        if fired {
            queue.push(1).unwrap();
            becomes_readable(&first);
            becomes_readable(&second);
            queue.pop().unwrap();
        }
        drop(first);
        until("the end of one", || bridges().len() == 1);
        drop(second);
        until("the end of both", || bridges().is_empty());
    }
}

fn setup(what: &str) -> (Name, Segment) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    (name, segment)
}

/// A pipe, a channel, a queue and the end of a process in one wait; and that beside a plain descriptor in one poll(2).
// semantics 41
#[test]
fn one_waits_for_connections_queues_and_processes_beside_descriptors() {
    let (name, segment) = setup("rf-beside");
    let (here, there) = Pipe::pair(&segment, "talk", 64).unwrap();
    let channel = Channel::create(&segment, "channel", 64).unwrap();
    let queue = Queue::<u64>::create(&segment, "queue", 2).unwrap();
    let mut idler = Role::start("idler", &[&name.0]);
    idler.expect("there");
    let all = segment.participants();
    let gone = Waitable::gone(&segment, all.iter().find(|member| member.pid == idler.pid() as u32).unwrap());
    let wait = WaitAny::new([here.readable(), channel.readable(), queue.readable(), gone]).unwrap();
    let ready = wait.as_fd().unwrap();
    let (mut plain, other) = std::os::unix::net::UnixStream::pair().unwrap();
    // Which of the two polls readable: that of the objects is bit 0.
    let polled = || {
        let mut fds =
            [ready.as_raw_fd(), other.as_raw_fd()].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: two valid pollfds.
        assert!(unsafe { libc::poll(fds.as_mut_ptr(), 2, PATIENCE.as_millis() as i32) } > 0, "never readable");
        fds.map(|fd| fd.revents == libc::POLLIN)
    };
    plain.write_all(b"x").unwrap();
    assert_eq!(polled(), [false, true]);
    (&other).read_exact(&mut [0]).unwrap();
    let told = |bit| {
        assert_eq!(polled(), [true, false]);
        assert_eq!(wait.wait().unwrap().bits(), bit);
    };
    there.send(b"x").unwrap();
    told(1);
    here.recv().unwrap();
    ready.arm().unwrap();
    channel.send(b"x").unwrap();
    told(2);
    channel.recv().unwrap();
    ready.arm().unwrap();
    queue.push(1).unwrap();
    told(4);
    queue.pop().unwrap();
    ready.arm().unwrap();
    idler.kill();
    told(8);
    // The end of file is something to receive.
    drop(there);
    assert_eq!(wait.wait().unwrap().bits(), 9);
}

// semantics 93
#[test]
fn readable_is_ready_since_it_was_armed() {
    let (_name, segment) = setup("rf-queue");
    let queue = Queue::<u64>::create(&segment, "queue", 2).unwrap();
    let ready = queue.readable().as_fd().unwrap();
    assert!(!poll(&ready, 0));
    queue.push(1).unwrap();
    becomes_readable(&ready);
    // It stays so whatever happens, until it is armed.
    queue.pop().unwrap();
    assert!(poll(&ready, 0));
    ready.arm().unwrap();
    assert!(!poll(&ready, 0));
    // Ready when it is armed, and armed again.
    queue.push(2).unwrap();
    for _ in 0..100 {
        becomes_readable(&ready);
        ready.arm().unwrap();
    }
    becomes_readable(&ready);
    queue.pop().unwrap();
    queue.shutdown().unwrap();
    ready.arm().unwrap();
    becomes_readable(&ready);
}

// semantics 93
#[test]
fn each_kind_has_one() {
    let (name, segment) = setup("rf-kinds");
    let mutex = Mutex::create(&segment, "mutex", 0_u64).unwrap();
    let reentrant = ReentrantMutex::create(&segment, "reentrant").unwrap();
    let permits = Semaphore::create(&segment, "permits", &SemaphoreOptions::new(1).maximum(1)).unwrap();
    let signals = Semaphore::create(&segment, "signals", &SemaphoreOptions::new(0).signalling()).unwrap();
    let flag = Event::create(&segment, "flag", Reset::Manual).unwrap();
    let bell = Event::create(&segment, "bell", Reset::Auto).unwrap();
    let queue = Queue::create(&segment, "queue", 1).unwrap();
    let channel = Channel::create(&segment, "channel", 64).unwrap();
    queue.push(7_u64).unwrap();
    channel.send(&[7; 40]).unwrap();
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("has it");
    let participants = segment.participants();
    let victim = participants.iter().find(|info| info.pid as i32 == holder.pid()).unwrap();
    let ready = [
        signals.available(1),
        queue.writable(),
        channel.writable(40),
        flag.occurred(),
        bell.occurred(),
        mutex.unlocked(),
        reentrant.unlocked(),
        permits.available(1),
        Waitable::gone(&segment, victim),
    ]
    .map(|waitable| waitable.as_fd().unwrap());
    let readable = || ready.each_ref().map(|fd| poll(fd, 0));
    assert_eq!(readable(), [false; 9]);
    signals.release(1).unwrap();
    becomes_readable(&ready[0]);
    queue.pop().unwrap();
    becomes_readable(&ready[1]);
    channel.recv().unwrap();
    becomes_readable(&ready[2]);
    flag.set().unwrap();
    becomes_readable(&ready[3]);
    bell.set().unwrap();
    becomes_readable(&ready[4]);
    assert_eq!(readable(), [true, true, true, true, true, false, false, false, false]);
    // What the dead had.
    holder.kill();
    ready.iter().for_each(becomes_readable);
    ready.iter().for_each(|fd| fd.arm().unwrap());
    ready.iter().for_each(becomes_readable);
}

#[test]
fn one_for_several_and_not_for_too_many() {
    let (_name, segment) = setup("rf-several");
    let queues = ["a", "b"].map(|name| Queue::<u64>::create(&segment, name, 2).unwrap());
    let many = |count: usize| WaitAny::new((0..count).map(|place| queues[place % 2].readable())).unwrap();
    assert!(matches!(many(64).as_fd(), Err(Error::InvalidArgument(_))));
    let wait = many(63);
    let ready = wait.as_fd().unwrap();
    assert!(!poll(&ready, 0));
    queues[1].push(1).unwrap();
    becomes_readable(&ready);
    assert_eq!(wait.try_wait().unwrap().first(), 1);
    assert_eq!(ready.as_fd().as_raw_fd(), ready.as_raw_fd());
}

/// The handles that it was made from are gone, the segment and even the object's name are.
#[test]
fn it_keeps_what_it_waits_for() {
    let (_name, segment) = setup("rf-keeps");
    let queue = Queue::<u64>::create(&segment, "queue", 2).unwrap();
    let again = Queue::<u64>::open(&segment, "queue").unwrap();
    let ready = queue.readable().as_fd().unwrap();
    drop(queue);
    segment.remove("queue").unwrap();
    drop(segment);
    again.push(1).unwrap();
    drop(again);
    becomes_readable(&ready);
    ready.arm().unwrap();
    becomes_readable(&ready);
}

#[test]
fn a_thread_for_each_ends_with_it() {
    for role in ["threads", "refused"] {
        let (name, segment) = setup("rf-threads");
        drop(Queue::<u64>::create(&segment, "queue", 2).unwrap());
        drop(Queue::<u64>::create(&segment, "other", 2).unwrap());
        Role::start(role, &[&name.0]).finish();
        // Whatever it had open it has closed.
        assert_eq!(segment.participants().len(), 1);
    }
}

// semantics 81 and 94
#[test]
fn a_forked_child_makes_one_of_its_own() {
    let (_name, segment) = setup("rf-fork");
    let queue = Queue::<u64>::create(&segment, "queue", 2).unwrap();
    let ready = queue.readable().as_fd().unwrap();
    let permits = Semaphore::create(&segment, "permits", &SemaphoreOptions::new(0).signalling()).unwrap();
    let child = fork(|| {
        assert!(matches!(ready.arm(), Err(Error::NotSupported(_))));
        let own = queue.readable().as_fd().unwrap();
        let number = ready.as_raw_fd();
        // Closes it here, and does not wait for a thread that is not there.
        drop(unsafe_copy(&ready));
        // SAFETY: asks whether a number is a descriptor.
        assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1);
        assert!(!poll(&own, 0));
        permits.release(1).unwrap();
        becomes_readable(&own);
        drop(own);
        // Open in this process by the one handle that is left.
        drop(unsafe_copy(&queue));
        segment.remove("queue").unwrap();
    });
    permits.acquire(1).unwrap().forget();
    assert!(!poll(&ready, 0));
    queue.push(1).unwrap();
    assert_eq!(reap(child), 0);
    becomes_readable(&ready);
    ready.arm().unwrap();
    becomes_readable(&ready);
}

/// Whoever follows the rule (try; nothing: arm, wait, try again) gets everything, by edges and by levels.
#[test]
fn nothing_is_missed() {
    for edges in [libc::EPOLLET, 0] {
        let (name, segment) = setup("rf-edges");
        let queue = Queue::<u64>::create(&segment, "queue", 3).unwrap();
        let ready: ReadyFd = queue.readable().as_fd().unwrap();
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | edges) as u32, u64: 7 };
        // SAFETY: valid descriptors and pointers.
        let epoll = unsafe {
            let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            assert_eq!(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, ready.as_raw_fd(), &mut event), 0);
            epoll
        };
        let pusher = Role::start("pusher", &[&name.0]);
        let mut next = 0;
        while next < 2000 {
            match queue.try_pop() {
                Ok(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                Err(_) => {
                    ready.arm().unwrap();
                    // SAFETY: room for one event.
                    let found = unsafe { libc::epoll_wait(epoll, &mut event, 1, PATIENCE.as_millis() as i32) };
                    assert_eq!(found, 1, "behind {next}");
                }
            }
        }
        pusher.finish();
        // SAFETY: closes what was made here.
        assert_eq!(unsafe { libc::close(epoll) }, 0);
    }
}
