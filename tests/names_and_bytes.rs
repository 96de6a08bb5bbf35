//! Bad input: names, sizes, files that are no segments, tables that are full. Numbers in comments are those of
//! docs/semantics.md.

mod common;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use common::{Memory, Name, Role, fork, hear, is_root, no_more_descriptors, reap, role, say, skip, small};
use ringfence::{Error, Mutex, Segment, SegmentOptions, Unlink};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    match role.as_str() {
        "member" => match Segment::open(&arguments[0]) {
            Ok(segment) => {
                say("in");
                hear();
                drop(segment);
            }
            Err(error) => assert_eq!(error, Error::TooManyParticipants),
        },
        "few-descriptors" => few_descriptors(&arguments[0], arguments[1].parse().unwrap()),
        _ => panic!("no role {role}"),
    }
}

#[test]
fn segment_names_are_checked() {
    let segment = Segment::anonymous(&small()).unwrap();
    let long = "x".repeat(201);
    for name in ["", long.as_str(), "a/b", "/", "../x", "a\0b", "\0", "sp ace", "ü", "a\n"] {
        assert!(matches!(Segment::create(name, &small()), Err(Error::Name(_))), "{name:?}");
        assert!(matches!(Segment::open(name), Err(Error::Name(_))), "{name:?}");
        assert!(matches!(Segment::open_or_create(name, &small()), Err(Error::Name(_))), "{name:?}");
        assert!(matches!(Segment::unlink(name), Err(Error::Name(_))), "{name:?}");
    }
    let long = "x".repeat(64);
    for name in ["", long.as_str(), "a\0b", "\0"] {
        assert!(matches!(Mutex::create(&segment, name, 0_u8), Err(Error::Name(_))), "{name:?}");
        assert!(matches!(Mutex::<u8>::open(&segment, name), Err(Error::Name(_))), "{name:?}");
        assert!(matches!(segment.remove(name), Err(Error::Name(_))), "{name:?}");
    }
    for name in ["/", "ü", &"x".repeat(63), " ", "../x"] {
        drop(Mutex::create(&segment, name, 0_u8).unwrap());
        segment.remove(name).unwrap();
    }
    // The longest that is allowed, and dots, which are names like others.
    for name in [format!("{:x<200}", Name::new("long").0), format!("{}..", Name::new("..").0)] {
        let name = Name(name);
        drop(name.create(&small()));
        assert!(name.path().exists());
    }
}

#[test]
fn impossible_options_are_refused() {
    let name = Name::new("options");
    let bad = [
        small().size(0),
        small().participants(0),
        small().participants(8192),
        small().participants(u16::MAX),
        small().objects(0),
        small().objects(65537),
        small().objects(u32::MAX),
        small().mode(0o1600),
        small().mode(0o400),
        small().mode(0),
    ];
    for options in bad {
        let result = Segment::create(&name.0, &options);
        assert!(matches!(result, Err(Error::InvalidArgument(_))), "{options:?} {result:?}");
        assert!(matches!(Segment::open_or_create(&name.0, &options), Err(Error::InvalidArgument(_))));
    }
    assert!(!name.path().exists());
    let memory = Memory::new(1 << 16);
    for (skip, len) in [(8, 1 << 15), (1, 1 << 15), (0, 0), (0, 100), (0, 256), (0, 1000), (0, usize::MAX)] {
        // SAFETY: what is used lies inside the memory; lengths beyond it are refused before any access.
        unsafe {
            let base = memory.base.add(skip);
            let result = Segment::format_at(base, len, &small());
            assert!(matches!(result, Err(Error::InvalidArgument(_))), "{skip} {len} {result:?}");
            let result = Segment::attach_at(base, len.min(1 << 15));
            assert!(matches!(result, Err(Error::InvalidArgument(_) | Error::Corrupted(_))), "{skip} {len} {result:?}");
        }
    }
    let biggest = Name::new("biggest");
    drop(biggest.create(&SegmentOptions::new().participants(8191).objects(65536).mode(0o666)));
    let mode = std::os::unix::fs::PermissionsExt::mode(&biggest.path().metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o666);
}

