//! # Looking around
//!
//! For tools and for people who look for the cause of a hang. Every answer is as old as the call.
//!
//! The calls that list take an array: `info_size` is the size of one element (`sizeof *infos`), so that a program built
//! against an older header works with a newer library; `capacity` is how many there is room for. `*count` becomes how
//! many there are in all: if that is more than `capacity`, the array holds the first `capacity` of them. `infos` may be
//! NULL if `capacity` is 0.

use core::ffi::{c_char, c_int, c_void};

use super::argument::{self, Out, reference};
use super::boundary::{Failure, Outcome, boundary};
use super::segment::{rf_segment, rf_unlink};
use super::status::rf_status::{RF_E_INVALID, RF_OK};
use crate::segment::{Segment, Unlink};

/// A segment in /dev/shm.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_segment_info {
    /// Its name.
    pub name: [c_char; 208],
    /// Its size in bytes.
    pub size: u64,
    /// User id of its owner.
    pub owner: u32,
    /// How many living participants it has.
    pub participants: u32,
    /// Of `rf_unlink`.
    pub unlink: c_int,
    /// 0.
    pub reserved: u32,
}

/// A process that takes part in a segment.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_participant_info {
    /// Its number in the segment.
    pub number: u32,
    /// Its process id as it sees itself.
    pub pid: i32,
    /// 1 if it is alive, 0 if it is dead and not yet cleared up.
    pub alive: c_int,
    /// The short name of its program.
    pub name: [c_char; 20],
    /// Which of the lives that had its number: number and life together belong to one participant.
    pub life: u32,
}

/// An object in a segment.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_object_info {
    /// Its name.
    pub name: [c_char; 64],
    /// Its kind: "mutex", "value", "array", "queue", "channel".
    pub kind: [c_char; 16],
    /// Number of elements, or bytes of a channel's ring.
    pub capacity: u64,
    /// Bytes that it takes of the segment.
    pub bytes: u64,
    /// The type of its elements, of `rf_type`: RF_STRUCT for a queue, a channel and a mutex without data. -1 if another
    /// version of the library wrote a type that this one does not know.
    pub r#type: c_int,
    /// Bytes of an element; 0 for a mutex without data.
    pub element_size: u32,
    /// Alignment of an element.
    pub element_align: u32,
    /// 0.
    pub reserved: u32,
    /// The tag of the elements' type, or "".
    pub tag: [c_char; 32],
}

/// What a sweep has removed.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rf_sweep_report {
    /// Dead segments.
    pub segments: u64,
    /// Files of makers that died before they gave them a name.
    pub abandoned: u64,
}

/// Lists the segments in /dev/shm.
///
/// @param info_size  sizeof(rf_segment_info)
/// @param capacity   how many `infos` has room for
/// @param infos      the array
/// @param count      how many segments there are
/// @return RF_OK, RF_E_INVALID, RF_E_PERMISSION, RF_E_NO_DESCRIPTORS, RF_E_SYSTEM
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_list(
    info_size: usize,
    capacity: usize,
    infos: *mut rf_segment_info,
    count: *mut usize,
) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe {
        list(info_size, capacity, infos, count, || {
            Ok(Segment::list()?.into_iter().map(|info| rf_segment_info {
                name: text(&info.name),
                size: info.size,
                owner: info.owner,
                participants: info.participants as u32,
                unlink: match info.unlink {
                    Unlink::Keep => rf_unlink::RF_UNLINK_KEEP as c_int,
                    Unlink::WithLast => rf_unlink::RF_UNLINK_WITH_LAST as c_int,
                },
                reserved: 0,
            }))
        })
    })
}

/// Removes what the dead left in /dev/shm, of this user's: the name of a segment in which nobody lives, if it was made
/// with RF_UNLINK_WITH_LAST or an `rf_segment_unlink` was killed in the middle; and unfinished files of makers that were
/// killed.
///
/// What stays: a segment with a living participant; one made with RF_UNLINK_KEEP, the default, dead or alive, until
/// `rf_segment_unlink`; what belongs to another user; a file that is no sound segment of this layout version.
///
/// @param report  what was done; may be NULL
/// @return RF_OK, RF_E_PERMISSION, RF_E_NO_DESCRIPTORS, RF_E_SYSTEM
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_sweep(report: *mut rf_sweep_report) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let report = unsafe { Out::optional(report, "report")? };
        let done = Segment::sweep()?;
        report.write(rf_sweep_report { segments: done.segments.len() as u64, abandoned: done.abandoned as u64 });
        Ok(RF_OK)
    })
}

