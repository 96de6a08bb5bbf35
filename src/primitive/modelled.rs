//! What a model has in place of the machine's atomics.
//!
//! An atomic has its real size and alignment, so in a model everything in shared memory lies where it lies in reality.
//! What stands in its bytes is the number of the loom atomic that it is, in a table of this execution; those of
//! one or two bytes have no room for that and are found by their address. Zero is an atomic that nobody has used: it
//! comes into being, as zero, with its first use, which must therefore come before others can see it. Memory that is
//! zero for a reason is [furnished](furnish) for that.
//!
//! Every operation is also a *crash point*: a modelled process may die right before it (see [`death`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32 as Number, Ordering::Relaxed};

use loom::sync::atomic as loomed;
pub use loom::sync::atomic::Ordering;
pub use loom::{sync::Mutex, thread_local};

/// Death as a choice: a model names the step at which the current modelled process dies.
pub mod death {
    use std::cell::Cell;

    #[derive(Clone, Copy)]
    enum Fate {
        /// It lives.
        Safe,
        /// It dies before its operation of this number from here.
        Fuse(usize),
        /// It is dead, and unwinds.
        Dying,
    }

    std::thread_local! {
        /// How many processes there were.
        static PROCESSES: Cell<u64> = const { Cell::new(0) };
    }

    loom::thread_local! {
        static FATE: Cell<Fate> = Cell::new(Fate::Safe);
        static PROCESS: Cell<u64> = Cell::new(another());
    }

    fn another() -> u64 {
        PROCESSES.set(PROCESSES.get() + 1);
        PROCESSES.get()
    }

    /// A number that no other modelled process has. 0 for a dead one.
    pub fn process() -> u64 {
        if is_dying() { 0 } else { PROCESS.with(Cell::get) }
    }

    /// What a dying process unwinds with. Algorithms hold nothing with a `Drop`, and the guards and handles of the dying
    /// do nothing, so the unwind changes nothing in shared memory, exactly as a SIGKILL does.
    #[derive(Debug)]
    pub struct Killed;

