//! The memory of segments: anonymous, adopted, reserved. Numbers in comments are those of docs/semantics.md.

mod common;

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use common::{Name, PATIENCE, Role, die_with_parent, fork, hear, is_root, listed, reap, role, say, skip, small, until};
use ringfence::{Error, LockError, Mutex, Segment};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let name = arguments.first().map_or("", String::as_str);
    match role.as_str() {
        "by-descriptor" => {
            // SAFETY: the parent left this descriptor open for us.
            let fd = unsafe { OwnedFd::from_raw_fd(arguments[0].parse().unwrap()) };
            hold(&Segment::from_fd(fd).unwrap());
        }
        "by-socket" => {
            let fd = receive(arguments[0].parse().unwrap());
            hold(&Segment::from_fd(fd).unwrap());
        }
        "adopter" => {
            let memory = shared_memory::ShmemConf::new().os_id(name).open().unwrap();
            // SAFETY: the mapping lives longer than the segment, which everybody uses as one.
            hold(&unsafe { Segment::attach_at(NonNull::new(memory.as_ptr()).unwrap(), memory.len()) }.unwrap());
        }
        "timer" => {
            // In a process of one thread, which gets all the signals.
            let child = fork(|| {
                // SAFETY: the handler does nothing; zero is a valid value of the rest.
                unsafe {
                    let mut action: libc::sigaction = std::mem::zeroed();
                    action.sa_sigaction = nothing as *const () as usize;
                    assert_eq!(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()), 0);
                    let often = libc::timeval { tv_sec: 0, tv_usec: 2000 };
                    let timer = libc::itimerval { it_interval: often, it_value: often };
                    assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()), 0);
                }
                die_with_parent();
                drop(Segment::create(name, &small().size(256 << 20)).unwrap());
            });
            assert_eq!(reap(child), 0);
            Segment::unlink(name).unwrap();
        }
        "small-space" => small_space(name),
        "small-shm" => small_shm(),
        _ => panic!("no role {role}"),
    }
}

/// Adds one under the lock and says so, holding it.
fn hold(segment: &Segment) {
    let mutex = Mutex::<u64>::open(segment, "m").unwrap();
    let mut guard = mutex.lock().unwrap();
    *guard += 1;
    guard.commit();
    say("held");
    hear();
    drop(guard);
}

