//! What forks and raw clones of a participant own: nothing. Numbers in comments are those of docs/semantics.md.

mod common;

use std::os::fd::AsRawFd;
use std::time::Duration;

use common::{
    Name, PATIENCE, Role, fork, has_ended, hear, hold, kill, raw_fork, reap, refused, role, say, sleep_for_ever, told,
    unsafe_copy, until,
};
use ringfence::{LockError, Mutex, Segment, SegmentOptions, Unlink};

fn small() -> SegmentOptions {
    SegmentOptions::new().size(1 << 16).participants(8).objects(8)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    match role.as_str() {
        "forks-and-clones" => return forks_and_clones(),
        "threads-of-children" => return threads_of_children(),
        "neighbour" => return neighbour(),
        _ => {}
    }
    // Its children are to be killed when it is gone.
    // SAFETY: changes this process's group only.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
    match role.as_str() {
        "forks-while-joining" => forks_while_joining(&arguments[0]),
        "forks-and-dies-while-joining" => forks_and_dies_while_joining(&arguments[0]),
        _ => panic!("no role {role}"),
    }
}

/// A child that lives on when this process is gone, without its output.
fn fork_for_ever() {
    fork(|| {
        // SAFETY: the harness's output is not used here.
        unsafe { libc::close(1) };
        sleep_for_ever()
    });
}

fn fork_as(raw: bool, child: impl FnOnce()) -> i32 {
    if raw { raw_fork(child) } else { fork(child) }
}

// semantics 81, 3
#[test]
fn forks_and_raw_clones_own_nothing_and_join_for_themselves() {
    // A raw clone must not be made while another thread is inside the library or an allocator, as other tests are.
    Role::start("forks-and-clones", &[]).finish();
}

fn forks_and_clones() {
    let name = Name::new("forks");
    let segment = name.create(&small().unlink(Unlink::WithLast));
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    for raw in [false, true] {
        let mut guard = mutex.lock().unwrap();
        *guard += 1;
        // Drops its copy of everything without ever having used it.
        let child = fork_as(raw, || {
            drop(unsafe_copy(&guard));
            drop(unsafe_copy(&segment));
        });
        assert_eq!(reap(child), 0);
        assert_eq!(mutex.holder(), Some(std::process::id()));
        let child = fork_as(raw, || {
            // The first call makes it a participant, which does not have what its parent has.
            assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
            assert_eq!(segment.participants().len(), 2);
            drop(unsafe_copy(&guard));
            assert!(matches!(mutex.lock_timeout(Duration::from_millis(20)), Err(LockError::TimedOut)));
            drop(unsafe_copy(&mutex));
            drop(unsafe_copy(&segment));
        });
        assert_eq!(reap(child), 0);
        drop(guard);
        let child = fork_as(raw, || {
            *mutex.lock().unwrap() += 10;
            hold(&mutex);
        });
        assert_eq!(reap(child), 0);
        told(&mutex);
        assert_eq!(segment.participants().len(), 1);
    }
    assert_eq!(*mutex.lock().unwrap(), 22);
    assert!(name.path().exists());
    drop((mutex, segment));
    assert!(!name.path().exists());
}

/// A proof of life lies below the mapping of its segment, and leaving unmaps both at once. Where something else lies there,
/// that stays.
#[test]
fn what_lies_below_a_mapping_stays_when_it_goes() {
    // Nobody else may map anything there meanwhile.
    Role::start("neighbour", &[]).finish();
}

fn neighbour() {
    let name = Name::new("neighbour");
    let segment = name.create(&small());
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(" /dev/shm/")).map(String::from).collect::<Vec<_>>()
    };
    let with_access = |line: &String| line.contains("rw-s");
    let segment_line = mapped().into_iter().find(with_access).expect("the segment is mapped");
    let start = usize::from_str_radix(segment_line.split('-').next().unwrap(), 16).unwrap();
    for taken in [false, true] {
        let child = fork(|| {
            assert_eq!(mapped().len(), 1, "a proof of life was inherited");
            let below = (start - 4096) as *mut libc::c_void;
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: replaces nothing; what is mapped is ours, and only used where it was.
            let neighbour = taken.then(|| unsafe {
                let page = libc::mmap(below, 4096, access, flags | libc::MAP_FIXED_NOREPLACE, -1, 0);
                assert_eq!(page, below, "{}", std::io::Error::last_os_error());
                &*page.cast::<std::sync::atomic::AtomicU64>()
            });
            if let Some(word) = neighbour {
                word.store(7, std::sync::atomic::Ordering::Relaxed);
            }
            *mutex.lock().unwrap() += 1;
            assert_eq!(mapped().len(), 2, "the segment, and a proof of life");
            drop(unsafe_copy(&mutex));
            drop(unsafe_copy(&segment));
            assert_eq!(mapped(), Vec::<String>::new());
            assert!(neighbour.is_none_or(|word| word.load(std::sync::atomic::Ordering::Relaxed) == 7));
        });
        assert_eq!(reap(child), 0);
    }
    assert_eq!(*mutex.lock().unwrap(), 2);
    assert_eq!(segment.participants().len(), 1);
}