/// Opening, by name and by descriptor, gives an error that `expected` accepts; nothing changes on disk.
fn refused(name: &Name, what: &str, expected: impl Fn(&Error) -> bool) {
    for result in [Segment::open(&name.0), Segment::open_or_create(&name.0, &small())] {
        let error = result.expect_err(what);
        assert!(expected(&error), "{what}: {error:?}");
    }
    // These must not be taken for segments, nor stand in the way of others.
    assert!(Segment::list().unwrap().iter().all(|info| info.name != name.0), "{what}");
    assert!(!Segment::sweep().unwrap().segments.contains(&name.0), "{what}");
    assert!(name.path().symlink_metadata().is_ok(), "{what}");
}

fn corrupted(error: &Error) -> bool {
    matches!(error, Error::Corrupted(_))
}

#[test]
fn what_is_no_segment_is_refused() {
    let name = Name::new("other");
    let path = CString::new(name.path().as_os_str().as_bytes()).unwrap();

    std::os::unix::fs::symlink("/dev/zero", name.path()).unwrap();
    refused(&name, "a symbolic link", corrupted);
    std::fs::remove_file(name.path()).unwrap();
    let target = Name::new("target");
    drop(target.create(&small()));
    std::os::unix::fs::symlink(target.path(), name.path()).unwrap();
    refused(&name, "a symbolic link to a segment", corrupted);
    assert!(corrupted(&Segment::unlink(&name.0).unwrap_err()));
    std::fs::remove_file(name.path()).unwrap();

    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    refused(&name, "a FIFO", corrupted);
    assert!(corrupted(&Segment::unlink(&name.0).unwrap_err()));
    std::fs::remove_file(name.path()).unwrap();

    std::fs::create_dir(name.path()).unwrap();
    refused(&name, "a folder", corrupted);
    std::fs::remove_dir(name.path()).unwrap();

    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    for len in [0, 1, 127, 128, 255, 256, 4096, 100_000] {
        let mut bytes = vec![0; len];
        std::io::Read::read_exact(&mut random, &mut bytes).unwrap();
        for bytes in [bytes.clone(), vec![0; len], vec![0xff; len]] {
            std::fs::write(name.path(), &bytes).unwrap();
            refused(&name, "other bytes", corrupted);
            assert_eq!(std::fs::read(name.path()).unwrap(), bytes);
        }
    }
    // Such a file is in our name space, so its name can be removed.
    Segment::unlink(&name.0).unwrap();
    drop(name.create(&small()));
}

fn checksum(header: &[u8]) -> u64 {
    header[..120].iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn a_header_with_any_byte_changed_is_refused() {
    let name = Name::new("flip");
    drop(name.create(&small()));
    let sound = std::fs::read(name.path()).unwrap();
    for at in 0..128 {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] ^= flip;
            std::fs::write(name.path(), bytes).unwrap();
            refused(&name, &format!("byte {at}"), |error| match error {
                Error::Corrupted(_) => !(8..12).contains(&at),
                Error::Version { expected, found } => (8..12).contains(&at) && expected != found,
                _ => false,
            });
        }
    }
    // The same with a checksum that fits: fields that make no sense, sizes that are not there.
    for (at, value) in [(16, sound.len() as u32 + 1), (16, 0), (20, 1), (23, 0x80), (24, 0), (24, 8192), (24, u32::MAX)]
        .into_iter()
        .chain([(28, 0), (28, 65537), (28, u32::MAX), (28, 64), (32, 2), (36, 2), (56, 1), (112, 1), (12, 0x0403_0201)])
    {
        let mut bytes = sound.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        let sum = checksum(&bytes);
        bytes[120..128].copy_from_slice(&sum.to_ne_bytes());
        std::fs::write(name.path(), bytes).unwrap();
        refused(&name, &format!("{value} at {at}"), corrupted);
    }
    let mut bytes = sound.clone();
    bytes[8] = 9;
    std::fs::write(name.path(), bytes).unwrap();
    let ours = format!("version {}", ringfence::layout::segment::LAYOUT_VERSION);
    refused(&name, "version", |error| error.to_string().contains('9') && error.to_string().contains(&ours));
    for len in [0, 100, 128, 4096, sound.len() - 1] {
        std::fs::write(name.path(), &sound[..len]).unwrap();
        refused(&name, "truncated", corrupted);
    }
    std::fs::write(name.path(), &sound).unwrap();
    drop(Segment::open(&name.0).unwrap());
}

