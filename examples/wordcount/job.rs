//! The parent's part: a pool that counts ranges of files, and the death of one of its workers on the way.

use std::error::Error;
use std::os::unix::ffi::OsStrExt;
use std::process::{self, Child};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ringfence::pool::{Pool, PoolError, PoolOptions};
use serde_bytes::ByteBuf;

use crate::count::{self, Meeting, NOBODY, PARTS};
use crate::files::{Range, Source};

/// What to count, and how.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub sources: &'a [Source],
    pub ranges: &'a [Range],
    pub workers: usize,
    pub kill: bool,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// In bytewise order.
    pub counts: Vec<(Vec<u8>, u64)>,
    /// From the common start to the last result.
    pub elapsed: Duration,
    /// The same from the making of the pool.
    pub whole: Duration,
    pub workers: Vec<Share>,
    pub kill: Option<Kill>,
    /// Files that could not be read to the end, and errno.
    pub unread: Vec<(usize, i32)>,
}

/// What one worker did.
#[derive(Default)]
pub struct Share {
    pub name: String,
    pub tasks: u64,
    pub bytes: u64,
}

/// The worker that was killed.
pub struct Kill {
    pub worker: String,
    pub pid: u32,
    /// Tasks done at that time.
    pub done: u64,
    /// Or while it had nothing to do.
    pub in_a_task: bool,
}

/// A worker that is no child of the pool. Killed if it has not ended when the job has.
pub struct Guest(pub Child);

impl Guest {
    fn is_there(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many bytes a task has, unless somebody knows better: three or four for each worker, and as many small ones in the
/// end; neither tiny nor endless.
pub fn task_bytes(total: u64, workers: usize) -> u64 {
    total.div_ceil(4 * workers as u64).clamp(4 << 10, 32 << 20)
}

/// Counts. `invite` may start one more worker, at the pool of that name; `turn` is called again and again with the tasks that
/// are done, and ends the job by `false`.
pub fn run(
    job: Job<'_>,
    invite: impl FnOnce(&str) -> Option<Guest>,
    mut turn: impl FnMut(u64) -> bool + Send,
) -> Result<Outcome, Box<dyn Error>> {
    let beginning = Instant::now();
    let (name, pool) = create(job.workers)?;
    let meeting = Meeting::open(&name)?;
    let mut guest = invite(&name);
    let mut watch = Watch { job, pool: &pool, meeting, started: None, kill: None };
    // Small jobs are over soon: whoever begins one of their tasks is ambushed.
    let half = if job.ranges.len() > 4 * job.workers { job.ranges.len() / 2 } else { 0 };
    let tasks = job.ranges.iter().enumerate().map(|(nth, range)| {
        let path = job.sources[range.file].path.as_os_str().as_bytes();
        (ByteBuf::from(path), range.from, range.to, range.file as u32, job.kill && nth >= half)
    });
    let (over, ended) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        let (watch, guest, pool) = (&mut watch, &mut guest, &pool);
        scope.spawn(move || {
            while ended.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                let done = watch.look(guest);
                if !turn(done) {
                    let _ = pool.terminate();
                    break;
                }
            }
        });
        let result = pool.map_reduce(tasks, count::count, count::sum);
        drop(over);
        result
    })?;
    let started = watch.started.unwrap_or_else(Instant::now);
    let mut outcome = Outcome { kill: watch.kill.take(), ..Outcome::default() };
    unpack(result, &mut outcome).ok_or("a worker sent something that is no count")?;
    (outcome.elapsed, outcome.whole) = (started.elapsed(), beginning.elapsed());
    if job.kill && outcome.kill.is_none() {
        // No worker of the pool's own has met the ambush.
        outcome.kill = pool.workers()?.first().and_then(|worker| kill(&pool, worker.pid, false));
    }
    pool.close()?;
    pool.join()?;
    let patience = Instant::now() + Duration::from_secs(5);
    while guest.as_mut().is_some_and(Guest::is_there) && Instant::now() < patience {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(outcome)
}

