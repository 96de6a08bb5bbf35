//! Creation where the file system cannot make files without a name: a system call filter says that it cannot.
#![cfg(target_arch = "x86_64")]

mod common;
mod filter;

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{Name, PATIENCE, Role, hear, listed, role, say, small, until};
use filter::{Rule, errno};
use ringfence::sys::ofd::{self, Byte, Mode};
use ringfence::sys::shm;
use ringfence::{Error, Mutex, Segment, Unlink};

/// Names that two processes want at once.
const RACES: u32 = 200;

/// From here on this process, and its children, cannot open a file without a name.
fn refuse_tmpfile() {
    let rule = |call, arguments| Rule { call, arguments, answer: errno(libc::EOPNOTSUPP) };
    const FLAGS: u32 = libc::O_TMPFILE as u32;
    filter::install(&[rule(libc::SYS_open, &[(1, FLAGS, FLAGS)]), rule(libc::SYS_openat, &[(2, FLAGS, FLAGS)])]);
    let file = File::options().read(true).write(true).custom_flags(libc::O_TMPFILE).open("/dev/shm");
    assert_eq!(file.expect_err("the filter does not hold").raw_os_error(), Some(libc::EOPNOTSUPP));
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    refuse_tmpfile();
    match role.as_str() {
        "maker" => {
            let segment = Segment::create(&arguments[0], &small()).unwrap();
            drop(Mutex::create(&segment, "m", 7_u64).unwrap());
            assert_eq!(Segment::create(&arguments[0], &small()).unwrap_err(), Error::Exists);
            say("made");
            hear();
        }
        "racer" => {
            say("ready");
            hear();
            // Whoever is second leaves as the last one of what it built, which is not to be found under any name.
            let options = small().unlink(Unlink::WithLast);
            let first = |turn: u32| match Segment::create(&format!("{}.{turn}", arguments[0]), &options) {
                Ok(segment) => Some(segment),
                Err(Error::Exists) => None,
                Err(error) => panic!("{error}"),
            };
            let start = Instant::now();
            let made: Vec<_> = (0..RACES).filter_map(first).collect();
            assert!(start.elapsed() < PATIENCE, "somebody waited for itself");
            say(&format!("first {}", made.len()));
            hear();
        }
        _ => unreachable!("{role}"),
    }
}

#[test]
fn a_segment_is_made_and_joined() {
    let name = Name::new("plain");
    let mut maker = Role::start("maker", &[&name.0]);
    maker.expect("made");
    let segment = Segment::open(&name.0).unwrap();
    assert_eq!(segment.participants().len(), 2);
    assert_eq!(*Mutex::<u64>::open(&segment, "m").unwrap().lock().unwrap(), 7);
    // Only the name is left of it, and nothing of the one that came too late.
    assert_eq!(private_files_of(maker.pid()), 0);
    maker.tell("go");
    maker.finish();
}

#[test]
fn of_two_makers_one_is_first() {
    let name = Name::new("race");
    let mut racers = [(); 2].map(|()| Role::start("racer", &[&name.0]));
    let _gone: Vec<_> = (0..RACES).map(|turn| Name(format!("{}.{turn}", name.0))).collect();
    racers.iter_mut().for_each(|racer| racer.expect("ready"));
    racers.iter_mut().for_each(|racer| racer.tell("go"));
    let firsts: i32 = racers.iter_mut().map(|racer| racer.number("first ")).sum();
    assert_eq!(firsts, RACES as i32);
    assert_eq!(listed(&name.0).len(), RACES as usize);
    racers.iter_mut().for_each(|racer| racer.tell("go"));
    racers.into_iter().for_each(Role::finish);
    assert_eq!(listed(&name.0).len(), 0);
}

/// How many unfinished files process `pid` has open.
fn private_files_of(pid: i32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    // One that was unlinked is called "(deleted)": the name it was built under goes when it gets its own.
    let left = |target: &PathBuf| target.to_string_lossy().contains(shm::PRIVATE_PREFIX) && target.exists();
    targets.filter(left).count()
}

#[test]
fn what_a_killed_maker_leaves_is_swept_and_what_a_living_one_builds_is_not() {
    struct Gone(PathBuf);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
    let file = Gone(Path::new(shm::DIRECTORY).join(format!("{}test-{}", shm::PRIVATE_PREFIX, std::process::id())));
    // Once more if another process has swept it before us, which is not told to us.
    until("it was ours to sweep", || {
        let open = File::options().read(true).write(true).create_new(true).open(&file.0).unwrap();
        // A maker holds the door of its file as long as it lives.
        if !ofd::try_lock(open.as_fd(), Byte::Door, Mode::Exclusive).unwrap() {
            return false;
        }
        Segment::sweep().unwrap();
        assert!(file.0.exists());
        drop(open);
        let swept = Segment::sweep().unwrap();
        assert!(!file.0.exists());
        swept.abandoned >= 1
    });
}
