//! tokio and objects in shared memory: one task takes what another process pushes, a second one waits for that process's
//! end, a third one has a clock. All run in one thread.
//!
//! `cargo run -p ringfence-example-tokio`

use std::process::{Child, Command};
use std::time::Duration;

use ringfence::{PopError, Queue, ReadyFd, Segment, SegmentOptions, Unlink, Waitable};
use tokio::io::unix::AsyncFd;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Something to wait for, as tokio sees it.
fn registered(waitable: &Waitable<'_>) -> Outcome<AsyncFd<ReadyFd>> {
    // SAFETY: the descriptor is the ReadyFd's own: the same one each time, open for as long as that lives.
    Ok(unsafe { AsyncFd::register(waitable.as_fd()?) }?)
}

/// A queue whose items are awaited.
struct Tasks {
    queue: Queue<u64>,
    ready: AsyncFd<ReadyFd>,
}

impl Tasks {
    fn new(queue: Queue<u64>) -> Outcome<Self> {
        let ready = registered(&queue.readable())?;
        Ok(Self { queue, ready })
    }

    /// The next item; `None` when the queue is shut down and empty.
    async fn next(&self) -> Outcome<Option<u64>> {
        loop {
            match self.queue.try_pop() {
                Ok(task) => return Ok(Some(task)),
                Err(PopError::Closed) => return Ok(None),
                Err(PopError::Empty | PopError::Busy) => {
                    // First armed, then waited for, then tried again: what comes from here on is told.
                    self.ready.get_ref().arm()?;
                    self.ready.readable().await?.clear_ready();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The other process: pushes, and is gone.
fn push(name: &str) -> Outcome<()> {
    let segment = Segment::open(name)?;
    let queue = Queue::open(&segment, "tasks")?;
    for task in 1..=10_u64 {
        queue.push(task)?;
    }
    queue.shutdown()?;
    // Waits to be killed.
    loop {
        std::thread::park();
    }
}

/// A process that ends with us.
struct Pusher(Child);

impl Drop for Pusher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn serve(name: &str) -> Outcome<()> {
    let segment = Segment::create(name, &SegmentOptions::new().size(1 << 16).unlink(Unlink::WithLast))?;
    let tasks = Tasks::new(Queue::create(&segment, "tasks", 4)?)?;
    let mut pusher = Pusher(Command::new(std::env::current_exe()?).arg(name).spawn()?);

    // Whatever is slow or blocks elsewhere goes on meanwhile.
    let clock = tokio::task::spawn(tokio::time::sleep(Duration::from_millis(1)));
    while let Some(task) = tasks.next().await? {
        println!("task {task}");
    }
    clock.await?;

    let pid = pusher.0.id();
    let participants = segment.participants();
    let it = participants.iter().find(|info| info.pid == pid).ok_or("the pusher is gone already")?;
    let gone = registered(&Waitable::gone(&segment, it))?;
    pusher.0.kill()?;
    let limit = tokio::time::timeout(Duration::from_secs(60), gone.readable());
    limit.await??.clear_ready();
    println!("the pusher is gone");
    Ok(())
}

fn main() -> Outcome<()> {
    if let Some(name) = std::env::args().nth(1) {
        return push(&name);
    }
    let name = format!("tokio-example-{}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(&name))
}
