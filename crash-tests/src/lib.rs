//! The crash rig: kills a process after every single instruction of an operation, and looks at what the others can
//! still do.
//!
//! A *scenario* stages some processes around a *victim*. The victim is single-stepped through one operation and killed
//! with SIGKILL after k instructions; then survivors go on and are judged. That is one *kill point*; a scenario is
//! played for every k. Many kill points leave the same bytes behind, so distinct end states are counted beside them.
//!
//! ```text
//! cargo run --release -p ringfence-crash-tests --bin crash-rig -- --full          every kill point
//! cargo run --release -p ringfence-crash-tests --bin crash-rig -- --only lock     a part
//! cargo test -p ringfence-crash-tests                                             the gate: a sample, and the controls
//! ```
//!
//! What the rig does not see: reordering by a weakly ordered machine (the loom models do), and deaths within a system
//! call other than one that sleeps (the kernel either did it or did not).
//!
//! - [`os`]: processes, shared pages; [`step`], [`heap`]: the victim; [`board`]: what the processes of a kill point share
//! - [`scenario`]: the driver; [`report`]: the table
//! - [`locks`], [`rwlock`], [`condvar`], [`barrier`], [`cells`], [`chain`], [`asleep`], [`events`], [`once`], [`long`],
//!   [`stopped`], [`life`], [`overtaken`], [`wait_any`], [`spsc`], [`byte_ring`], [`broadcast`], [`leases`], [`pipe`],
//!   [`batches`]: the scenarios; [`broken`]: negative controls

pub mod api;
pub mod asleep;
pub mod barrier;
pub mod batches;
pub mod board;
pub mod broadcast;
pub mod broken;
pub mod byte_ring;
pub mod cells;
pub mod chain;
pub mod channel;
pub mod condvar;
pub mod desk;
pub mod ends;
pub mod events;
pub mod fifos;
pub mod heap;
pub mod jobs;
pub mod lanes;
pub mod leases;
pub mod life;
pub mod locks;
pub mod long;
pub mod once;
pub mod os;
pub mod overtaken;
pub mod pipe;
pub mod queue;
pub mod report;
pub mod rwlock;
pub mod scenario;
pub mod spsc;
pub mod step;
pub mod stopped;
pub mod wait_any;
pub mod work_queue;

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ringfence::Value;

use report::{Class, Row, Total, head};
use scenario::{Options, Scenario};
use step::Unit;

/// Every scenario, then the negative controls.
pub fn catalogue() -> Vec<Scenario> {
    use chain::Act::{KillPop, KillPush, KillRecover, Recover};
    let mut all = locks::scenarios::<locks::Raw<locks::Shipped>>("lock");
    all.extend(asleep::scenarios::<queue::Shipped>("queue"));
    all.extend(chain::scenarios::<queue::Shipped>("queue"));
    all.extend(asleep::scenarios::<channel::Shipped>("channel"));
    all.extend(chain::scenarios::<channel::Shipped>("channel"));
    all.extend(asleep::scenarios::<channel::InPlace>("channel in place"));
    for (label, script) in [
        ("push", &[KillPush][..]),
        ("pop", &[KillPop]),
        ("push pop", &[KillPush, KillPop]),
        ("pop pop", &[KillPop, KillPop]),
        ("push recover", &[KillPush, KillRecover]),
    ] {
        all.push(chain::scenario::<channel::InPlace>("channel in place", 3, label, script));
    }
    all.extend(batches::scenarios());
    all.extend(spsc::scenarios());
    all.extend(byte_ring::scenarios());
    all.extend(asleep::scenarios::<work_queue::Shipped>("work queue"));
    all.extend(chain::scenarios::<work_queue::Shipped>("work queue"));
    all.extend(leases::scenarios());
    all.extend(locks::scenarios::<api::ApiMutex>("Mutex"));
    all.extend(locks::scenarios::<api::ApiReentrant>("ReentrantMutex"));
    all.extend(locks::scenarios::<api::ApiSemaphore>("Semaphore"));
    all.extend(locks::scenarios::<rwlock::ApiRwLock>("RwLock"));
    all.extend(locks::scenarios::<rwlock::ApiUpgrade>("RwLock upgrade"));
    all.extend(locks::scenarios::<rwlock::ApiReader>("RwLock reader"));
    all.extend(locks::scenarios::<rwlock::ApiGate>("RwLock gate"));
    all.extend(events::scenarios());
    all.extend(condvar::scenarios());
    all.extend(once::scenarios());
    all.extend(barrier::scenarios());
    all.extend(broadcast::scenarios());
    all.extend(asleep::scenarios::<api::ApiQueue>("Queue"));
    all.extend(asleep::scenarios::<api::ApiChannel>("Channel"));
    all.extend(asleep::scenarios::<work_queue::ApiWorkQueue>("WorkQueue"));
    for (label, script) in [("push", &[KillPush, Recover][..]), ("pop", &[KillPop, Recover][..])] {
        all.push(chain::scenario::<api::ApiQueue>("Queue", 3, label, script));
        all.push(chain::scenario::<api::ApiChannel>("Channel", 3, label, script));
        all.push(chain::scenario::<work_queue::ApiWorkQueue>("WorkQueue", 3, label, script));
    }
    all.extend(long::scenarios());
    all.extend(pipe::scenarios());
    all.extend(wait_any::scenarios());
    all.extend(cells::scenarios());
    all.extend(life::scenarios());
    all.extend(stopped::scenarios());
    all.extend(overtaken::scenarios());
    all.extend(controls());
    all
}

