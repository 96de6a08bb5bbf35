//! # Segments
//!
//! A segment comes into being whole: its memory is reserved, its header written, and only then gets it its name. So a
//! process killed while it creates one leaves nothing, and whoever opens one never finds half of it.
//!
//! The name is not the memory: `rf_segment_unlink` takes the name away, the memory lives as long as somebody maps it.
//! Closing a handle never unlinks, unless the segment was made with `RF_UNLINK_WITH_LAST` and nobody else is there.
//!
//! A process is one participant of a segment, however many handles it opens.

use core::ffi::{c_char, c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::ffi::CString;
use std::os::fd::{BorrowedFd, IntoRawFd};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, Outcome, boundary};
use super::status::rf_status::{RF_E_INVALID, RF_E_NO_DESCRIPTORS, RF_E_NOT_SUPPORTED, RF_OK};
use crate::segment::directory::Mode;
use crate::segment::{Segment, SegmentOptions, Unlink};

/// A handle to a segment.
pub struct rf_segment {
    /// Taken out by a close that succeeds, and by nothing else.
    pub(super) core: ManuallyDrop<Segment>,
    name: Option<CString>,
}

/// What happens to the name of a segment.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub enum rf_unlink {
    /// It stays until `rf_segment_unlink`.
    RF_UNLINK_KEEP = 0,
    /// It goes when the last participant leaves. If all die at once, the next `rf_segment_open` with RF_CREATE starts
    /// afresh, and `rf_segment_sweep` removes it.
    RF_UNLINK_WITH_LAST = 1,
}

/// How a segment is made. Zero everything, set `size_of`, and then what is to differ from the defaults: a zero is the
/// default in every other field. Opening an existing segment looks at `allow_foreign_owner` only.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct rf_segment_options {
    /// `sizeof(rf_segment_options)`, so that a later library knows which fields there are.
    pub size_of: usize,
    /// Permissions of the segment's file, as in chmod. Default: 0600, its maker's alone.
    pub mode: u32,
    /// Of `rf_unlink`. Default: RF_UNLINK_KEEP.
    pub unlink: c_int,
    /// How many processes can take part at the same time: 1 to 8191. Default: 128.
    pub participants: u32,
    /// How many objects it can hold: 1 to 65536. Default: 256.
    pub objects: u32,
    /// Not 0: also open a segment that another user has made. Default: refuse it (`RF_E_PERMISSION`).
    pub allow_foreign_owner: c_int,
    /// Must be 0.
    pub reserved: c_int,
}

/// Reads as much of the options as their maker has filled in.
///
/// # Safety
/// `options` is NULL or points to as many readable bytes as its `size_of` says.
unsafe fn read_options(options: *const rf_segment_options) -> Result<rf_segment_options, Failure> {
    let ours = size_of::<rf_segment_options>();
    let mut read = rf_segment_options {
        size_of: ours,
        mode: 0,
        unlink: 0,
        participants: 0,
        objects: 0,
        allow_foreign_owner: 0,
        reserved: 0,
    };
    if options.is_null() {
        return Ok(read);
    }
    // SAFETY: `size_of` is the first field and always there.
    let theirs = *unsafe { reference(options.cast::<usize>(), "options")? };
    if !(size_of::<usize>()..=4096).contains(&theirs) {
        return Err(Failure::new(RF_E_INVALID, format!("options->size_of is {theirs}; set it to sizeof *options")));
    }
    // SAFETY: `theirs` bytes are readable by the caller's promise.
    let bytes = unsafe { argument::bytes(options.cast(), theirs, "options")? };
    if bytes.iter().skip(ours).any(|byte| *byte != 0) {
        let text = "the options have a field that this version of the library does not know";
        return Err(Failure::new(RF_E_NOT_SUPPORTED, text));
    }
    // SAFETY: no more bytes than either struct has; every field is an integer, valid with any bytes.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut read).cast(), theirs.min(ours)) };
    Ok(read)
}

