//! Messages of 64 bytes from one process to another: our rings against what one uses today.
//!
//! Every message is eight times its number, and is checked in full and in order. Each line has room for 1024 messages, or for as
//! many as the system allows.

use std::process::Command;
#[cfg(feature = "peers")]
use std::sync::Mutex;

use crate::byte_ring;
use crate::channel::{Scratch, boost, timed};
use crate::crew::{As, run};
use crate::ring::{self, Rings as _};
use crate::table::{Book, Demand, Sample, contestant};

const WORDS: usize = 8;
const SIZE: usize = WORDS * 8;
const CAPACITY: usize = ring::CAPACITY;

type Message = [u64; WORDS];

/// A line from one process to another. Each end is taken once, by the process that uses it.
trait Line: Sync {
    type Tx<'a>
    where
        Self: 'a;
    type Rx<'a>
    where
        Self: 'a;
    fn tx(&self) -> Self::Tx<'_>;
    fn rx(&self) -> Self::Rx<'_>;
    fn send(tx: &mut Self::Tx<'_>, message: &Message);
    fn receive(rx: &mut Self::Rx<'_>) -> Message;
}

fn bytes(message: &Message) -> &[u8; SIZE] {
    // SAFETY: the bytes of plain integers.
    unsafe { &*message.as_ptr().cast() }
}

fn bytes_mut(message: &mut Message) -> &mut [u8; SIZE] {
    // SAFETY: the bytes of plain integers, any of which are valid.
    unsafe { &mut *message.as_mut_ptr().cast() }
}

type Items = ring::Named<WORDS>;

impl Line for Items {
    type Tx<'a> = <Items as ring::Rings<WORDS>>::Tx<'a>;
    type Rx<'a> = <Items as ring::Rings<WORDS>>::Rx<'a>;
    fn tx(&self) -> Self::Tx<'_> {
        ring::Rings::tx(self, 0)
    }
    fn rx(&self) -> Self::Rx<'_> {
        ring::Rings::rx(self, 0)
    }
    #[inline(always)]
    fn send(tx: &mut Self::Tx<'_>, message: &Message) {
        Items::push(tx, *message);
    }
    #[inline(always)]
    fn receive(rx: &mut Self::Rx<'_>) -> Message {
        Items::pop(rx)
    }
}

type Records = byte_ring::Ours;

impl Line for Records {
    type Tx<'a> = <Records as byte_ring::Rings>::Tx<'a>;
    type Rx<'a> = <Records as byte_ring::Rings>::Rx<'a>;
    fn tx(&self) -> Self::Tx<'_> {
        byte_ring::Rings::tx(self, 0)
    }
    fn rx(&self) -> Self::Rx<'_> {
        byte_ring::Rings::rx(self, 0)
    }
    #[inline(always)]
    fn send(tx: &mut Self::Tx<'_>, message: &Message) {
        <Records as byte_ring::Rings>::send(tx, SIZE, |room| room.copy_from_slice(bytes(message)));
    }
    #[inline(always)]
    fn receive(rx: &mut Self::Rx<'_>) -> Message {
        let mut message = [0; WORDS];
        <Records as byte_ring::Rings>::receive(rx, SIZE, |record| bytes_mut(&mut message).copy_from_slice(record));
        message
    }
}

/// Two descriptors: whoever has the one writes, whoever has the other reads. Each call moves one message.
struct Descriptors {
    tx: i32,
    rx: i32,
}

impl Descriptors {
    /// `pipe(2)`, which has room for 1024 such messages by itself.
    fn pipe() -> Self {
        let mut ends = [0; 2];
        // SAFETY: writes two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        Self { tx: ends[1], rx: ends[0] }
    }

    /// A pair of unix sockets that keep the borders of messages.
    fn sockets(kind: i32) -> Self {
        let mut ends = [0; 2];
        // SAFETY: writes two descriptors; the option is one integer.
        unsafe {
            assert_eq!(libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()), 0);
            // The kernel counts 768 bytes or more for each message, and takes the most it allows of what is asked for.
            let room: i32 = CAPACITY as i32 * 1024;
            let set = libc::setsockopt(
                ends[0],
                libc::SOL_SOCKET,
                libc::SO_SNDBUF,
                (&raw const room).cast(),
                size_of::<i32>() as u32,
            );
            assert_eq!(set, 0);
        }
        Self { tx: ends[0], rx: ends[1] }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        for end in [self.tx, self.rx] {
            // SAFETY: our own descriptor.
            unsafe { libc::close(end) };
        }
    }
}