fn controls() -> Vec<Scenario> {
    use broken::batch::Over;
    use broken::birth::{named_first, published_first, reserved_late};
    use broken::cells::{Consumes, InPlace};
    use broken::counted::Counted;
    use broken::doors::{claims_first, joins_without_door, leaves_without_door};
    use broken::lane::{Flawed, NEVER_BACK, STAMPS_FIRST};
    use broken::locks::{self as flawed, NotRobust, SwapUnlock};
    use broken::long::GivesBackFirst;
    use broken::once::LockAlone;
    use broken::{
        event::ClearsFirst, eventcount::ClearFirst, hidden, recovery::FreesFirst, ring::TwoStores, vyukov::Vyukov,
    };
    use chain::Act::{KillPop, KillPush, Push, Recover};
    use lanes::ApiBroadcast;
    use locks::{Case, Raw, scenario};
    use pipe::{Beside, Row};
    use stopped::{OfFifo, OfLock};
    vec![
        chain::scenario::<Vyukov>("broken: vyukov", 3, "push", &[KillPush, Push]).must_fail(Class::Stuck),
        chain::scenario::<hidden::Hidden>("broken: hidden", 3, "pop push sweep", &[KillPop, KillPush, Recover])
            .must_fail(Class::Stuck),
        chain::scenario::<work_queue::Of<true>>("broken: reports first", 3, "pop", &[KillPop]).must_fail(Class::Stuck),
        leases::scenario::<desk::Raw<true>>("broken: pushes again", "fails").must_fail(Class::Lost),
        scenario::<Raw<SwapUnlock>>("broken: swap unlock", Case::Barger, "barger", false).must_fail(Class::Stuck),
        scenario::<Raw<flawed::ClearsFirst>>("broken: lock clears first", Case::Contended, "contended", false)
            .must_fail(Class::Stuck),
        scenario::<Raw<flawed::Unrecovered>>("broken: rwlock unrecovered", Case::Contended, "contended", false)
            .must_fail(Class::Stuck),
        wait_any::control(),
        scenario::<Raw<NotRobust>>("broken: not robust", Case::Free, "free", true).must_fail(Class::Stuck),
        scenario::<Raw<NotRobust>>("broken: not robust", Case::Contended, "contended", true).must_fail(Class::Stuck),
        asleep::scenario::<ClearFirst>("broken: clear first", asleep::Case::ConsumerAsleep, "consumer asleep", false)
            .must_fail(Class::Stuck),
        events::scenario::<ClearsFirst>("broken: event clears first", events::Case::Contended, "contended", false)
            .must_fail(Class::Stuck),
        scenario::<InPlace>("broken: in place", Case::Free, "free", true).must_fail(Class::Torn),
        cells::scenario::<Value<[u64; 5]>, Consumes>("broken: consumes", cells::Case::Takeover, "takeover", false)
            .must_fail(Class::Unreported),
        chain::scenario::<TwoStores>("broken: two stores", 3, "push", &[KillPush]).must_fail(Class::Lost),
        chain::scenario::<broken::spsc::StampsFirst>("broken: stamps first", 3, "push", &[KillPush])
            .must_fail(Class::Torn),
        chain::scenario::<broken::spsc::TrustsPosition>("broken: trusts position", 3, "push push", &[KillPush, Push])
            .must_fail(Class::Leaked),
        batches::scenario::<Over<queue::Shipped>>("broken: first comes last", batches::Case::Push, "push", false, true)
            .must_fail(Class::Lost),
        batches::scenario::<Over<channel::Shipped>>("broken: one by one", batches::Case::Push, "push", false, true)
            .must_fail(Class::Torn),
        batches::scenario::<Over<channel::Shipped>>("broken: one by one", batches::Case::Pop, "pop", false, true)
            .must_fail(Class::Torn),
        life::scenario("broken: named first", life::Case::Create, Unit::SystemCall, named_first)
            .must_fail(Class::Stuck),
        life::scenario("broken: reserved late", life::Case::Create, Unit::SystemCall, reserved_late)
            .must_fail(Class::Torn),
        life::scenario("broken: published first", life::Case::MakeObject, Unit::Instruction, published_first)
            .must_fail(Class::Leaked),
        overtaken::scenario("broken: claims first", overtaken::Case::JoinRecovery, Unit::Instruction, claims_first)
            .must_fail(Class::Lost),
        overtaken::scenario(
            "broken: join, no door",
            overtaken::Case::JoinLastLeaves,
            Unit::SystemCall,
            joins_without_door,
        )
        .must_fail(Class::Lost),
        overtaken::scenario(
            "broken: leave, no door",
            overtaken::Case::LastLeavesJoin,
            Unit::SystemCall,
            leaves_without_door,
        )
        .must_fail(Class::Lost),
        scenario::<Raw<flawed::Once>>("broken: once", Case::Recoverer, "recoverer", false).must_fail(Class::Stuck),
        once::scenario::<LockAlone>("broken: lock alone", once::Case::HalfDone, "half done", false)
            .must_fail(Class::Stuck),
        long::scenario::<GivesBackFirst>("broken: gives back first", long::Case::Receiver, "receiver", false)
            .must_fail(Class::Stuck),
        pipe::scenario::<Counted>("broken: counted ends", Row::new(pipe::Case::Sends, Beside::Nobody))
            .must_fail(Class::Stuck),
        pipe::scenario::<Counted>("broken: counted ends", Row::new(pipe::Case::Closes, Beside::Child))
            .must_fail(Class::Lost),
        condvar::scenario("broken: unrecovered", condvar::Case::Woken, "woken", false, false).must_fail(Class::Lost),
        barrier::scenario("broken: barrier unrecovered", barrier::Case::Arrives, "arrives", false, false)
            .must_fail(Class::Stuck),
        broadcast::scenario::<Flawed<STAMPS_FIRST>>(
            "broken: stamps first",
            broadcast::Case::Sends,
            "sends",
            true,
            true,
        )
        .must_fail(Class::Torn),
        broadcast::scenario::<Flawed<NEVER_BACK>>("broken: never back", broadcast::Case::Sends, "sends", true, true)
            .must_fail(Class::Stuck),
        broadcast::scenario::<ApiBroadcast<6>>(
            "broken: broadcast unrecovered",
            broadcast::Case::Recoverer,
            "recoverer",
            false,
            false,
        )
        .must_fail(Class::Stuck),
        stopped::scenario::<OfLock<Raw<flawed::Stores>>>("broken: stores").must_fail(Class::Torn),
        stopped::scenario::<OfLock<FreesFirst>>("broken: frees first").must_fail(Class::Stuck),
        stopped::scenario::<OfFifo<hidden::Stores, 2>>("broken: stores in slots").must_fail(Class::Stuck),
    ]
}