/// The library's options for C's.
///
/// # Safety
/// As [`read_options`].
unsafe fn options(options: *const rf_segment_options, size: usize) -> Result<SegmentOptions, Failure> {
    // SAFETY: the caller's promise.
    let given = unsafe { read_options(options)? };
    let unlink = match given.unlink {
        unlink if unlink == rf_unlink::RF_UNLINK_KEEP as c_int => Unlink::Keep,
        unlink if unlink == rf_unlink::RF_UNLINK_WITH_LAST as c_int => Unlink::WithLast,
        other => return Err(Failure::new(RF_E_INVALID, format!("options->unlink is {other}"))),
    };
    if given.reserved != 0 {
        return Err(Failure::new(RF_E_INVALID, "options->reserved is not 0"));
    }
    let mut options = SegmentOptions::new().size(size).unlink(unlink);
    if given.mode != 0 {
        options = options.mode(given.mode);
    }
    if given.participants != 0 {
        // What does not fit is beyond the maximum, and refused as such.
        options = options.participants(u16::try_from(given.participants).unwrap_or(u16::MAX));
    }
    if given.objects != 0 {
        options = options.objects(given.objects);
    }
    Ok(options.allow_foreign_owner(given.allow_foreign_owner != 0))
}

fn give(segment: Segment, out: Out<*mut rf_segment>) -> Outcome {
    let name = segment.name().and_then(|name| CString::new(name).ok());
    out.write_handle(rf_segment { core: ManuallyDrop::new(segment), name });
    Ok(RF_OK)
}

/// Opens the segment of that name, or makes it.
///
/// A segment that is there but has no living participant (all were killed) is recovered first; if it was made with
/// RF_UNLINK_WITH_LAST it counts as missing.
///
/// @param name     its name
/// @param flags    of `rf_flags`, without RF_INTERRUPTIBLE
/// @param size     room for objects, in bytes; the library adds what it needs itself. With RF_CREATE not 0, and one that
/// exists must be at least as large. Without RF_CREATE it is ignored
/// @param options  NULL for the defaults
/// @param out      the handle; `rf_segment_close` gives it back
/// @return RF_OK, RF_E_MISSING, RF_E_EXISTS, RF_E_WRONG_SHAPE (smaller than asked), RF_E_NO_SPACE, RF_E_NO_MEMORY,
/// RF_E_NO_DESCRIPTORS, RF_E_PERMISSION (another user's, or the mode), RF_E_TOO_MANY_PARTICIPANTS, RF_E_VERSION,
/// RF_E_CORRUPTED (no segment, or a broken one), RF_E_NAME, RF_E_INVALID, RF_E_BUSY, RF_E_SYSTEM
///
/// Threads, processes: any number at once; with RF_CREATE exactly one makes it. Crash: killed in the middle, the name is
/// either not there or names a whole segment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_open(
    name: *const c_char,
    flags: c_int,
    size: usize,
    options: *const rf_segment_options,
    out: *mut *mut rf_segment,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (name, options, out) =
            unsafe { (argument::name(name, "name")?, self::options(options, size)?, Out::required(out, "out")?) };
        let flags = argument::flags(flags)?;
        if flags.interruptible {
            return Err(Failure::new(RF_E_INVALID, "RF_INTERRUPTIBLE belongs to the objects, not to the segment"));
        }
        give(
            match flags.mode {
                Mode::Create => Segment::create(name, &options)?,
                Mode::Open => Segment::open_with(name, &options)?,
                Mode::OpenOrCreate => Segment::open_or_create(name, &options)?,
            },
            out,
        )
    })
}

/// Makes a segment without a name. Other processes get it as a file descriptor (`rf_segment_fd`), by inheritance or over
/// a socket, or by fork. Its file is sealed: nobody can shrink it.
///
/// @param size     room for objects, in bytes; not 0
/// @param options  NULL for the defaults
/// @param out      the handle; `rf_segment_close` gives it back
/// @return RF_OK, RF_E_NO_SPACE, RF_E_NO_MEMORY, RF_E_NO_DESCRIPTORS, RF_E_INVALID, RF_E_SYSTEM
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_anonymous(
    size: usize,
    options: *const rf_segment_options,
    out: *mut *mut rf_segment,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (options, out) = unsafe { (self::options(options, size)?, Out::required(out, "out")?) };
        give(Segment::anonymous(&options)?, out)
    })
}