/// A pool whose segment is named after this process.
fn create(workers: usize) -> Result<(String, Pool), PoolError> {
    let mut attempt = 0;
    loop {
        // The process id is ours alone, but not among containers that share /dev/shm.
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let name = format!("wordcount-{}{suffix}", process::id());
        let options = PoolOptions::new().workers(workers).worker_name("Rust").segment_name(&name).results(2 << 20);
        // A worker that is killed costs its task so far, and no more.
        match options.retries(100).initializer(count::join, (name.clone(),)).create() {
            Err(PoolError::Segment(ringfence::Error::Exists)) if attempt < 100 => attempt += 1,
            created => return created.map(|pool| (name, pool)),
        }
    }
}

/// The thread that looks after a job while another waits for its result.
struct Watch<'a> {
    job: Job<'a>,
    pool: &'a Pool,
    meeting: Meeting,
    started: Option<Instant>,
    kill: Option<Kill>,
}

impl Watch<'_> {
    /// Tasks that are done.
    fn look(&mut self, guest: &mut Option<Guest>) -> u64 {
        if self.started.is_none() {
            let crew = self.job.workers + usize::from(guest.as_mut().is_some_and(Guest::is_there));
            if self.meeting.here.get() >= crew.min(self.job.ranges.len()) as u64 {
                // Damaged, it lets nobody through, and each goes on when its patience ends.
                let _ = self.meeting.start.set();
                self.started = Some(Instant::now());
            }
        }
        let victim = self.meeting.victim.get();
        if victim != 0 && self.kill.is_none() {
            self.kill = kill(self.pool, victim as u32, true);
            // It may have died of something else: then the next one comes into the ambush.
            self.meeting.victim.set(if self.kill.is_some() { NOBODY } else { 0 });
        }
        done(self.pool)
    }
}

fn done(pool: &Pool) -> u64 {
    pool.tally().map_or(0, |tally| tally.answered)
}

/// Kills a worker of the pool's own, if it is one.
fn kill(pool: &Pool, pid: u32, in_a_task: bool) -> Option<Kill> {
    let worker = pool.workers().ok()?.into_iter().find(|worker| worker.pid == pid)?;
    let kill = Kill { worker: worker.name, pid, done: done(pool), in_a_task };
    // SAFETY: touches no memory; the worker is a child of ours that was not waited for.
    (unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) } == 0).then_some(kill)
}

/// Takes the counts and the counters out of the sums of all parts.
fn unpack(parts: Vec<Option<(u32, ByteBuf)>>, outcome: &mut Outcome) -> Option<()> {
    for part in parts {
        let (part, packed) = part?;
        let mut rest = packed.as_slice();
        while !rest.is_empty() {
            let (word, times) = count::take(&mut rest)?;
            if part == PARTS {
                note(str::from_utf8(word).ok()?, times, outcome)?;
            } else {
                outcome.counts.push((word.to_vec(), times));
            }
        }
    }
    outcome.counts.sort();
    outcome.workers.sort_by(|one, other| one.name.cmp(&other.name));
    Some(())
}

/// A counter: what of whom.
fn note(counter: &str, times: u64, outcome: &mut Outcome) -> Option<()> {
    let (what, whom) = counter.split_once(' ')?;
    if what == "unread" {
        let (file, errno) = whom.split_once(' ')?;
        outcome.unread.push((file.parse().ok()?, errno.parse().ok()?));
        return Some(());
    }
    let at = outcome.workers.iter().position(|worker| worker.name == whom).unwrap_or_else(|| {
        outcome.workers.push(Share { name: whom.to_owned(), ..Share::default() });
        outcome.workers.len() - 1
    });
    match what {
        "tasks" => outcome.workers[at].tasks = times,
        "bytes" => outcome.workers[at].bytes = times,
        _ => return None,
    }
    Some(())
}
