//! A panic, caught with what the panic hook alone can see: where it was, and the way there.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// What a panic in another process said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panic {
    /// Its message.
    pub message: String,
    /// `file:line:column`; empty if it cannot be told.
    pub location: String,
    /// The stack of the thread that panicked, whatever `RUST_BACKTRACE` says.
    pub backtrace: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked at {}: {}", self.location, self.message)
    }
}

/// Whether a call of [`catch`] runs on a thread: the hook notes its panic.
const WATCHED: u8 = 1;
/// Whether the hook has noted one.
const NOTED: u8 = 2;

thread_local! {
    // Without a destructor, so that a call that does not panic costs two stores.
    static STATE: Cell<u8> = const { Cell::new(0) };
    static PANIC: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Runs `call`. The panic hook in place still prints what it prints.
///
/// With `panic = "abort"` there is nothing to catch: the process ends by SIGABRT.
pub fn catch<R>(call: impl FnOnce() -> R) -> Result<R, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
    let outer = STATE.replace(WATCHED);
    // What the call that this one is in may still need.
    let kept = if outer & NOTED == 0 { None } else { PANIC.take() };
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    let noted = if STATE.replace(outer) & NOTED == 0 { None } else { PANIC.take() };
    if kept.is_some() {
        PANIC.set(kept);
    }
    outcome.map_err(|payload| {
        // A hook that somebody set later may have hidden the panic from ours.
        let caught = noted.unwrap_or_else(|| Panic {
            message: message(&*payload),
            location: String::new(),
            backtrace: String::new(),
        });
        // What it panicked with may be a value that panics when it is dropped.
        if let Err(again) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        caught
    })
}

fn note(info: &PanicHookInfo<'_>) {
    // Only for a thread that waits for it: a backtrace costs milliseconds.
    if STATE.get() & WATCHED == 0 {
        return;
    }
    let _ = PANIC.try_with(|noted| {
        let Ok(mut noted) = noted.try_borrow_mut() else { return };
        *noted = Some(Panic {
            message: message(info.payload()),
            location: info.location().map_or_else(String::new, ToString::to_string),
            backtrace: Backtrace::force_capture().to_string(),
        });
        STATE.set(WATCHED | NOTED);
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a payload that is no text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_place() {
        assert_eq!(catch(|| 7), Ok(7));
        let line = line!() + 1;
        let panic = catch(|| panic!("no {}", 1)).unwrap_err();
        assert_eq!(panic.message, "no 1");
        assert!(panic.location.starts_with(&format!("{}:{line}:", file!())), "{}", panic.location);
        assert!(panic.backtrace.contains("a_panic_is_caught_with_its_place"), "{}", panic.backtrace);
        assert!(panic.to_string().ends_with(": no 1"));
        // One inside another, caught there, is not taken for the outer one's.
        let outer = catch(|| {
            assert_eq!(catch(|| panic!("inner")).map_err(|panic| panic.message), Err::<(), _>("inner".to_owned()));
            panic::resume_unwind(Box::new("outer"));
        });
        assert_eq!(outer.map_err(|panic| panic.message), Err::<(), _>("outer".to_owned()));
        // One that was caught by somebody else belongs to the call that it was in, and to none inside or behind.
        let outer = catch(|| {
            let _ = panic::catch_unwind(|| panic!("somebody else's"));
            let inner = catch(|| panic::resume_unwind(Box::new("inner")));
            assert_eq!(inner.map_err(|panic| panic.message), Err::<(), _>("inner".to_owned()));
            panic::resume_unwind(Box::new("outer"));
        });
        assert_eq!(outer.map_err(|panic| panic.message), Err::<(), _>("somebody else's".to_owned()));
        let behind = catch(|| panic::resume_unwind(Box::new("behind")));
        assert_eq!(behind.map_err(|panic| panic.message), Err::<(), _>("behind".to_owned()));
    }
}