/// Opens the segment behind a file descriptor.
///
/// @param fd   a descriptor of a segment, open for reading and writing. It stays the caller's, to close when they like
/// @param out  the handle; `rf_segment_close` gives it back
/// @return RF_OK, RF_E_INVALID (no such descriptor), RF_E_CORRUPTED (no segment), RF_E_VERSION, RF_E_PERMISSION,
/// RF_E_TOO_MANY_PARTICIPANTS, RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_SYSTEM
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_from_fd(fd: c_int, out: *mut *mut rf_segment) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::required(out, "out")? };
        if fd < 0 {
            return Err(Failure::new(RF_E_INVALID, format!("fd is {fd}")));
        }
        // SAFETY: not -1; a number that is not open is found out by the duplication, and not used beyond it.
        let duplicate = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(0);
            let status = if errno == BAD_DESCRIPTOR { RF_E_INVALID } else { RF_E_NO_DESCRIPTORS };
            Failure::new(status, format!("fd {fd}: {error}")).with_errno(errno)
        })?;
        give(Segment::from_fd(duplicate)?, out)
    })
}

/// EBADF, the same number on every Linux.
const BAD_DESCRIPTOR: i32 = 9;

/// A new file descriptor of the segment, to hand to another process. It is closed on exec: clear FD_CLOEXEC if the other
/// process is to inherit it.
///
/// @param segment  the segment
/// @param fd       the descriptor, the caller's to close
/// @return RF_OK, RF_E_NOT_SUPPORTED (adopted memory has none), RF_E_NO_DESCRIPTORS, RF_E_INVALID, RF_E_SYSTEM
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_fd(segment: *const rf_segment, fd: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        argument::tell(segment, "segment", fd, "fd", |segment| Ok(segment.core.try_clone_fd()?.into_raw_fd()))
    })
}

/// Makes a segment in memory of the caller's: any mapping that several processes share. The others call
/// `rf_segment_attach_at`, when this call has returned.
///
/// Without a file the kernel cannot witness a participant's life; it is known by process id and start time instead. So
/// all participants have to live in one PID namespace, and an exec is noticed only when the process ends.
///
/// @param memory   aligned to 128 bytes; its contents are overwritten
/// @param len      its length in bytes
/// @param options  NULL for the defaults; mode, unlink and allow_foreign_owner mean nothing here
/// @param out      the handle; the memory must stay mapped until it and all handles of objects are closed
/// @return RF_OK, RF_E_INVALID (NULL, misaligned, too short), RF_E_NOT_SUPPORTED, RF_E_NO_MEMORY, RF_E_SYSTEM
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_format_at(
    memory: *mut c_void,
    len: usize,
    options: *const rf_segment_options,
    out: *mut *mut rf_segment,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (memory, options, out) =
            unsafe { (mapping(memory, len)?, self::options(options, len)?, Out::required(out, "out")?) };
        // SAFETY: the caller promises shared memory of that length for as long as the handles live.
        give(unsafe { Segment::format_at(memory, len, &options)? }, out)
    })
}

/// Opens the segment that `rf_segment_format_at` made in this memory.
///
/// @param memory  aligned to 128 bytes
/// @param len     its length in bytes
/// @param out     the handle; the memory must stay mapped until it and all handles of objects are closed
/// @return RF_OK, RF_E_INVALID, RF_E_CORRUPTED (no segment), RF_E_VERSION, RF_E_TOO_MANY_PARTICIPANTS,
/// RF_E_NOT_SUPPORTED (another PID namespace), RF_E_NO_MEMORY, RF_E_SYSTEM
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_attach_at(memory: *mut c_void, len: usize, out: *mut *mut rf_segment) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise, for every pointer.
        let (memory, out) = unsafe { (mapping(memory, len)?, Out::required(out, "out")?) };
        // SAFETY: the caller promises shared memory of that length for as long as the handles live.
        give(unsafe { Segment::attach_at(memory, len)? }, out)
    })
}

