//! # Log
//!
//! What happens to processes and to what they left, said to people: participants that were found dead and what was done
//! about it, messages that are delivered again, processes that start and end. Off at first.
//!
//! The environment variable `RINGFENCE_LOG`, one of `off`, `error`, `warning`, `info` and `debug`, has lines like
//! `[WARNING/MainProcess] text` printed to the standard error, in any language; children inherit it. `rf_set_log` has
//! precedence over it, in the process that calls it.
//!
//! ```c
//! rf_set_log(NULL, RF_LOG_INFO);    // to the standard error
//! rf_set_log(keep, RF_LOG_WARNING); // void keep(int level, const char *text)
//! ```

use core::ffi::{c_char, c_int};
use std::ffi::CString;

use super::boundary::{Failure, boundary};
use super::status::rf_status::{RF_E_INVALID, RF_OK};
use crate::primitive::{AtomicPtr, Ordering};
use crate::sys::log::{self, LogLevel};

/// How much an event matters, and up to which ones are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum rf_log_level {
    /// Nothing is told.
    RF_LOG_OFF = 0,
    /// Something cannot be done.
    RF_LOG_ERROR = 1,
    /// A process died, or what it did is done again.
    RF_LOG_WARNING = 2,
    /// Processes start and end.
    RF_LOG_INFO = 3,
    /// What is of use to who looks for an error.
    RF_LOG_DEBUG = 4,
}

/// Takes an event. It may come on any thread, on several at once, and from inside any call. `text` is one line without its end,
/// gone when the function returns. It must not call this library.
pub type rf_log = Option<unsafe extern "C" fn(level: c_int, text: *const c_char)>;

const LEVELS: [(rf_log_level, LogLevel); 4] = [
    (rf_log_level::RF_LOG_ERROR, LogLevel::Error),
    (rf_log_level::RF_LOG_WARNING, LogLevel::Warning),
    (rf_log_level::RF_LOG_INFO, LogLevel::Info),
    (rf_log_level::RF_LOG_DEBUG, LogLevel::Debug),
];

const _: () = {
    let mut at = 0;
    while at < LEVELS.len() {
        // What `forward` passes on.
        assert!(LEVELS[at].0 as c_int == LEVELS[at].1 as c_int);
        at += 1;
    }
};

/// The function of the last `rf_set_log`, where it is not NULL.
static TAKER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

fn forward(level: LogLevel, text: &str) {
    // Acquire: pairs with the Release in `rf_set_log`.
    let taker = TAKER.load(Ordering::Acquire);
    if taker.is_null() {
        return;
    }
    // SAFETY: what is not null there was such a function, which the caller keeps.
    let taker: unsafe extern "C" fn(c_int, *const c_char) = unsafe { core::mem::transmute(taker) };
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // SAFETY: the caller's promise; the text ends with NUL and lives during the call.
    unsafe { taker(level as c_int, text.as_ptr()) };
}

/// Has events of this level, and of those that matter more, told to a function, or printed.
///
/// @param taker  is called with each; NULL: they are printed to the standard error, as `[LEVEL/process-name] text`
/// @param level  of `rf_log_level`; RF_LOG_OFF turns it off, whatever `RINGFENCE_LOG` says
/// @return RF_OK; RF_E_INVALID for an unknown level
///
/// Threads: any; an event that comes meanwhile may still go where they went before. Fork: a child goes on as its parent.
#[unsafe(no_mangle)]
pub extern "C" fn rf_set_log(taker: rf_log, level: c_int) -> c_int {
    boundary(|| {
        if level == rf_log_level::RF_LOG_OFF as c_int {
            log::log_off();
            return Ok(RF_OK);
        }
        let level = LEVELS.into_iter().find(|(known, _)| *known as c_int == level).map(|(_, level)| level);
        let level = level.ok_or_else(|| Failure::new(RF_E_INVALID, "the level is none of rf_log_level"))?;
        match taker {
            None => log::log_to_stderr(level),
            Some(taker) => {
                TAKER.store(taker as *mut (), Ordering::Release);
                log::set_log(level, forward);
            }
        }
        Ok(RF_OK)
    })
}
