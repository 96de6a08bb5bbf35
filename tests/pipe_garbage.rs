//! Garbage in a pipe. First in memory that ends where a page begins which nobody may touch, with peers of the test's: an access
//! that leaves the pipe is a SIGSEGV. Then in a segment with a file, under real handles, whose memory another mapping changes. Each
//! word in turn takes each of the values that do most harm, and a thread writes anything anywhere while operations run. Every
//! error is a good answer; a crash, a panic and a call that does not end are none.

mod common;
mod fenced;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Name, Parts, Role, role};
use fenced::{Fenced, Random, report_signals, working_at};
use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::layout::pipe::{PipeHeader, bytes, channel_at};
use ringfence::raw::channel::{RecvFailure, SendFailure};
use ringfence::raw::pipe::{End, Pipe as Raw};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};
use ringfence::sys::nap::{Deadline, Wait};
use ringfence::{Pipe, Segment, SegmentOptions, WaitAny};

/// Fills what its channel takes up.
const RING: usize = 128;
const LEN: usize = 4096;
const ENDS: [End; 2] = [End::First, End::Second];
const ROUNDS: u64 = 20_000;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    report_signals();
    match role.as_str() {
        "each-word" => Scene::new().each_word(),
        "any-word" => Scene::new().any_word(arguments[0].parse().unwrap()),
        "handles" => handles(),
        _ => panic!("no role {role}"),
    }
}

#[test]
fn each_word_takes_each_value() {
    Role::start("each-word", &[]).finish();
}

#[test]
fn any_word_changes_while_we_work() {
    let seed = fenced::seed();
    println!("RINGFENCE_SEED={seed}");
    Role::start("any-word", &[&seed.to_string()]).finish();
}

#[test]
fn each_word_takes_each_value_under_handles() {
    Role::start("handles", &[]).finish();
}

/// Participant 1 lives, 2 is dead, and there are no others; the ends are held or not.
struct Company([AtomicBool; 2]);

impl Peers for Company {
    fn fate(&self, participant: ParticipantId) -> Fate {
        match participant {
            1 => Fate::Alive,
            2 => Fate::Dead,
            _ => Fate::Invalid,
        }
    }

    fn is_held(&self, end: u64) -> bool {
        self.0[(end & 1) as usize].load(Ordering::Relaxed)
    }

    fn while_unheld(&self, end: u64, then: &mut dyn FnMut()) -> bool {
        let unheld = !self.is_held(end);
        if unheld {
            then();
        }
        unheld
    }
}

struct Scene {
    fenced: Fenced,
    at: usize,
    company: Company,
    image: Vec<u64>,
}

/// How much was sent, received, told to be the end, and told to be corrupted.
#[derive(Debug, Default)]
struct Tally([u64; 4]);

impl Tally {
    fn sent(&mut self, result: Result<(), SendFailure>) {
        match result {
            Ok(()) => self.0[0] += 1,
            Err(SendFailure::Closed) => self.0[2] += 1,
            Err(SendFailure::Corrupted) => self.0[3] += 1,
            Err(_) => {}
        }
    }

    fn received(&mut self, result: Result<usize, RecvFailure>, buffer: &[u8]) {
        match result {
            Ok(len) => {
                assert!(buffer[len..].iter().all(|byte| *byte == 0x5a), "written behind the message");
                self.0[1] += 1;
            }
            Err(RecvFailure::Closed) => self.0[2] += 1,
            Err(RecvFailure::Corrupted) => self.0[3] += 1,
            Err(_) => {}
        }
    }

    fn all(&self) {
        println!("sent, received, ends, corrupted: {self:?}");
        // How often is the machine's business.
        assert!(self.0.iter().all(|count| *count > 0), "{self:?}");
    }
}

fn at_once() -> Wait {
    Wait { deadline: Deadline::At(Instant::now()), interruptible: false }
}

