//! Birth, life and death of segments. Numbers in comments are those of docs/semantics.md.

mod common;

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Name, PATIENCE, Role, die_with_parent, fork, hear, is_root, kill, reap, role, say, skip, until};
use ringfence::{Error, LockError, Mutex, Segment, SegmentOptions, Unlink};

fn small() -> SegmentOptions {
    SegmentOptions::new().size(4096).participants(4).objects(2)
}

fn with_last() -> SegmentOptions {
    small().unlink(Unlink::WithLast)
}

/// The names that start like that.
fn listed(start: &str) -> Vec<String> {
    let all = Segment::list().unwrap();
    all.into_iter().map(|info| info.name).filter(|name| name.starts_with(start)).collect()
}

fn living(name: &str) -> Option<usize> {
    Segment::list().unwrap().into_iter().find(|info| info.name == name).map(|info| info.participants)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let name = arguments.first().map_or("", String::as_str);
    match role.as_str() {
        "member" => {
            let _segment = Segment::open(name).unwrap();
            say("in");
            hear();
        }
        "creator" => {
            let _segment = Segment::create(name, &with_last()).unwrap();
            say("in");
            hear();
        }
        // Several processes in a group of their own, each a member, one of them holding the lock.
        "group" => {
            // SAFETY: changes this process's group only.
            assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
            let segment = Segment::open(name).unwrap();
            let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
            for _ in 0..2 {
                fork(|| {
                    die_with_parent();
                    drop(mutex.lock().unwrap());
                    std::thread::park();
                });
            }
            until("the children have joined", || segment.participants().len() == 4);
            until("the lock is free", || match mutex.try_lock() {
                Ok(mut guard) => {
                    *guard += 1;
                    guard.commit();
                    std::mem::forget(guard);
                    true
                }
                _ => false,
            });
            say("ready");
            hear();
        }
        "creates-and-unlinks" => {
            say("go");
            for round in 0_u64.. {
                let options = if round.is_multiple_of(2) { small() } else { with_last() };
                match Segment::create(name, &options) {
                    Ok(segment) => drop(Mutex::create(&segment, "m", round).unwrap()),
                    Err(Error::Exists) => {}
                    Err(error) => panic!("{error}"),
                }
                let _ = Segment::unlink(name);
            }
        }
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
        "racer" => racer(name, &arguments[1]),
        "cutter" => {
            let file = std::fs::File::options().write(true).open(format!("/dev/shm/ringfence.{name}")).unwrap();
            let sound = std::fs::read(format!("/dev/shm/ringfence.{name}")).unwrap();
            loop {
                std::os::unix::fs::FileExt::write_all_at(&file, &sound, 0).unwrap();
                file.set_len(0).unwrap();
            }
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

// semantics 76, 77
#[test]
fn names_are_taken_free_or_either() {
    let name = Name::new("names");
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    assert_eq!(Segment::unlink(&name.0), Err(Error::Missing));
    let first = name.create(&small());
    assert!(matches!(Segment::create(&name.0, &small()), Err(Error::Exists)));
    let second = Segment::open(&name.0).unwrap();
    let third = Segment::open_or_create(&name.0, &small()).unwrap();
    assert_eq!((first.participants().len(), first.name()), (1, Some(name.0.as_str())));
    assert_eq!(listed(&name.0), [name.0.as_str()]);

    let mutex = Mutex::create(&first, "m", 5_u64).unwrap();
    Segment::unlink(&name.0).unwrap();
    assert_eq!(Segment::unlink(&name.0), Err(Error::Missing));
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    drop((first, third));
    // The mapping outlives the name, and a new segment of that name is another one.
    assert_eq!(*mutex.lock().unwrap(), 5);
    let fresh = name.create(&small());
    assert!(matches!(Mutex::<u64>::open(&fresh, "m"), Err(Error::Missing)));
    assert_eq!(*Mutex::<u64>::open(&second, "m").unwrap().lock().unwrap(), 5);
}

// semantics 79
#[test]
fn drops_keep_the_name_unless_asked_and_last() {
    let name = Name::new("drop");
    drop(name.create(&small()));
    assert!(name.path().exists());
    Segment::unlink(&name.0).unwrap();

    let segment = name.create(&with_last());
    let object = Mutex::create(&segment, "m", 0_u64).unwrap();
    let mut other = Role::start("member", &[&name.0]);
    other.expect("in");
    drop(segment);
    drop(object);
    assert!(name.path().exists(), "another process is still there");
    other.tell("leave");
    other.finish();
    assert!(!name.path().exists());

    // The last one is killed instead: found dead by whoever comes next.
    let mut creator = Role::start("creator", &[&name.0]);
    creator.expect("in");
    creator.kill();
    assert!(matches!(living(&name.0), None | Some(0)), "another test may sweep it");
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    assert!(!name.path().exists());

    let mut creator = Role::start("creator", &[&name.0]);
    creator.expect("in");
    creator.kill();
    let fresh = Segment::open_or_create(&name.0, &small()).unwrap();
    assert!(matches!(Mutex::<u64>::open(&fresh, "m"), Err(Error::Missing)));
}

/// Two last participants leave at the same moment, again and again: one of them must see that it is the last.
#[test]
fn the_last_two_leave_at_once() {
    let name = Name::new("leave");
    for _ in 0..30 {
        let segment = name.create(&with_last());
        let mut other = Role::start("member", &[&name.0]);
        other.expect("in");
        other.tell("leave");
        drop(segment);
        other.finish();
        assert!(!name.path().exists());
    }
}

#[test]
fn a_group_killed_at_once_is_recovered_or_swept() {
    let name = Name::new("group");
    for unlink in [Unlink::Keep, Unlink::WithLast] {
        let segment = name.create(&small().unlink(unlink));
        let mutex = Mutex::create(&segment, "m", 10_u64).unwrap();
        let mut group = Role::start("group", &[&name.0]);
        group.expect("ready");
        drop((mutex, segment));
        assert_eq!(living(&name.0), Some(3));
        assert_eq!(Segment::sweep().map(|report| report.segments.contains(&name.0)), Ok(false), "they live");
        kill(-group.pid());
        drop(group);
        // Another test may sweep before we do.
        until("all are dead", || matches!(living(&name.0), None | Some(0)));
        let swept = Segment::sweep().unwrap();
        assert!(unlink == Unlink::WithLast || !swept.segments.contains(&name.0));
        assert_eq!(name.path().exists(), unlink == Unlink::Keep);
        let segment = Segment::open_or_create(&name.0, &small()).unwrap();
        assert_eq!(segment.participants().len(), 1);
        match Mutex::<u64>::open(&segment, "m") {
            Ok(mutex) => {
                assert_eq!(unlink, Unlink::Keep);
                let Err(LockError::OwnerDied(guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
                assert_eq!(*guard, 11);
            }
            Err(error) => assert_eq!((unlink, error), (Unlink::WithLast, Error::Missing)),
        }
        drop(segment);
        Segment::unlink(&name.0).unwrap();
    }
}

/// As a process leaves it that is killed in the middle of unlinking: marked, and the name still there.
#[test]
fn half_an_unlink_is_swept_and_a_kept_segment_is_not() {
    let (marked, kept, lived_in) = (Name::new("marked"), Name::new("kept"), Name::new("lived-in"));
    let segment = lived_in.create(&small());
    for name in [&marked, &kept] {
        drop(name.create(&small()));
    }
    for name in [&marked, &lived_in] {
        let file = std::fs::File::options().write(true).open(name.path()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &1_u32.to_ne_bytes(), 128).unwrap(); // docs/layout.md: retired
    }
    Segment::sweep().unwrap(); // or another test has done it
    assert_eq!([&marked, &kept, &lived_in].map(|name| name.path().exists()), [false, true, true]);
    drop(segment);
}

#[test]
fn a_creator_killed_anywhere_leaves_a_whole_segment_or_none() {
    let name = Name::new("creator");
    for round in 0..40_u64 {
        let mut creator = Role::start("creates-and-unlinks", &[&name.0]);
        creator.expect("go");
        // Not to synchronise: the kill comes at a random moment.
        std::thread::sleep(Duration::from_micros(round * 137 % 3000));
        creator.kill();
        match Segment::open(&name.0) {
            // Nobody is left in it but us, and what is there can be used.
            Ok(segment) => {
                assert_eq!(segment.participants().len(), 1);
                drop(Mutex::open_or_create(&segment, "n", 0_u64).unwrap().lock().unwrap());
            }
            Err(error) => assert_eq!(error, Error::Missing),
        }
        match Segment::unlink(&name.0) {
            Ok(()) | Err(Error::Missing) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(!name.path().exists());
    }
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

// semantics 76
#[test]
fn an_existing_segment_that_is_too_small_is_another_shape() {
    let name = Name::new("shape");
    let segment = name.create(&small().size(8192));
    drop(Segment::open_or_create(&name.0, &small().size(8192)).unwrap());
    drop(Segment::open_or_create(&name.0, &small().size(1)).unwrap());
    match Segment::open_or_create(&name.0, &small().size(1 << 20)) {
        Err(error @ Error::WrongShape { .. }) => {
            let text = error.to_string();
            let room = segment.size() as u64 - common::Parts::of(4, 2).heap;
            assert!(text.contains("1048576") && text.contains(&room.to_string()), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(segment.participants().len(), 1);
}

/// What the two racers share: where each is, and which rounds each has won.
struct Page(*mut AtomicU64);

const RACES: u64 = 10_000;
const PAGE: usize = 8 * (2 + 2 * RACES as usize);

impl Page {
    fn open(path: &str) -> Self {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len(PAGE as u64).unwrap();
        // SAFETY: a fresh shared mapping, never unmapped.
        let page = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), PAGE, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(page, libc::MAP_FAILED);
        Self(page.cast())
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < PAGE / 8);
        // SAFETY: inside the page, which is never unmapped.
        unsafe { &*self.0.add(index) }
    }

    fn won(&self, me: usize, round: u64) -> &AtomicU64 {
        self.word(2 + round as usize * 2 + me)
    }

    /// Waits until both have come to this round.
    fn meet(&self, me: usize, round: u64) {
        self.word(me).store(round, Ordering::Release);
        let start = Instant::now();
        while self.word(1 - me).load(Ordering::Acquire) < round {
            assert!(start.elapsed() < PATIENCE, "the other racer is gone");
            std::thread::yield_now();
        }
    }
}

fn race(page: &Page, me: usize, name: &str) {
    let mut last = None;
    for round in 0..RACES {
        page.meet(me, round + 1);
        // Both have had their try at the last round's name.
        if last.take().is_some() {
            Segment::unlink(&format!("{name}.{}", (round - 1) % 2)).unwrap();
        }
        match Segment::create(&format!("{name}.{}", round % 2), &small()) {
            Ok(segment) => last = Some(segment),
            Err(Error::Exists) => {}
            Err(error) => panic!("{error}"),
        }
        page.won(me, round).store(last.is_some().into(), Ordering::Relaxed);
    }
    page.meet(me, RACES + 1);
    if last.is_some() {
        Segment::unlink(&format!("{name}.{}", (RACES - 1) % 2)).unwrap();
    }
}

fn racer(name: &str, page: &str) {
    race(&Page::open(page), 1, name);
}

// semantics 76
#[test]
fn of_two_creators_one_wins_ten_thousand_times() {
    let name = Name::new("race");
    let _names = [Name(format!("{}.0", name.0)), Name(format!("{}.1", name.0))];
    let page = Name(format!("{}.page", name.0));
    let path = page.path().to_str().unwrap().to_owned();
    let shared = Page::open(&path);
    let racer = Role::start("racer", &[&name.0, &path]);
    race(&shared, 0, &name.0);
    racer.finish();
    let wins = |me| (0..RACES).map(|round| shared.won(me, round).load(Ordering::Relaxed)).collect::<Vec<_>>();
    let both: Vec<_> = wins(0).iter().zip(wins(1)).map(|(ours, theirs)| ours + theirs).collect();
    assert!(both.iter().all(|winners| *winners == 1), "{both:?}");
    assert!(listed(&name.0).is_empty());
}

/// Looking at names is safe whatever happens to the files meanwhile.
#[test]
fn a_file_that_is_cut_short_does_not_end_who_lists_it() {
    let name = Name::new("cut");
    drop(name.create(&with_last()));
    drop(name.create(&small()));
    let sound = std::fs::read(name.path()).unwrap();
    let child = Role::start("cutter", &[&name.0]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        Segment::list().unwrap();
        Segment::sweep().unwrap();
    }
    child.kill();
    std::fs::write(name.path(), sound).unwrap();
    drop(Segment::open(&name.0).unwrap());
}

/// A participant is counted wherever in the table its place lies, however the locks were taken.
#[test]
fn the_list_counts_places_that_were_used_again() {
    let name = Name::new("count");
    let segment = name.create(&small());
    let mut members: Vec<_> = (0..3).map(|_| Role::start("member", &[&name.0])).collect();
    members.iter_mut().for_each(|member| member.expect("in"));
    assert_eq!(living(&name.0), Some(4));
    // The first place is freed and taken again, by the youngest lock of the file.
    drop(segment);
    assert_eq!(living(&name.0), Some(3));
    let segment = Segment::open(&name.0).unwrap();
    assert_eq!(living(&name.0), Some(4));
    members.remove(1).kill();
    assert_eq!(living(&name.0), Some(3));
    drop(segment);
    members.remove(0).kill();
    assert_eq!(living(&name.0), Some(1));
}

/// Threads of one process that open at the same moment get one place together, and do not wait for each other's door.
#[test]
fn threads_that_open_at_once_share_a_place() {
    let name = Name::new("threads");
    let mut keeper = Role::start("creator", &[&name.0]);
    keeper.expect("in");
    let start = Instant::now();
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    barrier.wait();
                    let segment = Segment::open(&name.0).unwrap();
                    barrier.wait();
                    assert_eq!(segment.participants().len(), 2);
                    barrier.wait();
                    drop(segment);
                }
            });
        }
    });
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    keeper.tell("leave");
    keeper.finish();
    assert!(!name.path().exists());
}
