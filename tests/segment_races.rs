//! Segments while others create, remove and cut them at the same moment. Numbers in comments are those of
//! docs/semantics.md.

mod common;

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::chance::Chance;
use common::{Name, PATIENCE, Role, listed, role, say, small, until};
use ringfence::{Error, Mutex, Segment, SegmentOptions, Unlink};

fn with_last() -> SegmentOptions {
    small().unlink(Unlink::WithLast)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let name = arguments.first().map_or("", String::as_str);
    match role.as_str() {
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
        "racer" => racer(name, &arguments[1]),
        "cutter" => {
            let file = std::fs::File::options().write(true).open(format!("/dev/shm/ringfence.{name}")).unwrap();
            let sound = std::fs::read(format!("/dev/shm/ringfence.{name}")).unwrap();
            loop {
                std::os::unix::fs::FileExt::write_all_at(&file, &sound, 0).unwrap();
                file.set_len(0).unwrap();
            }
        }
        _ => panic!("no role {role}"),
    }
}

#[test]
fn a_creator_killed_anywhere_leaves_a_whole_segment_or_none() {
    let mut chance = Chance::new(40);
    let name = Name::new("creator");
    for _ in 0..chance.rounds {
        let mut creator = Role::start("creates-and-unlinks", &[&name.0]);
        creator.expect("go");
        chance.pause(Duration::from_millis(3));
        assert!(creator.child.try_wait().unwrap().is_none(), "the creator failed");
        creator.kill();
        chance.kills += 1;
        match Segment::open(&name.0) {
            // Nobody is left in it but us, and what is there can be used.
            Ok(segment) => {
                assert_eq!(segment.participants().len(), 1);
                drop(Mutex::open_or_create(&segment, "n", 0_u64).unwrap().lock().unwrap());
                chance.checked += 1;
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
    // A process that another test starts at that moment may have its descriptors until it is another program.
    until("its end", || {
        Segment::sweep().unwrap();
        !name.path().exists()
    });
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