impl Scene {
    fn new() -> Self {
        let geometry = Geometry::new(RING as u64).unwrap();
        assert!(geometry.bytes().is_multiple_of(128), "it does not end where the memory ends");
        let fenced = Fenced::new(LEN);
        let at = LEN - bytes(geometry, 2);
        // SAFETY: inside the memory, aligned to 128, and nobody else is about.
        unsafe {
            let base = fenced.base.add(at);
            base.cast::<PipeHeader>().write(PipeHeader::new(2));
            for end in 0..2 {
                base.add(channel_at(geometry, end)).cast::<ChannelHeader>().write(ChannelHeader::new(geometry));
            }
        }
        let company = Company([true, true].map(AtomicBool::new));
        let mut scene = Self { fenced, at, company, image: vec![] };
        let pipe = scene.pipe();
        assert!(ENDS.map(|end| pipe.begin(end)) == [true, true]);
        // Messages on both sides of the wrap.
        for round in 0..9 {
            for end in ENDS {
                let (me, peers) =
                    (Owner::new(1, 1).unwrap(), pipe.company(end, Owner::new(1, 1).unwrap(), &scene.company));
                pipe.outbox(end).unwrap().send(me, &[round; 20], &peers, at_once()).unwrap();
            }
            for end in ENDS.into_iter().filter(|_| round > 1) {
                let (me, peers) =
                    (Owner::new(1, 1).unwrap(), pipe.company(end, Owner::new(1, 1).unwrap(), &scene.company));
                pipe.inbox(end).unwrap().recv(me, &mut [0; 20], &peers, at_once()).unwrap();
            }
        }
        scene.image = scene.fenced.image();
        scene
    }

    fn pipe(&self) -> Raw<'_> {
        // SAFETY: as long as `bytes` says, and accessed atomically only.
        unsafe { Raw::at(self.fenced.base.add(self.at), Geometry::new(RING as u64).unwrap(), 2, 5) }
    }

    /// One of everything. `held`, by the kernel's word.
    fn round(&self, tally: &mut Tally, held: bool, shuts: bool) {
        self.company.0.iter().for_each(|end| end.store(held, Ordering::Relaxed));
        let (pipe, me) = (self.pipe(), Owner::new(1, 1).unwrap());
        // SAFETY: as above.
        let directions = unsafe {
            let len = (LEN - self.at) as u64;
            Raw::directions(self.fenced.base.add(self.at), len, Geometry::new(RING as u64).unwrap())
        };
        assert!(matches!(directions, None | Some(1 | 2)));
        for end in ENDS {
            let peers = pipe.company(end, me, &self.company);
            let (outbox, inbox) = (pipe.outbox(end).unwrap(), pipe.inbox(end).unwrap());
            for len in [0, 20, RING - 8, 3 * RING] {
                tally.sent(outbox.send_long(me, &vec![7; len], &peers, at_once()));
            }
            let _ = inbox.poll(&peers, at_once());
            for len in [3, RING, 4 * RING] {
                let mut buffer = vec![0x5a; len];
                let received = inbox.recv(me, &mut buffer, &peers, at_once());
                tally.received(received, &buffer);
            }
            let _ = (pipe.has_begun(end), pipe.is_gone(end), pipe.is_over(end, me, &self.company));
        }
        pipe.recover(2, &self.company);
        if shuts {
            let _ = pipe.shutdown(me, &self.company, at_once());
        }
        let _ = ENDS.map(|end| pipe.begin(end));
    }

    fn each_word(&self) {
        // What an end's word says, while the kernel says that both are held: only 2 is gone.
        for word in [0, 1, 3, 4, 1 << 16, 1 << 31, u32::MAX] {
            self.fenced.restore(&self.image);
            self.fenced.store(self.at, u64::from(word) << 32 | u64::from(word));
            let (pipe, me) = (self.pipe(), Owner::new(1, 1).unwrap());
            for end in ENDS {
                let peers = pipe.company(end, me, &self.company);
                while pipe.inbox(end).unwrap().recv(me, &mut [0; 64], &peers, at_once()).is_ok() {}
                let now = Wait { deadline: Deadline::Now, interruptible: false };
                let none = pipe.inbox(end).unwrap().recv(me, &mut [0; 64], &peers, now);
                assert_eq!(none, Err(RecvFailure::Empty), "of an end that says {word}");
                assert_eq!(pipe.outbox(end).unwrap().send(me, &[], &peers, now), Ok(()), "to an end that says {word}");
            }
        }
        let mut tally = Tally::default();
        for at in (self.at..LEN).step_by(8) {
            for value in fenced::harmful(self.image[at / 8], LEN as u64, self.at as u64) {
                for (held, shuts) in [(true, false), (true, true), (false, false)] {
                    self.fenced.restore(&self.image);
                    self.fenced.store(at, value);
                    working_at(at, value);
                    self.round(&mut tally, held, shuts);
                }
            }
        }
        tally.all();
    }

    fn any_word(&self, seed: u64) {
        let (stop, mut tally) = (AtomicBool::new(false), Tally::default());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random(seed);
                while !stop.load(Ordering::Relaxed) {
                    let at = self.at + random.below((LEN - self.at) as u64 / 8) as usize * 8;
                    match random.below(4) {
                        0 => self.fenced.restore(&self.image),
                        1 => self.fenced.store(at, random.next()),
                        2 => self.fenced.store(at, self.fenced.load(at) ^ 1 << random.below(64)),
                        _ => {
                            let values = fenced::harmful(self.fenced.load(at), LEN as u64, self.at as u64);
                            self.fenced.store(at, values[random.below(values.len() as u64) as usize]);
                        }
                    }
                    working_at(at, self.fenced.load(at));
                    // Leaves the other time to get somewhere.
                    (0..random.below(300)).for_each(|_| std::hint::spin_loop());
                }
            });
            // Also if the work panics, or the scope would wait for the writer.
            let _stop = fenced::Stop(&stop);
            (0..ROUNDS).for_each(|round| self.round(&mut tally, round % 4 > 0, round % 16 == 0));
        });
        tally.all();
    }
}

