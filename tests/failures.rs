//! Descriptors that run out and system calls that fail, one at a time: the error says which, nothing is left behind, and
//! the same call works once the cause is gone. Numbers in comments are those of docs/semantics.md.
#![cfg(target_arch = "x86_64")]

mod common;
mod filter;

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use common::{Name, Role, listed, role, say, small};
use filter::{Rule, errno, install};
use ringfence::{Error, Mutex, Segment, Unlink};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let world = World { joined: arguments[0].clone(), new: arguments[1].clone() };
    match role.as_str() {
        "descriptors" => world.few_descriptors(),
        "calls" => world.failing_calls(),
        _ => panic!("no role {role}"),
    }
    say("done");
}

fn in_a_process_of_its_own(role: &str) {
    let (joined, new) = (Name::new("joined"), Name::new("new"));
    let segment = joined.create(&small());
    drop(Mutex::create(&segment, "m", 7_u64).unwrap());
    Role::start(role, &[&joined.0, &new.0]).finish();
    assert_eq!(segment.participants().len(), 1);
    assert!(!new.path().exists());
}

/// One open, or whatever else needs the system, from nothing to the end.
type Step = fn(&World) -> Result<(), Error>;

/// A segment that another process has, and a name that is free.
struct World {
    joined: String,
    new: String,
}

const STEPS: [(&str, Step); 9] = [
    ("open", |world| Segment::open(&world.joined).map(drop)),
    ("lock", |world| {
        let segment = Segment::open(&world.joined)?;
        let mutex = Mutex::<u64>::open(&segment, "m")?;
        assert_eq!(*mutex.lock().map_err(|_| Error::Busy)?, 7);
        Ok(())
    }),
    ("create", |world| {
        drop(Segment::create(&world.new, &small().unlink(Unlink::WithLast))?);
        Ok(())
    }),
    ("open or create", |world| Segment::open_or_create(&world.joined, &small().size(1)).map(drop)),
    ("anonymous", |_| Segment::anonymous(&small()).map(drop)),
    ("from_fd", |world| Segment::from_fd(world.descriptor().ok_or(Error::NoDescriptors)?).map(drop)),
    ("list", |world| {
        let names = Segment::list()?;
        assert!(names.iter().any(|info| info.name == world.joined), "a list that leaves out what it could not open");
        Ok(())
    }),
    ("sweep", |_| Segment::sweep().map(drop)),
    ("unlink", |world| {
        // Another name of the same file, so that the first stays.
        std::fs::hard_link(world.path(&world.joined), world.path(&world.new)).unwrap();
        let result = Segment::unlink(&world.new);
        assert_eq!(std::fs::exists(world.path(&world.new)).unwrap(), result.is_err(), "{result:?}");
        result.map(|()| world.unretire())
    }),
];

impl World {
    fn path(&self, name: &str) -> String {
        format!("/dev/shm/ringfence.{name}")
    }

    fn descriptor(&self) -> Option<OwnedFd> {
        let file = File::options().read(true).write(true).open(self.path(&self.joined)).ok()?;
        Some(file.into())
    }

    fn word(&self, at: u64) -> u32 {
        let mut word = [0; 4];
        File::open(self.path(&self.joined)).unwrap().read_exact_at(&mut word, at).unwrap();
        u32::from_ne_bytes(word)
    }

    /// What may be there under the new name: what could not be unlinked, or, if the caller was the last, not at once.
    fn take_away(&self, step: &str, result: &Result<(), Error>) {
        let there = std::fs::remove_file(self.path(&self.new)).is_ok();
        assert!(
            !there || step == "unlink" && result.is_err() || step == "create" && result.is_ok(),
            "{step}: {result:?}"
        );
    }

    /// The header of a segment whose name is gone says so; here it has another.
    fn unretire(&self) {
        assert_eq!(self.word(128), 1);
        let file = File::options().write(true).open(self.path(&self.joined)).unwrap();
        file.write_all_at(&[0; 4], 128).unwrap();
    }

