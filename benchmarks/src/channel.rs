//! Channels of byte messages.

use std::path::PathBuf;
use std::process::Command;

use ringfence::Channel;

use crate::crew::{As, run};
use crate::ours::Scene;
use crate::table::{Book, Demand, Sample, contestant};

const SIZE: usize = 64;

/// A channel between processes.
pub(crate) trait Peer: Sync {
    /// What a worker needs to use it.
    type Me;
    fn me(&self) -> Self::Me;
    fn send(&self, me: &Self::Me, message: &[u8; SIZE]);
    fn receive(&self, me: &Self::Me) -> [u8; SIZE];
}

/// Ours, opened by name in each process.
pub(crate) struct Ours {
    scene: Scene,
    _first: Channel,
}

impl Ours {
    pub(crate) fn new() -> Self {
        let scene = Scene::new(1 << 20);
        // As much as Boost's 1024 messages.
        let first = Channel::create(&scene.segment, "channel", 64 << 10).expect("a new channel");
        Self { scene, _first: first }
    }
}

impl Peer for Ours {
    type Me = Channel;
    fn me(&self) -> Channel {
        Channel::open(&self.scene.open(), "channel").expect("the channel just made")
    }
    fn send(&self, me: &Channel, message: &[u8; SIZE]) {
        me.send(message).expect("nobody dies");
    }
    fn receive(&self, me: &Channel) -> [u8; SIZE] {
        let mut message = [0; SIZE];
        assert_eq!(me.recv_into(&mut message), Ok(SIZE));
        message
    }
}

pub(crate) struct Pipe {
    ends: [i32; 2],
}

impl Pipe {
    pub(crate) fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: writes two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        Self { ends }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for end in self.ends {
            // SAFETY: our own descriptor.
            unsafe { libc::close(end) };
        }
    }
}

impl Peer for Pipe {
    type Me = ();
    fn me(&self) {}
    fn send(&self, _: &(), message: &[u8; SIZE]) {
        // SAFETY: reads the message. Writes of up to PIPE_BUF bytes are whole.
        let written = unsafe { libc::write(self.ends[1], message.as_ptr().cast(), SIZE) };
        assert_eq!(written, SIZE as isize);
    }

    fn receive(&self, _: &()) -> [u8; SIZE] {
        let mut message = [0; SIZE];
        // SAFETY: writes the message. All writes have this size, so all reads do.
        let read = unsafe { libc::read(self.ends[0], message.as_mut_ptr().cast(), SIZE) };
        assert_eq!(read, SIZE as isize);
        message
    }
}

/// `pairs` senders and receivers; every message must arrive exactly once.
fn flow(peer: &impl Peer, pairs: usize, each: u64) -> Sample {
    let run = run(As::Processes, 2 * pairs, None, |index, gate| {
        let me = peer.me();
        let mut sum = 0;
        let mut message = [7; SIZE];
        gate.start();
        for turn in 0..each {
            if index % 2 == 0 {
                let number = turn * pairs as u64 + index as u64 / 2 + 1;
                message[..8].copy_from_slice(&number.to_ne_bytes());
                message[SIZE - 8..].copy_from_slice(&number.to_ne_bytes());
                peer.send(&me, &message);
                sum += number;
            } else {
                message = peer.receive(&me);
                assert_eq!(message[..8], message[SIZE - 8..], "torn");
                sum += u64::from_ne_bytes(message[..8].try_into().expect("8 bytes"));
            }
        }
        sum
    });
    let total = |odd: usize| run.counts.iter().skip(odd).step_by(2).sum::<u64>();
    assert_eq!(total(0), total(1), "messages lost or doubled");
    Sample::from((each * pairs as u64) as f64 / run.elapsed.as_secs_f64() / 1e6)
}

/// A directory for what is compiled at run time; it goes with its value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ringfence-bench-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a temporary directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compiles the Boost program; `Err` says what is missing.
pub(crate) fn boost(scratch: &Scratch) -> Result<PathBuf, String> {
    let (source, program) = (scratch.0.join("boost_queue.cpp"), scratch.0.join("boost_queue"));
    std::fs::write(&source, include_str!("../peers/boost_queue.cpp")).map_err(|e| e.to_string())?;
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let output = Command::new(&compiler)
        .args(["-O2", "-std=c++17", "-o"])
        .args([&program, &source])
        .args(["-lrt", "-pthread"])
        .output()
        .map_err(|e| format!("{compiler}: {e}"))?;
    match output.status.success() {
        true => Ok(program),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(text.lines().find(|l| l.contains("error")).unwrap_or("the compiler failed").to_string())
        }
    }
}

/// Runs a program that prints seconds.
pub(crate) fn timed(command: &mut Command, messages: u64) -> Sample {
    let output = command.output().expect("it ran before");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let seconds: f64 = text.trim().parse().unwrap_or_else(|_| panic!("{command:?} printed {text:?}"));
    Sample::from(messages as f64 / seconds / 1e6)
}

fn python() -> Result<(), String> {
    match Command::new("python3").args(["-c", "import multiprocessing.synchronize"]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("failed").to_string()),
        Err(error) => Err(error.to_string()),
    }
}

const OURS: &str = "ringfence Channel (processes)";
const PIPE: &str = "pipe (processes)";
const BOOST: &str = "Boost message_queue (processes)";
const PYTHON: &str = "Python multiprocessing.Queue (processes)";

/// Runs all channel races.
pub fn measure(book: &mut Book) {
    let scratch = Scratch::new();
    let boost = boost(&scratch);
    let python = python();
    if let Err(why) = &boost {
        book.note(&format!("Boost.Interprocess not measured (libboost-dev, c++): {why}"));
    }
    if let Err(why) = &python {
        book.note(&format!("Python not measured: {why}"));
    }
    let script = scratch.0.join("mp_queue.py");
    std::fs::write(&script, include_str!("../peers/mp_queue.py")).expect("a temporary file");
    let scale = if book.quick { 4 } else { 1 };
    for pairs in [1, 4] {
        let each = |messages: u64| messages / scale / pairs as u64;
        let mut contestants = vec![
            contestant(OURS, move || flow(&Ours::new(), pairs, each(2_000_000))),
            contestant(PIPE, move || flow(&Pipe::new(), pairs, each(400_000))),
        ];
        let mut peers = vec![PIPE];
        let arguments = move |messages: u64| [pairs as u64, messages, SIZE as u64].map(|n| n.to_string());
        if let Ok(program) = &boost {
            contestants.push(contestant(BOOST, move || {
                let name = format!("ringfence-bench-boost-{}", std::process::id());
                let sent = each(800_000);
                timed(Command::new(program).args(arguments(sent)).arg(name), sent * pairs as u64)
            }));
            peers.push(BOOST);
        }
        if python.is_ok() {
            let script = &script;
            contestants.push(contestant(PYTHON, move || {
                let sent = each(20_000);
                timed(Command::new("python3").arg(script).args(arguments(sent)), sent * pairs as u64)
            }));
        }
        let demand = Demand::AtLeast(if pairs == 1 { 1.0 } else { 4.0 });
        let mut results = book.race(&format!("channel, {SIZE} B, {pairs}+{pairs}"), "M/s", contestants);
        for peer in peers {
            results.against(OURS, &[peer], demand);
        }
        if python.is_ok() {
            results.against(OURS, &[PYTHON], Demand::AtLeast(20.0));
        }
    }
}