/// Kills a role that [holds](hold) the lock and takes it over.
fn kill_and_take_over(mut role: Role, mutex: &Mutex<u64>, expected: u64) {
    role.expect("held");
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    role.kill();
    let Err(LockError::OwnerDied(mut guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
    assert_eq!(*guard, expected);
    assert!(guard.make_consistent());
}

#[test]
fn anonymous_memory_goes_by_descriptor() {
    let segment = Segment::anonymous(&small()).unwrap();
    assert_eq!(segment.name(), None);
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    let fd = segment.try_clone_fd().unwrap();
    // SAFETY: clears close-on-exec of our own descriptor.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let inherits = Role::start("by-descriptor", &[&fd.as_raw_fd().to_string()]);
    kill_and_take_over(inherits, &mutex, 1);

    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::fcntl(theirs.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let receives = Role::start("by-socket", &[&theirs.as_raw_fd().to_string()]);
    send(ours.as_raw_fd(), fd.as_raw_fd());
    drop(fd);
    kill_and_take_over(receives, &mutex, 2);
    assert_eq!(segment.participants().len(), 1);
    // This process is there once, however it came.
    let again = Segment::from_fd(segment.try_clone_fd().unwrap()).unwrap();
    assert_eq!(again.participants().len(), 1);
}

/// Room for one descriptor as ancillary data, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Ancillary([u8; 64]);

fn message(byte: &mut libc::iovec, ancillary: &mut Ancillary) -> libc::msghdr {
    // SAFETY: zero is a valid value of every field.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (byte, 1);
    message.msg_control = ancillary.0.as_mut_ptr().cast();
    // SAFETY: arithmetic only.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as _;
    message
}

fn send(socket: i32, fd: i32) {
    let (mut byte, mut ancillary) = ([0_u8; 1], Ancillary([0; 64]));
    let mut io = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let message = message(&mut io, &mut ancillary);
    // SAFETY: the control buffer has room for one header and one descriptor.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
        assert_eq!(libc::sendmsg(socket, &message, 0), 1);
    }
}

fn receive(socket: i32) -> OwnedFd {
    let (mut byte, mut ancillary) = ([0_u8; 1], Ancillary([0; 64]));
    let mut io = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = message(&mut io, &mut ancillary);
    // SAFETY: the buffers are valid; the descriptor that comes is ours.
    unsafe {
        assert_eq!(libc::recvmsg(socket, &mut message, libc::MSG_CMSG_CLOEXEC), 1);
        OwnedFd::from_raw_fd(libc::CMSG_DATA(libc::CMSG_FIRSTHDR(&message)).cast::<i32>().read_unaligned())
    }
}

#[test]
fn memory_of_another_crate_is_adopted() {
    let memory = shared_memory::ShmemConf::new().size(1 << 16).create().unwrap();
    let base = NonNull::new(memory.as_ptr()).unwrap();
    // SAFETY: the mapping lives longer than the segment, which everybody uses as one.
    let segment = unsafe { Segment::format_at(base, memory.len(), &small()) }.unwrap();
    let mutex = Mutex::create(&segment, "m", 0_u64).unwrap();
    for round in 1..=3 {
        let holder = Role::start("adopter", &[memory.get_os_id()]);
        kill_and_take_over(holder, &mutex, round);
        segment.recover().unwrap();
        assert_eq!(segment.participants().len(), 1);
    }
    assert!(matches!(segment.try_clone_fd(), Err(Error::NotSupported(_))));
    drop((mutex, segment));
    // SAFETY: as above.
    let segment = unsafe { Segment::attach_at(base, memory.len()) }.unwrap();
    assert_eq!(*Mutex::<u64>::open(&segment, "m").unwrap().lock().unwrap(), 3);
}

// semantics 84
#[test]
fn a_size_beyond_the_free_space_leaves_nothing() {
    let name = Name::new("enospc");
    for size in [1 << 50, usize::MAX / 2 - 4096, usize::MAX - 4096, usize::MAX] {
        assert!(matches!(Segment::create(&name.0, &small().size(size)), Err(Error::NoSpace)), "{size}");
        assert!(matches!(Segment::open_or_create(&name.0, &small().size(size)), Err(Error::NoSpace)), "{size}");
        assert!(matches!(Segment::anonymous(&small().size(size)), Err(Error::NoSpace | Error::NoMemory)), "{size}");
    }
    assert!(!name.path().exists());
    if is_root() {
        Role::start("small-shm", &[]).finish();
    } else {
        skip("only root may mount a small /dev/shm");
    }
}

#[test]
fn without_address_space_every_step_is_undone() {
    let name = Name::new("enomem");
    drop(name.create(&small().size(LARGE)));
    Role::start("small-space", &[&name.0]).finish();
    assert!(!Name(format!("{}.new", name.0)).path().exists());
    // Whoever could not map it is no participant.
    assert_eq!(Segment::open(&name.0).unwrap().participants().len(), 1);
}

const LARGE: usize = 64 << 20;

/// With less address space than the segments need.
fn small_space(name: &str) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let used = pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096;
    let before = descriptors();
    let limit = libc::rlimit { rlim_cur: used + LARGE as u64 / 4, rlim_max: used + LARGE as u64 / 4 };
    // SAFETY: `limit` is valid for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let large = small().size(LARGE);
    let new = format!("{name}.new");
    for result in [
        Segment::open(name),
        Segment::open_or_create(name, &large),
        Segment::create(&new, &large),
        Segment::open_or_create(&new, &large),
        Segment::anonymous(&large),
    ] {
        assert_eq!(result.map(drop), Err(Error::NoMemory));
    }
    assert!(listed(&new).is_empty());
    assert_eq!(descriptors(), before);
}

extern "C" fn nothing(_signal: i32) {}

/// Before Linux 6.10 a signal undid what a reservation had got so far; a process with a fast timer must get its segment all the same.
#[test]
fn signals_do_not_keep_a_large_segment_from_being_made() {
    let name = Name::new("timer");
    let mut role = Role::start("timer", &[&name.0]);
    until("it is made", || role.child.try_wait().unwrap().is_some());
    role.finish();
}

fn descriptors() -> BTreeSet<String> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// With a /dev/shm of 1 MiB, in a mount namespace of its own: fills it, and finds it as empty as before.
fn small_shm() {
    // SAFETY: the strings end with NUL; what changes is this process's own mount namespace.
    let mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(c"none".as_ptr(), c"/dev/shm".as_ptr(), c"tmpfs".as_ptr(), 0, c"size=1m".as_ptr().cast())
                == 0
    };
    if !mounted {
        return skip("this root may not mount");
    }
    let free = || {
        // SAFETY: zero is a valid value; the call fills it.
        unsafe {
            let mut stat: libc::statvfs = std::mem::zeroed();
            assert_eq!(libc::statvfs(c"/dev/shm".as_ptr(), &mut stat), 0);
            stat.f_bfree
        }
    };
    let (all, before) = (free(), descriptors());
    let first = Segment::create("first", &small().size(600 << 10)).unwrap();
    let left = free();
    for size in [1 << 20, 600 << 10, 2 << 20] {
        assert!(matches!(Segment::create("second", &small().size(size)), Err(Error::NoSpace)));
        assert_eq!((free(), listed("").len()), (left, 1));
    }
    // What was given is there to the last byte, in a full file system.
    let rest = Segment::create("rest", &small().objects(64).size((left as usize - 12) * 4096)).unwrap();
    assert!(free() < 10);
    let filled = (0..).find(|i| Mutex::create(&rest, &i.to_string(), [7_u64; 1024]).is_err()).unwrap();
    assert!(filled * 16384 + 20000 > (left as usize - 12) * 4096, "{filled}");
    drop((first, rest));
    Segment::unlink("first").unwrap();
    Segment::unlink("rest").unwrap();
    assert_eq!((free(), descriptors()), (all, before));
}