    /// What a call may leave behind, of this process: descriptors, mappings of segments, places, names.
    fn left(&self) -> (usize, usize, usize, Vec<String>) {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mapped = maps.lines().filter(|line| line.contains("/dev/shm/") || line.contains("memfd:")).count();
        let places = (0..4).filter(|place| self.word(256 + place * 128) & 1 != 0).count();
        assert_eq!(self.word(128), 0, "the name is there, and the header says that it is gone");
        (descriptors, mapped, places, listed(&self.new))
    }

    /// With n descriptors to spare, for every n, until it works.
    fn few_descriptors(&self) {
        for (what, step) in STEPS {
            // What is made once, with the first call: a thread's record, what is known of the process.
            step(self).unwrap();
            let before = self.left();
            let mut refused = 0;
            loop {
                let filler = fill_descriptors();
                let all = limit(filler.last().unwrap().as_raw_fd() as u64 + 1 + refused);
                let result = step(self);
                limit(all);
                self.take_away(what, &result);
                drop(filler);
                assert_eq!(self.left(), before, "{what} with {refused} to spare left something: {result:?}");
                match result {
                    Ok(()) => break,
                    Err(error) => assert_eq!(error, Error::NoDescriptors, "{what} with {refused} to spare"),
                }
                refused += 1;
                assert!(refused < 16, "{what} never works");
            }
            assert!(refused > 0, "{what} needs no descriptor");
            step(self).unwrap();
        }
    }

    fn failing_calls(&self) {
        for (what, step) in STEPS {
            step(self).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        for (what, rules, expected, victims) in cases() {
            for (name, step) in STEPS {
                let before = self.left();
                // A filter holds for its thread alone.
                let result = std::thread::scope(|scope| {
                    let filtered = || {
                        install(&rules);
                        step(self)
                    };
                    scope.spawn(filtered).join().unwrap()
                });
                self.take_away(name, &result);
                assert_eq!(self.left(), before, "{name} without {what} left something: {result:?}");
                if victims.contains(&name) {
                    assert_eq!(result, Err(expected.clone()), "{name} without {what}");
                } else {
                    assert_eq!(result, Ok(()), "{name} does not need {what}");
                }
                step(self).unwrap_or_else(|error| panic!("{name} after {what}: {error}"));
                assert_eq!(self.left(), before);
            }
        }
    }
}

/// Takes every number up to the highest that is in use, and one more: a limit is one of numbers.
fn fill_descriptors() -> Vec<File> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = open.map(|file| file.unwrap().file_name().to_str().unwrap().parse::<i32>().unwrap());
    let highest = numbers.max().unwrap();
    let mut files = vec![File::open("/dev/null").unwrap()];
    while files.last().unwrap().as_raw_fd() <= highest {
        files.push(File::open("/dev/null").unwrap());
    }
    files
}

/// Sets how many descriptors there may be; returns how many there might be before.
fn limit(descriptors: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let before = std::mem::replace(&mut limit.rlim_cur, descriptors);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        before
    }
}

type Case = (&'static str, Vec<Rule<'static>>, Error, &'static [&'static str]);

const JOINING: &[&str] = &["open", "lock", "create", "open or create", "anonymous", "from_fd"];

