//! The pipe between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::{
    Memory, Name, PATIENCE, Role, close_all_descriptors, fork, hear, kill, reap, role, say, sleep_for_ever, unsafe_copy,
};
use ringfence::{Channel, End, Error, Pipe, RecvError, Segment, SegmentOptions, SendError, WaitAny, WaitError};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    match role.as_str() {
        "forks" => return forks(),
        "killed-children" => return killed_children(),
        "without-descriptors" => return without_descriptors(),
        _ => {}
    }
    let segment = Segment::open(&arguments[0]).unwrap();
    let open = || Pipe::open(&segment, "p", End::Second).unwrap();
    match role.as_str() {
        "echo" => {
            let pipe = open();
            say("ready");
            loop {
                match pipe.recv() {
                    Ok(message) => pipe.send(&message).unwrap(),
                    Err(error) => break assert_eq!(error, RecvError::EndOfFile),
                }
            }
        }
        "holder" => {
            let pipe = open();
            pipe.send(b"last words").unwrap();
            say("ready");
            hear();
            drop(pipe);
            say("closed");
            hear();
        }
        "keeps-the-first" => {
            let _pipe = Pipe::open(&segment, "p", End::First).unwrap();
            say("ready");
            hear();
        }
        "receiver" => {
            let pipe = open();
            say("ready");
            say(&format!("{:?}", pipe.recv()));
        }
        "sender" => {
            let pipe = open();
            say("ready");
            let error = loop {
                if let Err(error) = pipe.send(&vec![1; arguments[1].parse().unwrap()]) {
                    break error;
                }
            };
            say(&format!("{error:?}"));
        }
        // Another program, which has nothing of this one's.
        "executes" => {
            let _pipe = open();
            say("ready");
            hear();
            let error = std::os::unix::process::CommandExt::exec(std::process::Command::new("sleep").arg("1000"));
            panic!("{error}");
        }
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str, ring: usize) -> (Name, Segment, Pipe, Pipe) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let (first, second) = Pipe::pair(&segment, "p", ring).unwrap();
    (name, segment, first, second)
}

/// The first end, and a process that has the second one.
fn with(what: &str, ring: usize, role: &str, arguments: &[&str]) -> (Name, Segment, Pipe, Role) {
    let (name, segment, first, second) = setup(what, ring);
    let mut all = vec![name.0.as_str()];
    all.extend(arguments);
    let mut role = Role::start(role, &all);
    role.expect("ready");
    drop(second);
    (name, segment, first, role)
}

// semantics 33 and 38
#[test]
fn messages_keep_their_borders_in_both_directions() {
    let (_name, _segment, first, second) = setup("p-borders", 256);
    for message in [&b"one"[..], b"", b"three"] {
        first.send(message).unwrap();
    }
    second.send(b"back").unwrap();
    assert_eq!(second.recv().unwrap(), b"one");
    assert_eq!(first.recv().unwrap(), b"back");
    assert_eq!(second.recv().unwrap(), b"");
    let mut short = [7; 4];
    assert_eq!(second.recv_into(&mut short), Err(RecvError::BufferTooShort { needed: 5 }));
    assert_eq!(short, [7; 4]);
    assert_eq!(second.recv().unwrap(), b"three");
    assert_eq!((first.end(), second.end()), (End::First, End::Second));
}

// semantics 39
#[test]
fn a_part_of_a_buffer_is_a_slice() {
    let (_name, segment, first, second) = setup("p-part", 256);
    let channel = Channel::create(&segment, "c", 256).unwrap();
    let buffer = *b"0123456789";
    for (range, part) in [(2..5, &b"234"[..]), (9..10, b"9"), (10..10, b""), (0..10, &buffer)] {
        first.send(&buffer[range.clone()]).unwrap();
        assert_eq!(second.try_recv().unwrap(), part);
        channel.send(&buffer[range]).unwrap();
        assert_eq!(channel.try_recv().unwrap(), part);
    }
    // A range that is none panics where it is taken, so nothing is sent, and the pipe goes on.
    for (from, to) in [(5, 11), (11, 11), (7, 6)] {
        let send = || first.send(&buffer[std::hint::black_box(from..to)]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(send)).is_err());
    }
    assert_eq!(second.try_recv(), Err(RecvError::Empty));
    first.send(&buffer[8..]).unwrap();
    assert_eq!(second.try_recv().unwrap(), b"89");
}