/// All threads of a forked child come to the segment at the same moment: it is one participant all the same.
#[test]
fn the_threads_of_a_child_join_once() {
    Role::start("threads-of-children", &[]).finish();
}

fn threads_of_children() {
    let name = Name::new("child-threads");
    let segment = name.create(&small());
    let pair = Mutex::create(&segment, "pair", [0_u64; 2]).unwrap();
    for raw in [false, true] {
        for _ in 0..50 {
            let child = fork_as(raw, || {
                let barrier = std::sync::Barrier::new(6);
                std::thread::scope(|scope| {
                    for _ in 0..6 {
                        scope.spawn(|| {
                            barrier.wait();
                            for _ in 0..20 {
                                // Told of a death, or two owners at a time: somebody was taken for dead.
                                let mut guard = pair.lock_timeout(PATIENCE).unwrap();
                                assert_eq!(guard[0], guard[1]);
                                guard[0] += 1;
                                guard.commit();
                                std::thread::yield_now();
                                guard[1] += 1;
                            }
                        });
                    }
                });
                assert_eq!(segment.participants().len(), 2);
            });
            assert_eq!(reap(child), 0);
            segment.recover().unwrap();
        }
    }
    assert_eq!(*pair.lock().unwrap(), [2 * 50 * 6 * 20; 2]);
}

fn forks_while_joining(name: &str) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                fork_for_ever();
            }
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !stop.load(std::sync::atomic::Ordering::SeqCst) {
            drop(Segment::open(name).unwrap());
        }
    });
    let segment = Segment::open(name).unwrap();
    hold(&Mutex::<u64>::open(&segment, "m").unwrap());
    say("held");
    hear();
}

/// A lock of the bytes that are the proofs of life of `first..=last`, or a question for one.
fn live_bytes(command: i32, file: &std::fs::File, first: i64, last: i64) -> libc::flock {
    // SAFETY: zero is a valid value of every field.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as _, (1 << 62) + first, last - first + 1);
    // SAFETY: `lock` is valid for the call.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), command, &mut lock) }, 0);
    lock
}

/// A fork at the very moment in which another thread joins does not inherit the proof of life.
#[test]
fn a_fork_in_the_middle_of_joining_inherits_no_lock() {
    let name = Name::new("fork-join");
    let segment = name.create(&SegmentOptions::new().participants(8191));
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    // Joining takes long: most places are free but cannot be had.
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    live_bytes(libc::F_OFD_SETLK, &file, 2, 4000);
    let mut forker = Role::start("forks-while-joining", &[&name.0]);
    forker.expect("held");
    refused(&mutex);
    let group = forker.pid();
    forker.kill();
    let heir = || {
        told(&mutex);
        let living = live_bytes(libc::F_OFD_GETLK, &file, 4001, 8191);
        assert_eq!(i32::from(living.l_type), libc::F_UNLCK, "a child that never joined counts as alive");
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(heir));
    kill(-group);
    result.unwrap();
}

fn forks_and_dies_while_joining(name: &str) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            hear();
            fork_for_ever();
            kill(std::process::id() as i32);
        });
        say("ready");
        loop {
            drop(Segment::open(name).unwrap());
        }
    });
}

/// Nor the door: who is killed in the middle of joining leaves it to nobody, whatever children it has.
#[test]
fn a_fork_in_the_middle_of_joining_inherits_no_door() {
    let name = Name::new("fork-door");
    let _segment = name.create(&SegmentOptions::new().participants(8191));
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    live_bytes(libc::F_OFD_SETLK, &file, 2, 4000);
    for _ in 0..30 {
        let mut forker = Role::start("forks-and-dies-while-joining", &[&name.0]);
        forker.expect("ready");
        forker.tell("go");
        let group = forker.pid();
        until("its end", || has_ended(group));
        let door = live_bytes(libc::F_OFD_GETLK, &file, 0x1_0000, 0x1_0001);
        kill(-group);
        forker.kill();
        assert_eq!(i32::from(door.l_type), libc::F_UNLCK, "a child keeps the door of a process that is dead");
    }
}