fn cases() -> Vec<Case> {
    const SHARED: (u32, u32, u32) = (3, 0xf, libc::MAP_SHARED as u32);
    const NO_ACCESS: (u32, u32, u32) = (2, u32::MAX, libc::PROT_NONE as u32);
    const ACCESS: (u32, u32, u32) = (2, u32::MAX, (libc::PROT_READ | libc::PROT_WRITE) as u32);
    const POPULATE: (u32, u32, u32) = (2, u32::MAX, libc::MADV_POPULATE_WRITE as u32);
    // How segments are opened: nobody else in this process opens files so.
    const OPENING: u32 = libc::O_NOFOLLOW as u32;
    const MAKING: u32 = libc::O_TMPFILE as u32;
    let rule = |call, arguments, error| vec![Rule { call, arguments, answer: errno(error) }];
    // By one call or the other, with the flags in the second or the third argument.
    macro_rules! opens {
        ($flags:expr, $error:expr) => {
            vec![
                Rule { call: libc::SYS_open, arguments: &[(1, $flags, $flags)], answer: errno($error) },
                Rule { call: libc::SYS_openat, arguments: &[(2, $flags, $flags)], answer: errno($error) },
            ]
        };
    }
    vec![
        ("files without a name", opens!(MAKING, libc::EDQUOT), Error::NoSpace, &["create"]),
        ("fchmod", rule(libc::SYS_fchmod, &[], libc::EIO), Error::Os(libc::EIO), &["create"]),
        ("fallocate", rule(libc::SYS_fallocate, &[], libc::ENOSPC), Error::NoSpace, &["create", "anonymous"]),
        ("linkat", rule(libc::SYS_linkat, &[(4, 0xffff, 0x400)], libc::EIO), Error::Os(libc::EIO), &["create"]),
        ("memfd_create", rule(libc::SYS_memfd_create, &[], libc::EMFILE), Error::NoDescriptors, &["anonymous"]),
        (
            "seals",
            rule(libc::SYS_fcntl, &[(1, u32::MAX, libc::F_ADD_SEALS as u32)], libc::EPERM),
            Error::Permission,
            &["anonymous"],
        ),
        ("mmap", rule(libc::SYS_mmap, &[SHARED, ACCESS], libc::ENOMEM), Error::NoMemory, JOINING),
        ("the proof of life", rule(libc::SYS_mmap, &[SHARED, NO_ACCESS], libc::ENOMEM), Error::NoMemory, JOINING),
        (
            "madvise",
            rule(libc::SYS_madvise, &[(2, u32::MAX, libc::MADV_DONTFORK as u32)], libc::ENOMEM),
            Error::NoMemory,
            JOINING,
        ),
        (
            "byte locks",
            rule(libc::SYS_fcntl, &[(1, u32::MAX, libc::F_OFD_SETLK as u32)], libc::ENOLCK),
            Error::Os(libc::ENOLCK),
            &["open", "lock", "create", "open or create", "anonymous", "from_fd", "unlink"],
        ),
        (
            "questions for byte locks",
            rule(libc::SYS_fcntl, &[(1, u32::MAX, libc::F_OFD_GETLK as u32)], libc::ENOLCK),
            Error::Os(libc::ENOLCK),
            &["list"],
        ),
        (
            "opening",
            opens!(OPENING, libc::ENFILE),
            Error::NoDescriptors,
            &["open", "lock", "open or create", "list", "sweep", "unlink"],
        ),
        ("reading", rule(libc::SYS_pread64, &[], libc::EIO), Error::Os(libc::EIO), &["from_fd", "list", "unlink"]),
        // As before Linux 5.14.
        ("pages that are ready", rule(libc::SYS_madvise, &[POPULATE], libc::EINVAL), Error::Busy, &[]),
        (
            "reading, or pages that are ready",
            [(libc::SYS_pread64, &[][..], libc::EIO), (libc::SYS_madvise, &[POPULATE], libc::EINVAL)]
                .map(|(call, arguments, error)| Rule { call, arguments, answer: errno(error) })
                .into(),
            Error::Os(libc::EIO),
            &["open", "lock", "open or create", "from_fd", "list", "unlink"],
        ),
        (
            "unlink",
            [libc::SYS_unlink, libc::SYS_unlinkat]
                .map(|call| Rule { call, arguments: &[], answer: errno(libc::EIO) })
                .into(),
            Error::Os(libc::EIO),
            &["unlink"],
        ),
    ]
}

// semantics 84
#[test]
fn without_descriptors_every_call_fails_and_then_works() {
    in_a_process_of_its_own("descriptors");
}

#[test]
fn a_system_call_that_fails_is_an_error_and_no_more() {
    in_a_process_of_its_own("calls");
}