impl Line for Descriptors {
    type Tx<'a> = i32;
    type Rx<'a> = i32;
    fn tx(&self) -> i32 {
        self.tx
    }
    fn rx(&self) -> i32 {
        self.rx
    }
    fn send(tx: &mut i32, message: &Message) {
        // SAFETY: reads the message. It is shorter than PIPE_BUF, so it is written whole.
        let written = unsafe { libc::write(*tx, message.as_ptr().cast(), SIZE) };
        assert_eq!(written, SIZE as isize);
    }
    fn receive(rx: &mut i32) -> Message {
        let mut message = [0; WORDS];
        // SAFETY: writes the message. All writes have this size, so all reads do.
        let read = unsafe { libc::read(*rx, message.as_mut_ptr().cast(), SIZE) };
        assert_eq!(read, SIZE as isize);
        message
    }
}

/// A POSIX message queue; its name is gone as soon as it is made.
struct PosixQueue {
    queue: libc::mqd_t,
}

impl PosixQueue {
    fn new(depth: i64) -> std::io::Result<Self> {
        let name = std::ffi::CString::new(format!("/ringfence-bench-{}", std::process::id())).expect("no NUL");
        // SAFETY: a zeroed structure is valid, and filled in; the name ends with NUL.
        unsafe {
            let mut attributes: libc::mq_attr = std::mem::zeroed();
            attributes.mq_maxmsg = depth;
            attributes.mq_msgsize = SIZE as i64;
            let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
            let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes);
            if queue < 0 {
                return Err(std::io::Error::last_os_error());
            }
            libc::mq_unlink(name.as_ptr());
            Ok(Self { queue })
        }
    }

    /// How many messages it may hold: as many as the others', or the system's default, which only root may exceed.
    fn depth() -> std::io::Result<i64> {
        const DEFAULT: i64 = 10;
        Self::new(CAPACITY as i64).map(|_| CAPACITY as i64).or_else(|_| Self::new(DEFAULT).map(|_| DEFAULT))
    }
}

impl Drop for PosixQueue {
    fn drop(&mut self) {
        // SAFETY: our own.
        unsafe { libc::mq_close(self.queue) };
    }
}

impl Line for PosixQueue {
    type Tx<'a> = libc::mqd_t;
    type Rx<'a> = libc::mqd_t;
    fn tx(&self) -> libc::mqd_t {
        self.queue
    }
    fn rx(&self) -> libc::mqd_t {
        self.queue
    }
    fn send(tx: &mut libc::mqd_t, message: &Message) {
        // SAFETY: reads the message.
        assert_eq!(unsafe { libc::mq_send(*tx, message.as_ptr().cast(), SIZE, 0) }, 0);
    }
    fn receive(rx: &mut libc::mqd_t) -> Message {
        let mut message = [0; WORDS];
        // SAFETY: writes the message, and no more than its size.
        let read = unsafe { libc::mq_receive(*rx, message.as_mut_ptr().cast(), SIZE, std::ptr::null_mut()) };
        assert_eq!(read, SIZE as isize);
        message
    }
}

/// ipc-channel's channel of bytes, which serialises nothing; its ends are inherited by fork.
#[cfg(feature = "peers")]
struct IpcChannel(Mutex<IpcEnds>);

#[cfg(feature = "peers")]
type IpcEnds = (Option<ipc_channel::ipc::IpcBytesSender>, Option<ipc_channel::ipc::IpcBytesReceiver>);

#[cfg(feature = "peers")]
impl IpcChannel {
    fn new() -> Self {
        let (tx, rx) = ipc_channel::ipc::bytes_channel().expect("a channel");
        Self(Mutex::new((Some(tx), Some(rx))))
    }
}