// semantics 33, 155 and 34
#[test]
fn a_process_at_the_other_end_answers_also_messages_longer_than_the_ring() {
    let (_name, _segment, first, echo) = with("p-echo", 4096, "echo", &[]);
    for len in [0, 1, 8, 100, 4088, 4089, 5000, 16 << 20] {
        let message: Vec<_> = (0..len).map(|n| (n % 251) as u8).collect();
        first.send(&message).unwrap();
        assert!(first.recv().unwrap() == message, "{len} bytes");
    }
    drop(first);
    echo.finish();
}

// semantics 34 and 35
#[test]
fn what_was_sent_comes_before_the_end_of_file() {
    let (_name, _segment, first, second) = setup("p-end", 256);
    second.send(b"a").unwrap();
    second.send(b"b").unwrap();
    let clone = second.try_clone().unwrap();
    drop(second);
    assert_eq!(first.poll(Some(Duration::ZERO)), Ok(true));
    assert_eq!(first.recv().unwrap(), b"a");
    assert_eq!(first.recv().unwrap(), b"b");
    assert_eq!((first.try_recv(), first.poll(Some(Duration::ZERO))), (Err(RecvError::Empty), Ok(false)));
    first.send(b"to the clone").unwrap();
    assert_eq!(clone.recv().unwrap(), b"to the clone");
    drop(clone);
    for _ in 0..2 {
        assert_eq!(first.poll(Some(Duration::ZERO)), Ok(true));
        assert_eq!(first.poll(None), Ok(true));
        assert_eq!(first.recv(), Err(RecvError::EndOfFile));
        assert_eq!(first.try_recv(), Err(RecvError::EndOfFile));
        assert_eq!(first.recv_timeout(PATIENCE), Err(RecvError::EndOfFile));
        assert_eq!(first.send(b"x"), Err(SendError::BrokenPipe));
        assert_eq!(first.try_send(&[0; 1000]), Err(SendError::BrokenPipe));
    }
}

// semantics 34 and 36: whoever waits when the last handle goes is told.
#[test]
fn a_waiter_is_told_when_the_last_handle_goes() {
    let (_name, _segment, first, mut holder) = with("p-told", 256, "holder", &[]);
    assert_eq!(first.recv().unwrap(), b"last words");
    std::thread::scope(|scope| {
        let waiters = [scope.spawn(|| first.recv()), scope.spawn(|| first.poll(None).map(|_| vec![]))];
        holder.tell("go on");
        holder.expect("closed");
        let [receiver, poller] = waiters.map(|waiter| waiter.join().unwrap());
        assert_eq!((receiver, poller), (Err(RecvError::EndOfFile), Ok(vec![])));
    });
    holder.finish();
}

// semantics 36: killed, asleep or not.
#[test]
fn a_killed_holder_is_gone() {
    let (_name, _segment, first, holder) = with("p-killed", 256, "holder", &[]);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (first.recv(), first.recv()));
        holder.kill();
        assert_eq!(waiter.join().unwrap(), (Ok(b"last words".to_vec()), Err(RecvError::EndOfFile)));
    });
    assert_eq!(first.send(b"x"), Err(SendError::BrokenPipe));

    // A stopped one is not gone.
    let (_name, _segment, first, holder) = with("p-stopped", 256, "holder", &[]);
    assert_eq!(first.recv().unwrap(), b"last words");
    holder.stop();
    assert_eq!(first.recv_timeout(Duration::from_millis(300)), Err(RecvError::TimedOut));
    assert_eq!((first.try_recv(), first.send(b"x")), (Err(RecvError::Empty), Ok(())));
}