/// The part of the header that changes: whatever stands there, opening ends, with a segment that works or an error.
#[test]
fn any_byte_of_the_changing_header_may_be_wrong() {
    let name = Name::new("flip-end");
    drop(name.create(&small()));
    let sound = std::fs::read(name.path()).unwrap();
    for at in 128..256 {
        let mut bytes = sound.clone();
        bytes[at] ^= 0xff;
        std::fs::write(name.path(), bytes).unwrap();
        match Segment::open(&name.0) {
            Ok(segment) => match Mutex::create(&segment, "m", 0_u8) {
                Ok(mutex) => drop(mutex.lock().unwrap()),
                Err(error) => assert!(matches!(error, Error::Corrupted(_)) && (152..156).contains(&at), "{error}"),
            },
            // Retired: the name is taken away.
            Err(error) => assert!(error == Error::Missing && (128..132).contains(&at), "{at}: {error}"),
        }
    }
}

// semantics 78
#[test]
fn an_object_of_another_shape_names_both_sides() {
    let segment = Segment::anonymous(&small()).unwrap();
    drop(Mutex::create(&segment, "m", 0_u64).unwrap());
    let shapes = [
        Mutex::<u32>::open(&segment, "m").map(drop),
        Mutex::<i64>::open(&segment, "m").map(drop),
        Mutex::<f64>::open(&segment, "m").map(drop),
        Mutex::<[u64; 2]>::open(&segment, "m").map(drop),
        Mutex::<[u8; 8]>::open(&segment, "m").map(drop),
        Mutex::open_or_create(&segment, "m", [0_u8; 8]).map(drop),
    ];
    for result in shapes {
        let Err(error @ Error::WrongShape { .. }) = result else { panic!("{result:?}") };
        let Error::WrongShape { expected, found } = &error else { unreachable!() };
        assert_ne!(expected, found);
        assert!(error.to_string().contains(expected) && error.to_string().contains(found), "{error}");
    }
}

/// A kind, capacity or tag that another program put there.
#[test]
fn a_foreign_entry_is_another_object() {
    let name = Name::new("entry");
    let segment = name.create(&small());
    drop(Mutex::create(&segment, "m", 0_u64).unwrap());
    let entry = common::Parts::of(4, 2).entries[0].0;
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    for (at, value, text) in [(4, 2_u32, "value"), (4, 4, "queue"), (4, 99, "unknown"), (24, 7, "capacity 7")]
        .into_iter()
        .chain([(48, u32::from_ne_bytes(*b"task"), "\"task\""), (12, 9, "9 bytes"), (16, 2, "aligned to 2")])
    {
        let mut before = [0; 4];
        file.read_exact_at(&mut before, entry + at).unwrap();
        file.write_all_at(&value.to_ne_bytes(), entry + at).unwrap();
        let error = Mutex::<u64>::open(&segment, "m").unwrap_err();
        let right =
            if at == 4 { matches!(error, Error::WrongKind { .. }) } else { matches!(error, Error::WrongShape { .. }) };
        assert!(right && error.to_string().contains(text) && error.to_string().contains("mutex"), "{error}");
        file.write_all_at(&before, entry + at).unwrap();
    }
    // Shorter than its data, outside the heap, of unknown state.
    for (at, value) in [(40, 8_u32), (40, 0), (32, 0), (32, 1 << 30), (32, 129), (36, u32::MAX), (40, 1 << 31), (0, 7)]
    {
        let mut before = [0; 4];
        file.read_exact_at(&mut before, entry + at).unwrap();
        file.write_all_at(&value.to_ne_bytes(), entry + at).unwrap();
        assert!(corrupted(&Mutex::<u64>::open(&segment, "m").unwrap_err()), "{value} at {at}");
        file.write_all_at(&before, entry + at).unwrap();
    }
    drop(Mutex::<u64>::open(&segment, "m").unwrap().lock().unwrap());
}

