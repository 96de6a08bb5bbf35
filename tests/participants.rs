//! Who is alive, who is dead, and what a process and its forks own. Numbers in comments are those of docs/semantics.md.

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use common::{
    Name, PATIENCE, Parts, Role, close_all_descriptors, die_with_parent, fork, hear, hold, is_root, kill, raw_fork,
    reap, refused, role, say, skip, sleep_for_ever, state_of, told, unsafe_copy, until,
};
use ringfence::{Error, LockError, Mutex, Segment, SegmentOptions, Unlink};

fn small() -> SegmentOptions {
    SegmentOptions::new().size(1 << 16).participants(8).objects(8)
}

fn setup(what: &str) -> (Name, Segment, Mutex<u64>) {
    let name = Name::new(what);
    let segment = name.create(&small());
    let mutex = Mutex::create(&segment, "m", 0).unwrap();
    (name, segment, mutex)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
    match role.as_str() {
        "holder" => {
            hold(&mutex);
            say("held");
            hear();
        }
        "raw-parent" => {
            hold(&mutex);
            let child = raw_fork(|| sleep_for_ever());
            say(&format!("child {child}"));
            hear();
        }
        // The leader of the thread group ends while another thread goes on.
        "headless" => {
            std::thread::spawn(move || {
                hold(&mutex);
                say("held");
                hear();
            });
            let leader = std::process::id();
            // The leader may be this thread, or the harness's, which waits for this one.
            // SAFETY: the handler only makes a system call.
            unsafe {
                libc::signal(libc::SIGUSR1, end_thread as *const () as usize);
                libc::syscall(libc::SYS_tgkill, leader, leader, libc::SIGUSR1);
            }
            sleep_for_ever();
        }
        "closes-all" => {
            close_all_descriptors();
            hold(&mutex);
            say("held");
            hear();
        }
        "observes-without-descriptors" => {
            close_all_descriptors();
            say("closed");
            hear();
            let Err(LockError::OwnerDied(mut guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
            assert!(guard.make_consistent());
            drop(guard);
            assert_eq!(segment.participants().len(), 2);
            // The numbers of our old descriptors are somebody else's now, and stay theirs.
            close_all_descriptors();
            let files: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
            assert!(mutex.try_lock().is_ok());
            drop((mutex, segment));
            assert!(files.iter().all(|file| file.metadata().is_ok()));
            say("done");
        }
        "execs" => {
            hold(&mutex);
            say("held");
            hear();
            let error = std::process::Command::new("sleep").arg("1000").exec();
            panic!("{error}");
        }
        "own-pid-namespace" => {
            // SAFETY: the next child is the first of a new namespace.
            if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
                return say("not allowed");
            }
            let child = fork(|| {
                die_with_parent();
                assert_eq!(std::process::id(), 1);
                // As a stranger would, by name.
                let segment = Segment::open(&arguments[0]).unwrap();
                let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
                hold(&mutex);
                say("held");
                sleep_for_ever();
            });
            hear();
            // From the parent's namespace.
            kill(child);
            assert_eq!(reap(child), -libc::SIGKILL);
            say("killed");
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

extern "C" fn end_thread(_signal: i32) {
    // SAFETY: ends the calling thread alone, without destructors.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

// semantics 81
#[test]
fn a_raw_clone_that_outlives_its_parent_keeps_nothing_alive() {
    let (name, segment, mutex) = setup("raw-parent");
    let mut parent = Role::start("raw-parent", &[&name.0]);
    let child = parent.number("child ");
    refused(&mutex);
    parent.kill();
    told(&mutex);
    assert!(!matches!(state_of(child), None | Some('Z')), "the clone lives");
    assert_eq!(segment.participants().len(), 1);
    kill(child);
}

#[test]
fn threads_go_on_when_the_main_thread_has_ended() {
    let (name, segment, mutex) = setup("headless");
    let mut headless = Role::start("headless", &[&name.0]);
    headless.expect("held");
    until("the leader has ended", || state_of(headless.pid()) == Some('Z'));
    refused(&mutex);
    assert!(segment.participants().iter().all(|participant| participant.alive));
    headless.kill();
    told(&mutex);
}

#[test]
fn a_victim_that_closed_every_descriptor_is_still_seen_to_die() {
    let (name, segment, mutex) = setup("closed");
    let mut victim = Role::start("closes-all", &[&name.0]);
    victim.expect("held");
    refused(&mutex);
    victim.kill();
    told(&mutex);
    assert_eq!(segment.participants().len(), 1);
}

#[test]
fn an_observer_that_closed_every_descriptor_still_sees_deaths() {
    let (name, _segment, mutex) = setup("blind");
    let mut observer = Role::start("observes-without-descriptors", &[&name.0]);
    observer.expect("closed");
    let mut victim = Role::start("holder", &[&name.0]);
    victim.expect("held");
    observer.tell("look");
    victim.kill();
    observer.expect("done");
    observer.finish();
    drop(mutex.lock().unwrap());
}

/// Memory without a name cannot be opened again: then nobody is ever taken for dead, and a wait ends in time.
#[test]
fn an_anonymous_segment_without_descriptors_takes_nobody_for_dead() {
    let segment = Segment::anonymous(&small()).unwrap();
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    let holder = fork(|| {
        die_with_parent();
        hold(&mutex);
        sleep_for_ever();
    });
    until("held", || mutex.holder().is_some());
    let child = fork(|| {
        refused(&mutex);
        close_all_descriptors();
        // A stranger's file under the number of our descriptor is not asked.
        let _files: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        kill(holder);
        until("dead", || matches!(state_of(holder), None | Some('Z')));
        assert!(matches!(mutex.lock_timeout(Duration::from_millis(50)), Err(LockError::TimedOut)));
        assert!(segment.recover().is_err());
    });
    reap(holder);
    assert_eq!(reap(child), 0);
    told(&mutex);
}

// semantics 48, 80
#[test]
fn a_stopped_process_is_alive() {
    let (name, segment, mutex) = setup("stopped");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    holder.stop();
    assert!(matches!(mutex.lock_timeout(Duration::from_secs(3)), Err(LockError::TimedOut)));
    assert_eq!(segment.recover(), Ok(0));
    assert_eq!(Segment::sweep().map(|report| report.segments.contains(&name.0)), Ok(false));
    assert!(segment.participants().iter().all(|participant| participant.alive));
    assert_eq!(mutex.holder(), Some(holder.pid() as u32));
    holder.signal(libc::SIGCONT);
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    // Killed while stopped is dead.
    holder.signal(libc::SIGSTOP);
    holder.kill();
    told(&mutex);
}

// semantics 83
#[test]
fn an_exec_gives_back_what_the_process_held() {
    let (name, segment, mutex) = setup("exec");
    let mut process = Role::start("execs", &[&name.0]);
    process.expect("held");
    process.tell("go");
    told(&mutex);
    // It may be in the middle of the call still.
    let comm = || std::fs::read_to_string(format!("/proc/{}/comm", process.pid())).unwrap();
    until("another program", || comm().trim() == "sleep");
    assert_eq!(segment.participants().len(), 1);
    process.kill();
}

#[test]
fn another_pid_namespace_makes_no_difference() {
    if !is_root() {
        return skip("only root may make a PID namespace");
    }
    let (name, segment, mutex) = setup("namespace");
    let mut process = Role::start("own-pid-namespace", &[&name.0]);
    process.expect("held");
    refused(&mutex);
    assert_eq!(mutex.holder(), Some(1), "its pid where it lives");
    assert_eq!(segment.recover(), Ok(0));
    process.tell("kill");
    process.expect("killed");
    told(&mutex);
}

/// Whoever opens takes part, also a forked child that could use what it inherited.
#[test]
fn a_child_that_opens_is_a_participant() {
    let name = Name::new("child-opens");
    let segment = name.create(&small().unlink(Unlink::WithLast));
    let child = fork(|| {
        let again = Segment::open(&name.0).unwrap();
        until("the parent has left", || again.participants().len() == 1);
        assert!(name.path().exists());
        drop(unsafe_copy(&segment));
        drop(again);
        // The parent has given its place back, but may be stopped before it gives its proof of life back: then it is the
        // last, not we.
        until("the name has gone with the last", || !name.path().exists());
    });
    until("the child has joined", || segment.participants().len() == 2);
    drop(segment);
    assert_eq!(reap(child), 0);
}

#[test]
fn many_handles_are_one_participant() {
    let (name, segment, mutex) = setup("handles");
    let by_name = Segment::open(&name.0).unwrap();
    let by_descriptor = Segment::from_fd(segment.try_clone_fd().unwrap()).unwrap();
    let again = Segment::open_or_create(&name.0, &small()).unwrap();
    let clone = segment.clone();
    assert_eq!(by_descriptor.participants().len(), 1);
    drop((segment, by_name, again));
    let others = Mutex::<u64>::open(&clone, "m").unwrap();
    hold(&mutex);
    assert!(matches!(others.lock(), Err(LockError::WouldDeadlock)));
    drop((clone, by_descriptor));
    // The object alone keeps the place.
    assert_eq!(Segment::open(&name.0).unwrap().participants().len(), 1);
}

/// A stopped process that holds the sweep byte for itself delays the reuse of places, and nothing else.
#[test]
fn a_stopped_tidier_delays_nobody() {
    let (name, segment, mutex) = setup("tidier");
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    // SAFETY: zero is a valid value of every field.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as _, (1 << 62) + 0x10001, 1);
    // SAFETY: `lock` is valid for the call.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) }, 0);
    // Whoever waited for it, which never goes on, would wait five seconds; a loaded machine is not so slow each time.
    let took = [(); 3].map(|()| {
        let mut holder = Role::start("holder", &[&name.0]);
        holder.expect("held");
        holder.kill();
        let start = Instant::now();
        told(&mutex);
        start.elapsed()
    });
    assert!(took.iter().any(|took| *took < Duration::from_secs(4)), "{took:?}");
    assert_eq!(segment.participants().len(), 4);
    drop(file);
    // What could not be done then is done by the next slow path.
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    holder.kill();
    told(&mutex);
    assert_eq!(segment.participants().len(), 1);
}

/// The owner words of many threads, as they stand in the file.
#[test]
fn threads_draw_distinct_tags() {
    let (name, _segment, mutex) = setup("tags");
    let heap = Parts::of(8, 8).heap;
    let file = std::fs::File::open(name.path()).unwrap();
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let _guard = mutex.lock_timeout(PATIENCE).unwrap();
                    let mut word = [0; 4];
                    std::os::unix::fs::FileExt::read_exact_at(&file, &mut word, heap).unwrap();
                    let owner = u32::from_ne_bytes(word) & ((1 << 30) - 1);
                    assert!(seen.lock().unwrap().insert(owner), "a tag came twice");
                });
            }
        });
    }
    assert_eq!(seen.into_inner().unwrap().len(), 200);
}