// semantics 36: another program does not hold what the one before it held.
#[test]
fn a_holder_that_executes_another_program_is_gone() {
    let (_name, _segment, first, mut holder) = with("p-exec", 256, "executes", &[]);
    holder.tell("go on");
    assert_eq!(first.recv(), Err(RecvError::EndOfFile));
    holder.kill();
}

// semantics 35: also for those who wait for room, and in the middle of a long message.
#[test]
fn senders_that_wait_are_told_that_nobody_will_receive() {
    for (len, dies) in [("100", false), ("100", true), ("100000", false), ("100000", true)] {
        let name = Name::new("p-broken");
        let segment = name.create(&SegmentOptions::new());
        let (first, second) = Pipe::pair(&segment, "p", 4096).unwrap();
        let mut sender = Role::start("sender", &[&name.0, len]);
        sender.expect("ready");
        drop(second);
        let mut receiver = Role::start("keeps-the-first", &[&name.0]);
        receiver.expect("ready");
        drop(first);
        sender.falls_asleep();
        if dies {
            receiver.kill();
        } else {
            receiver.tell("go on");
            receiver.finish();
        }
        sender.expect("BrokenPipe");
        sender.finish();
    }
}

// semantics 34 and 36: of the two at the ends, each may be killed at any time.
#[test]
fn a_receiver_in_another_process_is_told() {
    let (_name, _segment, first, mut receiver) = with("p-recv", 256, "receiver", &[]);
    receiver.falls_asleep();
    drop(first);
    receiver.expect("Err(EndOfFile)");
    receiver.finish();
}

// semantics 36
#[test]
fn forked_children_hold_the_ends_that_they_were_forked_with() {
    // In a process of its own: other tests' children would hold these ends too.
    Role::start("forks", &[]).finish();
    Role::start("killed-children", &[]).finish();
}

fn forks() {
    let (_name, _segment, first, second) = setup("p-forks", 4096);
    // A child that has not used it holds it: its first call comes when the parent has closed its own.
    let (go, ready) = Pipe::pair(&_segment, "go", 64).unwrap();
    let child = fork(|| {
        drop(unsafe_copy(&first));
        drop(unsafe_copy(&go));
        assert_eq!(ready.recv().unwrap(), b"go");
        second.send(b"from the child").unwrap();
        drop(unsafe_copy(&second));
    });
    drop(second);
    drop(ready);
    assert_eq!(first.try_recv(), Err(RecvError::Empty));
    go.send(b"go").unwrap();
    assert_eq!(first.recv().unwrap(), b"from the child");
    assert_eq!(first.recv(), Err(RecvError::EndOfFile));
    assert_eq!(reap(child), 0);
}

fn killed_children() {
    // Children that never used the pipe, so that no participant dies: the kernel alone knows.
    for _ in 0..5 {
        let (_name, _segment, first, second) = setup("p-silent", 4096);
        let child = fork(|| sleep_for_ever());
        drop(second);
        assert_eq!(first.recv_timeout(Duration::from_millis(20)), Err(RecvError::TimedOut));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| first.recv());
            kill(child);
            assert_eq!(reap(child), -libc::SIGKILL);
            assert_eq!(waiter.join().unwrap(), Err(RecvError::EndOfFile));
        });
    }
}

// semantics 36: to close all descriptors closes no end.
#[test]
fn closing_all_descriptors_closes_no_end() {
    Role::start("without-descriptors", &[]).finish();
}

fn without_descriptors() {
    let (_name, _segment, first, second) = setup("p-closed", 4096);
    let child = fork(|| {
        close_all_descriptors();
        assert_eq!(second.try_recv(), Err(RecvError::Empty));
        second.send(b"asked").unwrap();
        assert_eq!(second.recv().unwrap(), b"still there");
    });
    drop(second);
    assert_eq!(first.recv().unwrap(), b"asked");
    first.send(b"still there").unwrap();
    assert_eq!(reap(child), 0);
    assert_eq!(first.recv(), Err(RecvError::EndOfFile));
}

