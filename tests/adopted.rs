//! Memory that the caller has mapped: pid and start time are all that is known of a participant.

mod common;

use std::os::fd::FromRawFd;

use std::time::Duration;

use common::{
    Memory, die_with_parent, fork, hold, is_root, kill, no_more_descriptors, reap, refused, skip, sleep_for_ever,
    state_of, told, unsafe_copy, until,
};
use ringfence::{Error, LockError, Mutex, Segment, SegmentOptions};

fn small() -> SegmentOptions {
    SegmentOptions::new().size(1 << 16).participants(8).objects(8)
}

/// A zombie leader may have living threads behind it.
#[test]
fn adopted_memory_knows_the_living_threads_of_a_dead_leader() {
    let memory = Memory::new(1 << 17);
    // SAFETY: the mapping outlives the handles, and is used as a segment only.
    let segment = unsafe { Segment::format_at(memory.base, memory.len, &small()) }.unwrap();
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    let child = fork(|| {
        die_with_parent();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                hold(&mutex);
                sleep_for_ever();
            });
            until("held", || mutex.holder().is_some());
            // SAFETY: ends the calling thread alone, without destructors.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        });
    });
    until("the leader has ended", || state_of(child) == Some('Z'));
    refused(&mutex);
    kill(child);
    assert_eq!(reap(child), -libc::SIGKILL);
    told(&mutex);
    segment.recover().unwrap();
    assert_eq!(segment.participants().len(), 1);
}

/// Adopted memory: a process without descriptors cannot read /proc, and must not take that for a death.
#[test]
fn without_descriptors_nobody_is_taken_for_dead() {
    let memory = Memory::new(1 << 17);
    // SAFETY: as above.
    let segment = unsafe { Segment::format_at(memory.base, memory.len, &small()) }.unwrap();
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    hold(&mutex);
    let child = fork(|| {
        // Joined first, and left later, with nothing to read /proc with.
        refused(&mutex);
        assert!(no_more_descriptors(0));
        refused(&mutex);
        assert!(matches!(mutex.lock_timeout(Duration::from_millis(50)), Err(LockError::TimedOut)));
        assert_eq!(segment.recover(), Ok(0));
        drop(unsafe_copy(&mutex));
        drop(unsafe_copy(&segment));
    });
    assert_eq!(reap(child), 0);
    assert_eq!(segment.participants().len(), 1, "the place was given back");
    let child = fork(|| {
        assert!(no_more_descriptors(0));
        assert!(matches!(mutex.try_lock(), Err(LockError::Segment(Error::NoDescriptors))));
    });
    assert_eq!(reap(child), 0);
}

/// With pids as the only witness, a foreign namespace is refused.
#[test]
fn adopted_memory_refuses_another_pid_namespace() {
    if !is_root() {
        return skip("only root may make a PID namespace");
    }
    let memory = Memory::new(1 << 17);
    // SAFETY: as above.
    let segment = unsafe { Segment::format_at(memory.base, memory.len, &small()) }.unwrap();
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    let middle = fork(|| {
        // SAFETY: the next child is the first of a new namespace.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
            return skip("this root may not unshare");
        }
        let child = fork(|| {
            assert!(matches!(mutex.lock(), Err(LockError::Segment(Error::NotSupported(_)))));
            // SAFETY: as above.
            let other = unsafe { Segment::attach_at(memory.base, memory.len) };
            assert!(matches!(other, Err(Error::NotSupported(_))));
        });
        assert_eq!(reap(child), 0);
    });
    assert_eq!(reap(middle), 0);
}

/// Adopted memory may be unmapped once the handles are gone, leaked guards or not.
#[test]
fn a_leaked_guard_does_not_outlive_adopted_memory() {
    std::thread::spawn(|| {
        for _ in 0..3 {
            let memory = Memory::new(1 << 17);
            // SAFETY: the mapping outlives the handles.
            let segment = unsafe { Segment::format_at(memory.base, memory.len, &small()) }.unwrap();
            hold(&Mutex::create(&segment, "m", 0_u64).unwrap());
        }
    })
    .join()
    .unwrap();
}

/// Its participants hold no locks of the file, so to a descriptor they would all look dead.
#[test]
fn memory_formatted_in_place_is_not_joined_through_its_file() {
    let len = 1 << 16;
    // SAFETY: a file of our own, mapped as long as the segment, and used as that alone.
    let (file, segment) = unsafe {
        let file = std::fs::File::from_raw_fd(libc::memfd_create(c"adopted".as_ptr(), libc::MFD_CLOEXEC));
        file.set_len(len).unwrap();
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, std::os::fd::AsRawFd::as_raw_fd(&file));
        let base = libc::mmap(std::ptr::null_mut(), len as usize, access, libc::MAP_SHARED, fd, 0);
        let base = std::ptr::NonNull::new(base.cast()).unwrap();
        (file, Segment::format_at(base, len as usize, &small()).unwrap())
    };
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    let guard = mutex.lock().unwrap();
    assert!(matches!(Segment::from_fd(file.into()), Err(Error::NotSupported(_))));
    assert_eq!(segment.participants().len(), 1);
    drop(guard);
}