/// Runs what `only` matches (everything if `None`) in `jobs` processes, prints the table, and returns how many scenarios
/// passed and failed.
pub fn run(options: &Options, only: Option<&str>, jobs: usize) -> (usize, usize) {
    if let Err(stop) = step::Victim::fork(step::marker) {
        eprintln!("this system does not let the rig trace its own children with ptrace ({stop:?})");
        return (0, 1);
    }
    let begun = Instant::now();
    // SAFETY: atomics all through, for which zero is valid.
    let total = unsafe { os::share::<Total>() };
    let mut chosen = catalogue();
    chosen.retain(|scenario| only.is_none_or(|only| scenario.name.contains(only)));
    println!("{}", head());
    jobs::share_out(jobs, chosen.len(), |nth| play(&chosen[nth], options, total));
    let passed = total.passed.load(Relaxed) as usize;
    // A job that died has not noted its scenario.
    let failed = chosen.len() - passed;
    println!("\n{total}\n{:.0} s in {jobs} jobs: {passed} passed, {failed} failed", begun.elapsed().as_secs_f64());
    (passed, failed)
}

/// Plays a scenario and prints its row.
fn play(scenario: &Scenario, options: &Options, total: &Total) {
    let text = match scenario.control {
        None => {
            let outcome = scenario.run(options);
            total.add(&outcome, scenario.uncapped());
            total.note(outcome.failed() == 0 && outcome.skipped * 2 <= outcome.points);
            format!("{}\n", Row(&scenario.name, &outcome))
        }
        Some(class) => {
            // Every k, until it is caught; a control that hangs is not worth four seconds each.
            let options = Options { limit: Duration::from_secs(1), enough: 100, seek: Some(class), ..Options::full() };
            let outcome = scenario.run(&options);
            let caught = outcome.failures[class as usize] > 0;
            total.note(caught);
            let verdict = if caught { "caught, as it must be" } else { "NOT CAUGHT" };
            format!("{}\n      {verdict}\n", Row(&scenario.name, &outcome))
        }
    };
    // In one piece, since others print too.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