// semantics 37
#[test]
fn one_way_goes_from_the_second_end_to_the_first() {
    let name = Name::new("p-one");
    let segment = name.create(&SegmentOptions::new());
    let (reader, writer) = Pipe::one_way(&segment, "p", 256).unwrap();
    writer.send(b"x").unwrap();
    assert_eq!(reader.recv().unwrap(), b"x");
    assert_eq!(reader.send(b"x"), Err(SendError::WrongDirection));
    assert_eq!(writer.recv(), Err(RecvError::WrongDirection));
    assert_eq!(writer.poll(Some(Duration::ZERO)), Err(RecvError::WrongDirection));
    assert_eq!((reader.receives(), reader.sends(), writer.receives(), writer.sends()), (true, false, false, true));
    drop(reader);
    assert_eq!(writer.send(b"x"), Err(SendError::BrokenPipe));
    let (reader, writer) = Pipe::one_way(&segment, "q", 256).unwrap();
    writer.send(b"x").unwrap();
    drop(writer);
    assert_eq!((reader.recv(), reader.recv()), (Ok(b"x".to_vec()), Err(RecvError::EndOfFile)));
}

// semantics 156
#[test]
fn an_end_is_waited_for_until_somebody_comes_and_gone_for_ever_when_all_went() {
    let name = Name::new("p-come");
    let segment = name.create(&SegmentOptions::new());
    let first = Pipe::open_or_create(&segment, "p", End::First, 256).unwrap();
    assert!(!first.is_connected());
    first.send(b"early").unwrap();
    assert_eq!((first.try_recv(), first.poll(Some(Duration::ZERO))), (Err(RecvError::Empty), Ok(false)));
    let second = Pipe::open_or_create(&segment, "p", End::Second, 256).unwrap();
    assert!(first.is_connected() && second.is_connected());
    assert_eq!(second.recv().unwrap(), b"early");
    drop(second);
    assert_eq!(first.recv(), Err(RecvError::EndOfFile));
    for _ in 0..2 {
        assert!(matches!(Pipe::open(&segment, "p", End::Second), Err(Error::EndGone)));
        assert!(matches!(Pipe::open_or_create(&segment, "p", End::Second, 256), Err(Error::EndGone)));
    }
    // The end that is there can have more holders.
    let again = Pipe::open(&segment, "p", End::First).unwrap();
    assert_eq!(again.recv(), Err(RecvError::EndOfFile));
    // A new pipe of that name is another.
    drop((first, again));
    segment.remove("p").unwrap();
    let (first, second) = Pipe::pair(&segment, "p", 256).unwrap();
    first.send(b"new").unwrap();
    assert_eq!(second.recv().unwrap(), b"new");
}

// semantics 40
#[test]
fn polling_takes_nothing_and_ends_by_its_time() {
    let (_name, _segment, first, second) = setup("p-poll", 256);
    assert_eq!(first.poll(Some(Duration::ZERO)), Ok(false));
    assert_eq!(first.poll(Some(Duration::from_millis(20))), Ok(false));
    second.send(b"x").unwrap();
    for _ in 0..3 {
        assert_eq!((first.poll(Some(Duration::ZERO)), first.poll(None)), (Ok(true), Ok(true)));
    }
    assert_eq!(first.recv().unwrap(), b"x");
}

// semantics 157
#[test]
fn waits_end_by_their_time() {
    let (_name, _segment, first, second) = setup("p-time", 64);
    let soon = Duration::from_millis(20);
    assert_eq!(first.try_recv(), Err(RecvError::Empty));
    assert_eq!(first.recv_timeout(Duration::ZERO), Err(RecvError::Empty));
    assert_eq!(first.recv_timeout(soon), Err(RecvError::TimedOut));
    first.send(&[1; 56]).unwrap();
    assert_eq!(first.try_send(b"x"), Err(SendError::Full));
    assert_eq!(first.send_timeout(b"x", soon), Err(SendError::TimedOut));
    // Longer than the ring, and nobody takes it.
    assert_eq!(first.try_send(&[1; 100]), Err(SendError::Full));
    assert_eq!(first.send_timeout(&[1; 100], soon), Err(SendError::TimedOut));
    assert_eq!(second.recv().unwrap(), [1; 56]);
    assert_eq!(second.try_recv(), Err(RecvError::Empty));
}