/// The same in a segment with a file, by the handles.
fn handles() {
    let name = Name::new("pipe-garbage");
    let segment = name.create(&SegmentOptions::new().participants(4).objects(2).size(LEN));
    let (first, second) = Pipe::pair(&segment, "p", RING).unwrap();
    let first_word = Parts::of(4, 2).heap;
    let len = segment.objects().unwrap()[0].bytes;
    let file = std::fs::File::options().read(true).write(true).open(format!("/dev/shm/ringfence.{}", name.0)).unwrap();
    for round in 0..9 {
        for (from, to) in [(&first, &second), (&second, &first)] {
            from.try_send(&[round; 20]).unwrap();
            if round > 1 {
                to.try_recv().unwrap();
            }
        }
    }
    let mut image = vec![0; len as usize];
    file.read_exact_at(&mut image, first_word).unwrap();
    let old = |at: u64| u64::from_ne_bytes(image[at as usize..][..8].try_into().unwrap());
    assert_eq!(old(0), 1 << 32 | 1, "the pipe is somewhere else");
    let mut counts = [0; 4];
    let mut work = |pipe: &Pipe| {
        counts[0] += u32::from(pipe.try_send(&[7; 20]).is_ok());
        counts[1] += u32::from(pipe.send_deadline(&[7; 3 * RING], Instant::now()).is_ok());
        let _ = WaitAny::new([pipe.readable(), pipe.writable(20)]).unwrap().wait_timeout(Duration::ZERO);
        let mut buffer = [0x5a; 64];
        match pipe.recv_into_deadline(&mut buffer, Instant::now()) {
            Ok(len) => assert!(buffer[len..].iter().all(|byte| *byte == 0x5a), "written behind the message"),
            Err(_) => counts[2] += 1,
        }
        counts[3] += u32::from(pipe.recv_deadline(Instant::now()).is_ok());
        let _ = (pipe.poll(Some(Duration::ZERO)), pipe.is_connected(), pipe.end());
    };
    for at in (0..len).step_by(8) {
        for value in fenced::harmful(old(at), LEN as u64, first_word) {
            file.write_all_at(&image, first_word).unwrap();
            file.write_all_at(&value.to_ne_bytes(), first_word + at).unwrap();
            working_at(at as usize, value);
            work(&first);
            work(&second);
            for end in ENDS {
                if let Ok(opened) = Pipe::open(&segment, "p", end) {
                    work(&opened);
                    let _ = opened.try_clone().map(|clone| work(&clone));
                }
            }
            let _ = Segment::open(&name.0).map(|again| again.recover());
        }
    }
    println!("{counts:?}");
    assert!(counts[0] > 100 && counts[2] > 100 && counts[3] > 100, "{counts:?}");
    file.write_all_at(&image, first_word).unwrap();
    while first.try_recv().is_ok() {}
    second.try_send(b"as before").unwrap();
    assert_eq!(first.try_recv().unwrap(), b"as before");
}