/// Checks memory that is to be adopted.
///
/// # Safety
/// `memory` is NULL or has `len` bytes.
unsafe fn mapping(memory: *mut c_void, len: usize) -> Result<NonNull<u8>, Failure> {
    let memory = NonNull::new(memory.cast::<u8>()).ok_or_else(|| Failure::new(RF_E_INVALID, "memory is NULL"))?;
    if isize::try_from(len).is_err() || memory.addr().get().checked_add(len).is_none() {
        return Err(Failure::new(RF_E_INVALID, format!("memory of {len} bytes goes beyond the address space")));
    }
    Ok(memory)
}

/// Takes the name of a segment away. Whoever has it open goes on; the next open of the name finds nothing.
///
/// @param name  the name
/// @return RF_OK, RF_E_MISSING, RF_E_PERMISSION, RF_E_CORRUPTED (what has this name is no segment), RF_E_NAME,
/// RF_E_BUSY, RF_E_SYSTEM
///
/// Crash: killed in the middle, the name is there or it is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_unlink(name: *const c_char) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        Segment::unlink(unsafe { argument::name(name, "name")? })?;
        Ok(RF_OK)
    })
}

/// Frees what the dead hold of a segment, now. Not needed for correctness: whoever waits for something of the dead finds
/// out by itself.
///
/// @param segment  the segment
/// @param dead     how many dead participants were cleared up; may be NULL
/// @return RF_OK, RF_E_CORRUPTED, RF_E_INVALID, RF_E_BUSY (somebody was stopped while giving space back),
/// RF_E_NO_DESCRIPTORS, RF_E_SYSTEM
///
/// Threads, processes: any number at once. Crash: killed in the middle, another does the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_recover(segment: *const rf_segment, dead: *mut usize) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (segment, dead) = unsafe { (reference(segment, "segment")?, Out::optional(dead, "dead")?) };
        dead.write(segment.core.recover()?);
        Ok(RF_OK)
    })
}

/// The name of the segment.
///
/// @param segment  the segment
/// @return the name, valid until the handle is closed; NULL if it has none, or if `segment` is NULL
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_name(segment: *const rf_segment) -> *const c_char {
    // SAFETY: the caller's promise.
    let segment = unsafe { segment.as_ref() };
    segment.and_then(|segment| segment.name.as_deref()).map_or(core::ptr::null(), |name| name.as_ptr())
}

/// The size of the whole segment.
///
/// @param segment  the segment
/// @param size     in bytes, the library's own part included
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_size(segment: *const rf_segment, size: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(segment, "segment", size, "size", |segment| Ok(segment.core.size())) })
}

/// Takes the name of an object away, at once; its space becomes free when no living participant has it open any more.
///
/// @param segment  the segment
/// @param object   the name of the object
/// @return RF_OK, RF_E_MISSING, RF_E_NAME, RF_E_CORRUPTED, RF_E_INVALID, RF_E_BUSY (somebody was stopped while changing
/// the directory)
///
/// Crash: killed in the middle, the next to use the directory finishes or undoes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_remove(segment: *const rf_segment, object: *const c_char) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (segment, object) = unsafe { (reference(segment, "segment")?, argument::name(object, "object")?) };
        segment.core.remove(object)?;
        Ok(RF_OK)
    })
}

/// Gives the handle back. Handles of objects stay usable; the last handle of all ends the process's part in the segment.
///
/// @param segment  the handle, or NULL
/// @return RF_OK; RF_E_BUSY (a thread of this process holds a lock in the segment): then the handle stays open
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_close(segment: *mut rf_segment) -> c_int {
    boundary(|| {
        if segment.is_null() {
            return Ok(RF_OK);
        }
        // SAFETY: the caller's promise: a handle, which nobody else uses.
        let handle = unsafe { &mut *segment };
        // SAFETY: put back, or never looked at again.
        match unsafe { ManuallyDrop::take(&mut handle.core) }.close() {
            // SAFETY: it came from `give`, and nobody uses it any more.
            Ok(()) => unsafe { argument::close(segment) },
            Err(failed) => {
                handle.core = ManuallyDrop::new(failed.segment);
                Err(failed.error.into())
            }
        }
    })
}