// semantics 158
#[test]
fn ends_are_waited_for_beside_others() {
    let (_name, segment, first, second) = setup("p-any", 64);
    let (idle, _other) = Pipe::pair(&segment, "idle", 64).unwrap();
    let wait = WaitAny::new([idle.readable(), first.readable()]).unwrap();
    let fd = wait.as_fd().unwrap();
    let readable = || {
        let mut poll = libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(&fd), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        assert_eq!(unsafe { libc::poll(&mut poll, 1, PATIENCE.as_millis() as i32) }, 1);
        fd.arm().unwrap();
    };
    assert_eq!(wait.try_wait(), Err(WaitError::NotReady));
    second.send(b"x").unwrap();
    assert_eq!(wait.wait().unwrap().bits(), 2);
    readable();
    first.recv().unwrap();
    first.send(&[0; 56]).unwrap();
    assert_eq!(WaitAny::new([first.writable(1)]).unwrap().try_wait(), Err(WaitError::NotReady));
    assert_eq!(wait.try_wait(), Err(WaitError::NotReady));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| WaitAny::new([idle.readable(), first.readable()]).unwrap().wait().unwrap().bits());
        drop(second);
        assert_eq!(waiter.join().unwrap(), 2);
    });
    readable();
    assert_eq!(WaitAny::new([first.writable(1)]).unwrap().wait().unwrap().bits(), 1);
}

// semantics 158 and 36
#[test]
fn a_killed_holder_ends_a_wait_for_several() {
    let (_name, _segment, first, holder) = with("p-any-killed", 64, "holder", &[]);
    assert_eq!(first.recv().unwrap(), b"last words");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| WaitAny::new([first.readable()]).unwrap().wait().unwrap().bits());
        holder.kill();
        assert_eq!(waiter.join().unwrap(), 1);
    });
    assert_eq!(first.recv(), Err(RecvError::EndOfFile));
}

// semantics 159
#[test]
fn a_shutdown_ends_both_directions_for_everybody() {
    let (_name, _segment, first, second) = setup("p-shut", 64);
    first.send(b"there").unwrap();
    second.shutdown().unwrap();
    first.shutdown().unwrap();
    assert_eq!((first.send(b"x"), second.send(b"x")), (Err(SendError::Closed), Err(SendError::Closed)));
    assert_eq!((second.recv(), second.recv()), (Ok(b"there".to_vec()), Err(RecvError::Closed)));
    assert_eq!(first.recv(), Err(RecvError::Closed));
}

// semantics 160
#[test]
fn what_cannot_be_is_refused() {
    let name = Name::new("p-refused");
    let segment = name.create(&SegmentOptions::new());
    for ring in [0, 31] {
        assert!(matches!(Pipe::pair(&segment, "p", ring), Err(Error::InvalidArgument(_))), "{ring}");
    }
    assert!(matches!(Pipe::open(&segment, "p", End::First), Err(Error::Missing)));
    let _pair = Pipe::pair(&segment, "p", 64).unwrap();
    assert!(matches!(Pipe::pair(&segment, "p", 64), Err(Error::Exists)));
    assert!(matches!(Pipe::open_or_create(&segment, "p", End::First, 128), Err(Error::WrongShape { .. })));
    assert!(matches!(Pipe::open_or_create_one_way(&segment, "p", End::First, 64), Err(Error::WrongShape { .. })));
    let memory = Memory::new(1 << 17);
    let options = SegmentOptions::new().size(1 << 16).participants(8).objects(8);
    // SAFETY: the mapping outlives the handles, and is used as a segment only.
    let adopted = unsafe { Segment::format_at(memory.base, memory.len, &options) }.unwrap();
    assert!(matches!(Pipe::pair(&adopted, "p", 64), Err(Error::NotSupported(_))));
    assert!(adopted.objects().unwrap().is_empty());
}