/// Lists the participants of a segment.
///
/// @param segment    the segment
/// @param info_size  sizeof(rf_participant_info)
/// @param capacity   how many `infos` has room for
/// @param infos      the array
/// @param count      how many participants there are
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_participants(
    segment: *const rf_segment,
    info_size: usize,
    capacity: usize,
    infos: *mut rf_participant_info,
    count: *mut usize,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let segment = unsafe { reference(segment, "segment")? };
        let ask = || {
            Ok(segment.core.participants().into_iter().map(|info| rf_participant_info {
                number: info.id.into(),
                pid: info.pid as i32,
                alive: info.alive.into(),
                name: text(&info.name),
                life: info.life,
            }))
        };
        // SAFETY: the caller's promise.
        unsafe { list(info_size, capacity, infos, count, ask) }
    })
}

/// Lists the objects of a segment.
///
/// @param segment    the segment
/// @param info_size  sizeof(rf_object_info)
/// @param capacity   how many `infos` has room for
/// @param infos      the array
/// @param count      how many objects there are
/// @return RF_OK, RF_E_INVALID, RF_E_CORRUPTED, RF_E_BUSY (somebody was stopped while changing the directory)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_segment_objects(
    segment: *const rf_segment,
    info_size: usize,
    capacity: usize,
    infos: *mut rf_object_info,
    count: *mut usize,
) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let segment = unsafe { reference(segment, "segment")? };
        let ask = || {
            Ok(segment.core.objects()?.into_iter().map(|info| rf_object_info {
                name: text(&info.name),
                kind: text(info.kind),
                capacity: info.capacity,
                bytes: info.bytes,
                r#type: info.element.map_or(-1, |element| element as c_int),
                element_size: info.element_size,
                element_align: info.element_align,
                reserved: 0,
                tag: text(&info.tag),
            }))
        };
        // SAFETY: the caller's promise.
        unsafe { list(info_size, capacity, infos, count, ask) }
    })
}

/// Writes a list into an array of the caller's, whose elements may be shorter or longer than ours.
///
/// # Safety
/// `infos` is NULL or has room for `capacity` elements of `info_size` bytes, `count` is NULL or writable.
unsafe fn list<T: Copy, I: Iterator<Item = T>>(
    info_size: usize,
    capacity: usize,
    infos: *mut T,
    count: *mut usize,
    ask: impl FnOnce() -> Result<I, Failure>,
) -> Outcome {
    if !(1..=4096).contains(&info_size) {
        return Err(Failure::new(RF_E_INVALID, format!("info_size is {info_size}; give sizeof *infos")));
    }
    let total = capacity.checked_mul(info_size).ok_or_else(|| Failure::new(RF_E_INVALID, "capacity is too large"))?;
    // SAFETY: the caller's promise.
    let (room, count) =
        unsafe { (argument::bytes_mut(infos.cast::<c_void>(), total, "infos")?, Out::required(count, "count")?) };
    let mut places = room.chunks_exact_mut(info_size);
    let mut found = 0;
    for info in ask()? {
        found += 1;
        if let Some(place) = places.next() {
            let known = info_size.min(size_of::<T>());
            // SAFETY: `known` bytes are there on both sides. The structs are plain data without padding (see below).
            let bytes = unsafe { core::slice::from_raw_parts((&raw const info).cast::<u8>(), known) };
            place[..known].copy_from_slice(bytes);
            place[known..].fill(0);
        }
    }
    count.write(found);
    Ok(RF_OK)
}

/// No padding: every byte of a list is written by us, so nothing of our memory leaks out.
const _: () = {
    assert!(size_of::<rf_segment_info>() == 208 + 8 + 4 * 4);
    assert!(size_of::<rf_participant_info>() == 4 + 4 + 4 + 20 + 4);
    assert!(size_of::<rf_object_info>() == 64 + 16 + 2 * 8 + 4 * 4 + 32);
};

/// A text as C has it: cut to fit, NUL-terminated, NUL-padded.
fn text<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    for (place, byte) in out[..N - 1].iter_mut().zip(text.bytes()) {
        *place = byte as c_char;
    }
    out
}