    /// Runs `f` as a process that is killed right before its atomic operation number `step` (from 0). Returns `None` if
    /// it was killed, its result if it finished first.
    pub fn run_until<R>(step: usize, f: impl FnOnce() -> R) -> Option<R> {
        let outer = FATE.with(|fate| fate.replace(Fate::Fuse(step)));
        let parent = PROCESS.with(|process| process.replace(another()));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        FATE.with(|fate| fate.set(outer));
        PROCESS.with(|process| process.set(parent));
        match outcome {
            Ok(result) => Some(result),
            Err(payload) if payload.is::<Killed>() => None,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }

    /// One step of the process: dies here if the fuse has burnt down.
    pub fn crash_point() {
        FATE.with(|fate| match fate.get() {
            Fate::Fuse(0) => {
                fate.set(Fate::Dying);
                std::panic::resume_unwind(Box::new(Killed));
            }
            Fate::Fuse(left) => fate.set(Fate::Fuse(left - 1)),
            Fate::Safe => {}
            Fate::Dying => panic!("a dead process used shared memory: something does so when it is dropped"),
        });
    }

    /// Runs `f` as one step.
    pub fn in_one_step<R>(f: impl FnOnce() -> R) -> R {
        crash_point();
        let fuse = FATE.with(|fate| fate.replace(Fate::Safe));
        let result = f();
        FATE.with(|fate| fate.set(fuse));
        result
    }

    /// Whether the calling process is dead, and what runs is the unwind that stands for its end.
    pub fn is_dying() -> bool {
        FATE.try_with(|fate| matches!(fate.get(), Fate::Dying)).unwrap_or(false)
    }
}

/// What a fence between processors is in a model.
pub fn fence(order: Ordering) {
    death::crash_point();
    loomed::fence(order);
}

/// A model has no fence for the compiler alone; one for the machine is at least that.
pub fn compiler_fence(order: Ordering) {
    fence(order);
}

/// Lets another thread run.
pub fn spin_loop() {
    loom::thread::yield_now();
}

/// One loom atomic; or, in memory whose words have no type yet, one of each size.
#[derive(Default)]
struct Word {
    half: Option<loomed::AtomicU32>,
    whole: Option<loomed::AtomicU64>,
}

/// The atomics of the elements of one or two bytes, by address.
#[derive(Default)]
struct Small {
    bytes: HashMap<usize, Rc<loomed::AtomicU8>>,
    pairs: HashMap<usize, Rc<loomed::AtomicU16>>,
}

/// The atomics of an execution, by number: the first has number `first`. A number is not given twice, so one of an earlier
/// execution is found to be that.
struct Words {
    first: u32,
    words: Vec<Rc<Word>>,
}

// loom's threads are one thread of the system, and its own statics are slow.
std::thread_local! {
    static WORDS: RefCell<Words> = const { RefCell::new(Words { first: 1, words: Vec::new() }) };
    static SMALL: RefCell<Small> = RefCell::new(Small::default());
}

loom::lazy_static! {
    /// Made once an execution, and before any of its atomics.
    static ref EXECUTION: () = {
        WORDS.with_borrow_mut(|table| {
            table.first += table.words.len() as u32;
            table.words.clear();
        });
        SMALL.take();
    };
}

fn enter(word: Word) -> u32 {
    let () = *EXECUTION;
    WORDS.with_borrow_mut(|table| {
        table.words.push(Rc::new(word));
        table.first + table.words.len() as u32 - 1
    })
}

fn word(number: &Number, new: impl FnOnce() -> Word) -> Rc<Word> {
    // Relaxed: as above.
    if number.load(Relaxed) == 0 {
        number.store(enter(new()), Relaxed);
    }
    let number = number.load(Relaxed);
    let found = WORDS.with_borrow(|table| {
        let index = number.checked_sub(table.first)?;
        table.words.get(index as usize).cloned()
    });
    found.expect("an atomic of another model, or of an earlier execution")
}

/// Makes the zero words among `len` bytes of unpublished memory at `base` ready to be atomics of 4 or 8 bytes, or of `size`
/// behind byte `start` if that is 1 or 2, for whoever uses them first.
///
/// # Safety
/// The memory is the caller's, aligned to 8, and `len` a multiple of 8.
pub unsafe fn furnish(base: NonNull<u8>, len: usize, size: u32, start: usize) {
    let () = *EXECUTION;
    if matches!(size, 1 | 2) {
        SMALL.with_borrow_mut(|small| {
            for address in (base.addr().get() + start..base.addr().get() + len).step_by(size as usize) {
                if size == 1 {
                    small.bytes.insert(address, Rc::new(loomed::AtomicU8::new(0)));
                } else {
                    small.pairs.insert(address, Rc::new(loomed::AtomicU16::new(0)));
                }
            }
        });
    }
    let len = if matches!(size, 1 | 2) { start.min(len) } else { len };
    for index in 0..len / 8 {
        // SAFETY: inside the memory, and aligned: the caller's promise.
        let halves = unsafe { base.cast::<[Number; 2]>().add(index).as_ref() };
        if halves.iter().all(|number| number.load(Relaxed) == 0) {
            let (half, whole) = (Some(loomed::AtomicU32::new(0)), Some(loomed::AtomicU64::new(0)));
            halves[0].store(enter(Word { half, whole }), Relaxed);
            halves[1].store(enter(Word { half: Some(loomed::AtomicU32::new(0)), whole: None }), Relaxed);
        }
    }
}

macro_rules! operations {
    ($value:ty) => {
        pub fn load(&self, order: Ordering) -> $value {
            death::crash_point();
            self.observe(order)
        }
        /// A load by the model itself, not a step of a process.
        pub fn observe(&self, order: Ordering) -> $value {
            self.with(|word| word.load(order))
        }
        pub fn store(&self, value: $value, order: Ordering) {
            death::crash_point();
            self.with(|word| word.store(value, order));
        }
        pub fn swap(&self, value: $value, order: Ordering) -> $value {
            death::crash_point();
            self.with(|word| word.swap(value, order))
        }
        pub fn compare_exchange(
            &self,
            current: $value,
            new: $value,
            success: Ordering,
            failure: Ordering,
        ) -> Result<$value, $value> {
            death::crash_point();
            self.with(|word| word.compare_exchange(current, new, success, failure))
        }
        operations!(@ $value, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max);
    };
    (@ $value:ty, $($name:ident)*) => {$(
        pub fn $name(&self, value: $value, order: Ordering) -> $value {
            death::crash_point();
            self.with(|word| word.$name(value, order))
        }
    )*};
}

macro_rules! numbered {
    ($name:ident, $value:ty, $field:ident, $align:literal, $rest:literal) => {
        /// The atomic of its name, with a crash point before every operation.
        #[derive(Debug)]
        #[repr(C, align($align))]
        pub struct $name {
            number: Number,
            rest: [u8; $rest],
        }

        #[allow(missing_docs)] // the names are the standard library's
        impl $name {
            pub fn new(value: $value) -> Self {
                let number = enter(Word { $field: Some(loomed::$name::new(value)), ..Word::default() });
                Self { number: Number::new(number), rest: [0; $rest] }
            }
            fn with<R>(&self, act: impl FnOnce(&loomed::$name) -> R) -> R {
                let zero = || Word { $field: Some(loomed::$name::new(0)), ..Word::default() };
                let word = word(&self.number, zero);
                act(word.$field.as_ref().expect("an atomic is used with two sizes"))
            }
            operations!($value);
        }
        const _: () = assert!(size_of::<$name>() == size_of::<$value>());
    };
}

numbered!(AtomicU32, u32, half, 4, 0);
numbered!(AtomicU64, u64, whole, 8, 4);

macro_rules! addressed {
    ($name:ident, $value:ty, $field:ident) => {
        /// The atomic of its name, in [furnished](furnish) memory, with a crash point before every operation.
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name($value);

        #[allow(missing_docs)] // as above
        impl $name {
            fn with<R>(&self, act: impl FnOnce(&loomed::$name) -> R) -> R {
                let address = std::ptr::from_ref(self).addr();
                let word = SMALL.with_borrow(|small| small.$field.get(&address).cloned());
                act(&word.expect("an element of a furnished array"))
            }
            operations!($value);
        }
    };
}

addressed!(AtomicU8, u8, bytes);
addressed!(AtomicU16, u16, pairs);