/// Whoever gets the place of a dead process is another owner in every word, however late somebody acts on the dead one.
#[test]
fn a_place_used_again_has_other_tags() {
    let (name, _segment, mutex) = setup("successor");
    let file = std::fs::File::open(name.path()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let mut holder = Role::start("holder", &[&name.0]);
        holder.expect("held");
        let mut word = [0; 4];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut word, Parts::of(8, 8).heap).unwrap();
        let owner = u32::from_ne_bytes(word) & ((1 << 30) - 1);
        assert_eq!(owner & 0x1fff, 2, "the same place");
        assert!(seen.insert(owner), "the same owner as one that is dead");
        holder.kill();
        told(&mutex);
    }
}

// semantics 82
#[test]
fn closing_with_a_lock_held_is_busy() {
    let (_name, segment, mutex) = setup("busy");
    let guard = mutex.lock().unwrap();
    let error = segment.close().unwrap_err();
    assert_eq!(error.error, Error::Busy);
    drop(guard);
    error.segment.close().unwrap();
    drop(mutex.lock().unwrap());
}

// semantics 64
#[test]
fn a_leaked_guard_pins_the_mapping_until_its_thread_ends() {
    let (name, segment, mutex) = setup("leaked");
    let (ready, wait) = std::sync::mpsc::channel();
    let (go, going) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        hold(&mutex);
        drop((mutex, segment));
        ready.send(()).unwrap();
        going.recv().unwrap();
    });
    wait.recv().unwrap();
    // Another handle, by another place: the lock is still held there.
    let segment = Segment::open(&name.0).unwrap();
    let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
    refused(&mutex);
    go.send(()).unwrap();
    thread.join().unwrap();
    told(&mutex);
    segment.recover().unwrap();
    assert_eq!(segment.participants().len(), 1);
}

/// Joining looks for the dead below a mark. A faulty peer that lowers it delays their recovery, and that is all.
#[test]
fn a_lowered_mark_hides_nobody_for_ever() {
    const MARK: u64 = 148;
    let name = Name::new("mark");
    let segment = name.create(&small().participants(3));
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    let die = || {
        let child = fork(|| {
            std::mem::forget(mutex.lock());
            kill(std::process::id() as i32);
        });
        assert_eq!(reap(child), -libc::SIGKILL);
        let file = std::fs::File::options().write(true).open(name.path()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4], MARK).unwrap();
    };
    die();
    // Whoever waits asks for the owner itself.
    told(&mutex);
    die();
    assert_eq!(segment.recover().unwrap(), 2);
    die();
    die();
    // The table is full, of the dead.
    die();
    told(&mutex);
}