#[cfg(feature = "peers")]
impl Line for IpcChannel {
    type Tx<'a> = ipc_channel::ipc::IpcBytesSender;
    type Rx<'a> = ipc_channel::ipc::IpcBytesReceiver;
    fn tx(&self) -> Self::Tx<'_> {
        self.0.lock().expect("nobody panics").0.take().expect("taken once")
    }
    fn rx(&self) -> Self::Rx<'_> {
        self.0.lock().expect("nobody panics").1.take().expect("taken once")
    }
    fn send(tx: &mut Self::Tx<'_>, message: &Message) {
        tx.send(bytes(message)).expect("the receiver lives");
    }
    fn receive(rx: &mut Self::Rx<'_>) -> Message {
        let mut message = [0; WORDS];
        bytes_mut(&mut message).copy_from_slice(&rx.recv().expect("the sender lives"));
        message
    }
}

/// Millions of messages a second, each of which arrives whole and in its turn.
fn flow<L: Line>(line: &L, count: u64) -> Sample {
    let run = run(As::Processes, 2, None, |index, gate| {
        if index == 0 {
            let mut tx = line.tx();
            gate.start();
            (1..=count).for_each(|number| L::send(&mut tx, &[number; WORDS]));
            gate.meet_at_the_end(index, 2);
        } else {
            let mut rx = line.rx();
            gate.start();
            for number in 1..=count {
                assert_eq!(L::receive(&mut rx), [number; WORDS], "lost, doubled, torn or out of order");
            }
            gate.meet_at_the_end(index, 2);
        }
        count
    });
    Sample::from(run.mops() / 2.0)
}

const ITEMS: &str = "ringfence Spsc (processes)";
const RECORDS: &str = "ringfence ByteRing (processes)";
const PIPE: &str = "pipe (processes)";
const SEQPACKET: &str = "unix socket, SOCK_SEQPACKET (processes)";
const DATAGRAM: &str = "unix socket, SOCK_DGRAM (processes)";
const POSIX: &str = "POSIX message queue (processes)";
const BOOST: &str = "Boost message_queue (processes)";
#[cfg(feature = "peers")]
const IPC: &str = "ipc-channel, bytes (processes)";

/// Runs the race.
pub fn measure(book: &mut Book) {
    let scratch = Scratch::new();
    let boost = boost(&scratch);
    if let Err(why) = &boost {
        book.note(&format!("Boost.Interprocess not measured (libboost-dev, c++): {why}"));
    }
    let depth = PosixQueue::depth();
    match &depth {
        Ok(depth) if *depth == CAPACITY as i64 => {}
        Ok(depth) => book.note(&format!("POSIX message queue of {depth} messages: the system allows no more")),
        Err(why) => book.note(&format!("POSIX message queue not measured: {why}")),
    }
    let scale = if book.quick { 4 } else { 1 };
    let (many, few) = (2_000_000 / scale, 200_000 / scale);
    let mut contestants = vec![
        contestant(ITEMS, move || flow(&Items::new(), many)),
        contestant(RECORDS, move || flow(&Records::new(SIZE), many)),
        contestant(PIPE, move || flow(&Descriptors::pipe(), few)),
        contestant(SEQPACKET, move || flow(&Descriptors::sockets(libc::SOCK_SEQPACKET), few)),
        contestant(DATAGRAM, move || flow(&Descriptors::sockets(libc::SOCK_DGRAM), few)),
    ];
    let mut peers = vec![vec![PIPE], vec![SEQPACKET, DATAGRAM]];
    if let Ok(depth) = depth {
        contestants
            .push(contestant(POSIX, move || flow(&PosixQueue::new(depth).expect("as many as just before"), few)));
        peers.push(vec![POSIX]);
    }
    if let Ok(program) = &boost {
        contestants.push(contestant(BOOST, move || {
            let name = format!("ringfence-bench-boost-{}", std::process::id());
            let arguments = [1, many / 4, SIZE as u64].map(|number| number.to_string());
            timed(Command::new(program).args(arguments).arg(name), many / 4)
        }));
        peers.push(vec![BOOST]);
    }
    #[cfg(feature = "peers")]
    {
        contestants.push(contestant(IPC, move || flow(&IpcChannel::new(), few)));
        peers.push(vec![IPC]);
    }
    let mut results = book.race(&format!("messages, {SIZE} B, 1 to 1"), "M/s", contestants);
    for peer in peers {
        results.best_against(&[ITEMS, RECORDS], &peer, Demand::AtLeast(5.0));
    }
}