#[test]
fn a_segment_of_another_user_is_refused() {
    if !is_root() {
        return skip("only root may give a file away");
    }
    let name = Name::new("owner");
    drop(name.create(&small().unlink(Unlink::WithLast).mode(0o666)));
    let keep = name.create(&small().mode(0o666));
    std::os::unix::fs::chown(name.path(), Some(12345), None).unwrap();
    drop(keep);
    for result in [Segment::open(&name.0), Segment::open_or_create(&name.0, &small())] {
        assert_eq!(result.map(drop), Err(Error::Permission));
    }
    assert_eq!(Segment::unlink(&name.0), Err(Error::Permission));
    let allowed = Segment::open_with(&name.0, &small().allow_foreign_owner(true)).unwrap();
    drop(Mutex::create(&allowed, "m", 0_u8).unwrap().lock().unwrap());
    drop(allowed);
    assert!(!Segment::sweep().unwrap().segments.contains(&name.0));
    assert!(name.path().exists());

    // And the other way round: another user, without privileges.
    let own = Name::new("own");
    drop(own.create(&small()));
    let child = fork(|| {
        // SAFETY: changes this process's user only.
        assert_eq!(unsafe { libc::setresuid(12345, 12345, 12345) }, 0);
        assert_eq!(Segment::open(&own.0).map(drop), Err(Error::Permission));
        assert_eq!(Segment::unlink(&own.0), Err(Error::Permission));
        assert!(Segment::list().unwrap().iter().all(|info| info.name != own.0));
        Segment::sweep().unwrap();
    });
    assert_eq!(reap(child), 0);
    assert!(own.path().exists());
}

#[test]
fn a_full_participant_table() {
    let name = Name::new("full");
    let segment = name.create(&small().participants(3));
    let mut members: Vec<_> = (0..2).map(|_| Role::start("member", &[&name.0])).collect();
    members.iter_mut().for_each(|member| member.expect("in"));
    for _ in 0..2 {
        // Refused; and nothing of it is left.
        Role::start("member", &[&name.0]).finish();
        assert_eq!(segment.participants().len(), 3);
    }
    members.remove(0).kill();
    let mut third = Role::start("member", &[&name.0]);
    third.expect("in");
    assert_eq!(segment.participants().len(), 3);
}

/// With n descriptors to spare, for every n: an error and nothing left, or success.
fn few_descriptors(name: &str, spare: u64) {
    let path = format!("/dev/shm/ringfence.{name}");
    assert!(no_more_descriptors(spare));
    let open = || (0..2000).filter(|fd| unsafe_is_open(*fd)).count();
    let descriptors = open();
    match Segment::create(name, &small()) {
        Ok(segment) => {
            match Mutex::create(&segment, "m", 0_u64) {
                Ok(mutex) => drop(mutex.lock().unwrap()),
                Err(error) => assert_eq!(error, Error::NoDescriptors),
            }
            drop(segment);
            assert!(std::path::Path::new(&path).exists());
            Segment::open(name)
                .map(drop)
                .or_else(|error| (error == Error::NoDescriptors).then_some(()).ok_or(error))
                .unwrap();
            let _ = Segment::unlink(name);
            let _ = std::fs::remove_file(&path);
        }
        Err(error) => {
            assert_eq!(error, Error::NoDescriptors, "with {spare}");
            assert!(!std::path::Path::new(&path).exists());
        }
    }
    match Segment::anonymous(&small()) {
        Ok(segment) => drop(segment),
        Err(error) => assert_eq!(error, Error::NoDescriptors, "with {spare}"),
    }
    assert_eq!(open(), descriptors, "with {spare}");
}

fn unsafe_is_open(fd: i32) -> bool {
    // SAFETY: asks for flags only.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

#[test]
fn without_descriptors_every_step_is_undone() {
    for spare in 0..8 {
        let name = Name::new("fds");
        Role::start("few-descriptors", &[&name.0, &spare.to_string()]).finish();
        assert!(!name.path().exists(), "with {spare}");
    }
}
