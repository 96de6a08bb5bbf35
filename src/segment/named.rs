//! Names: birth, opening, unlinking, listing and sweeping.
//!
//! A segment is built whole in a file without a name and then linked to its name, so there is never a half-made one to
//! wait for, and a maker that is killed leaves nothing.
//!
//! The `Door` byte orders the death of a name: whoever joins holds it shared until its place is taken and the name is
//! checked under it; whoever unlinks holds it exclusively, sets `retired`, unlinks. Somebody killed between the two
//! steps leaves a retired file under the name, and the next to come finishes the unlinking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attachment::{Attachment, join_file, view_of};
use super::door::Door;
use super::options::{SegmentOptions, Unlink};
use super::peek::Peek;
use super::registry::NoFork;
use super::view::View;
use crate::error::Error;
use crate::layout::segment::{BYTE_ORDER, Birth, LAYOUT_VERSION, MAGIC};
use crate::primitive::{AtomicU64, Ordering};
use crate::sys::ofd::Mode;
use crate::sys::process;
use crate::sys::shm::{self, Stat, Unlinked};

/// The longest segment name in bytes.
pub const NAME_MAX: usize = 200;

/// Rounds of open and create after which a name that keeps changing is `Busy`.
const ROUNDS: usize = 100;

/// Checks a segment name and gives its path.
pub fn path_of(name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() {
        return Err(Error::Name("it is empty"));
    }
    if name.len() > NAME_MAX {
        return Err(Error::Name("it is longer than 200 bytes"));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(Error::Name("it has a character outside A-Z a-z 0-9 . _ -"));
    }
    Ok(shm::path_of(name))
}

/// The header of a new segment.
pub fn birth(options: &SegmentOptions, size: u64, by_claims: bool) -> Birth {
    let birth = Birth {
        magic: MAGIC,
        layout_version: LAYOUT_VERSION,
        byte_order: BYTE_ORDER,
        size,
        participants: options.participants.into(),
        objects: options.objects,
        unlink: u32::from(options.unlink == Unlink::WithLast),
        liveness: u32::from(by_claims),
        id: shm::random(),
        pid_namespace: if by_claims { process::pid_namespace() } else { 0 },
        reserved: [0; 8],
        checksum: 0,
    };
    birth.sealed()
}

/// Writes the header of a new segment, its first word last.
///
/// # Safety
/// `base` points to at least 128 mapped, writable bytes, aligned to 8, that nobody reads yet as a segment.
pub unsafe fn write_birth(base: core::ptr::NonNull<u8>, birth: &Birth) {
    let words: [u64; 16] = bytemuck::cast(*birth);
    for (index, word) in words.iter().enumerate().rev() {
        // SAFETY: inside the 128 bytes.
        let target = unsafe { base.cast::<AtomicU64>().add(index).as_ref() };
        // Release: whoever sees the magic sees the rest.
        target.store(*word, Ordering::Release);
    }
}

/// Creates a segment under a name that must be free.
pub fn create(path: &Path, options: &SegmentOptions) -> Result<Arc<Attachment>, Error> {
    let size = options.geometry()?.size;
    let no_fork = NoFork::enter()?;
    let file = Unlinked::create(options.checked_mode()?)?;
    // A private name is held by its door.
    let _no_fork = file.is_private().then_some(no_fork);
    shm::reserve(file.fd.as_fd(), size)?;
    let (view, mapping) = give_birth(file.fd.as_fd(), options, size)?;
    // We take our place before the name appears: a segment without a living participant is a dead one.
    let query = shm::duplicate(file.fd.as_fd())?;
    let inode = shm::stat(query.as_fd())?.inode;
    let attachment = join_file(Arc::new(query), inode, Some(path.to_path_buf()), view, mapping, false)?;
    file.link(path)?;
    Ok(attachment)
}

/// Memory without a name.
pub fn anonymous(options: &SegmentOptions) -> Result<Arc<Attachment>, Error> {
    let size = options.geometry()?.size;
    let fd = shm::memfd("ringfence", size)?;
    let (view, mapping) = give_birth(fd.as_fd(), options, size)?;
    let inode = shm::stat(fd.as_fd())?.inode;
    join_file(Arc::new(fd), inode, None, view, mapping, false)
}

/// Writes the header of a new file that nobody else can see.
fn give_birth(fd: BorrowedFd<'_>, options: &SegmentOptions, size: u64) -> Result<(View, shm::Mapping), Error> {
    let mapping = shm::Mapping::new(fd, usize::try_from(size).map_err(|_| Error::NoSpace)?)?;
    // SAFETY: mapped, at least a page long, and nobody else can see it.
    unsafe { write_birth(mapping.base(), &birth(options, size, false)) };
    Ok((view_of(&mapping)?, mapping))
}

/// Joins the segment behind a descriptor.
pub fn from_descriptor(fd: OwnedFd) -> Result<Arc<Attachment>, Error> {
    let stat = shm::stat(fd.as_fd())?;
    check_file(&stat)?;
    if let Some(attachment) = Attachment::existing(stat.inode)? {
        return Ok(attachment);
    }
    // It may be any file: a mapping is written to, if only with what is there.
    Peek::new(fd.as_fd(), stat.size)?;
    let (_, view, mapping) = Peek::map(fd.as_fd(), stat.size)?;
    join_file(Arc::new(fd), stat.inode, None, view, mapping, false)
}

fn check_regular(stat: &Stat) -> Result<(), Error> {
    if stat.regular { Ok(()) } else { Err(Error::Corrupted("the name is not a regular file")) }
}

fn check_file(stat: &Stat) -> Result<(), Error> {
    check_regular(stat)?;
    if stat.size < size_of::<Birth>() as u64 {
        return Err(Error::Corrupted("the file is shorter than a header"));
    }
    Ok(())
}

/// Opens the segment of this name.
pub fn open(path: &Path, options: &SegmentOptions) -> Result<Arc<Attachment>, Error> {
    for _ in 0..ROUNDS {
        if let Some(attachment) = try_open(path, options)? {
            return Ok(attachment);
        }
    }
    Err(Error::Busy)
}

/// Opens the segment of this name, or creates it.
pub fn open_or_create(path: &Path, options: &SegmentOptions) -> Result<Arc<Attachment>, Error> {
    for _ in 0..ROUNDS {
        match try_open(path, options) {
            Ok(Some(attachment)) => {
                let view = attachment.view();
                let found = view.geometry().size - view.geometry().heap();
                if found < options.size as u64 {
                    return Err(Error::WrongShape {
                        expected: format!("a segment with {} bytes for objects", options.size),
                        found: format!("a segment with {found} bytes for objects"),
                    });
                }
                return Ok(attachment);
            }
            Ok(None) => continue,
            Err(Error::Missing) => {}
            Err(error) => return Err(error),
        }
        match create(path, options) {
            Err(Error::Exists) => {}
            result => return result,
        }
    }
    Err(Error::Busy)
}

/// One attempt; `None` if the name changed under us.
fn try_open(path: &Path, options: &SegmentOptions) -> Result<Option<Arc<Attachment>>, Error> {
    let fd = shm::open(path)?;
    let stat = shm::stat(fd.as_fd())?;
    check_regular(&stat)?;
    if stat.owner != process::euid() && !options.allow_foreign_owner {
        return Err(Error::Permission);
    }
    check_file(&stat)?;
    if let Some(attachment) = Attachment::existing(stat.inode)? {
        return Ok(Some(attachment));
    }
    let fd = Arc::new(fd);
    let door = Door::take(fd.clone(), Mode::Shared)?;
    let (peek, view, mapping) = Peek::map(fd.as_fd(), stat.size)?;
    if peek.is_retired() || (peek.goes_with_last() && peek.is_dead()?) {
        drop(door);
        retire_if_dead(fd.as_fd(), stat.size, path)?;
        return Ok(None);
    }
    // While we hold the door nobody unlinks; but somebody may have before we took it.
    let joined = join_file(fd, stat.inode, Some(path.to_path_buf()), view, mapping, true);
    drop(door);
    match joined {
        Err(Error::Missing) => Ok(None),
        joined => joined.map(Some),
    }
}

/// Takes the name away from a segment in which nobody lives, or that is retired already. Says whether it did.
pub fn retire_if_dead(fd: BorrowedFd<'_>, size: u64, path: &Path) -> Result<bool, Error> {
    let _door = Door::take(fd, Mode::Exclusive)?;
    let peek = Peek::new(fd, size)?;
    if peek.is_retired() || peek.is_dead()? { retire(fd, &peek, path) } else { Ok(false) }
}

/// With the door held exclusively: takes the name away, if it is still this segment's.
fn retire(fd: BorrowedFd<'_>, peek: &Peek<'_>, path: &Path) -> Result<bool, Error> {
    match shm::stat_path(path) {
        Ok(stat) if stat.inode == shm::stat(fd)?.inode => {}
        Ok(_) | Err(Error::Missing) => return Ok(false),
        Err(error) => return Err(error),
    }
    peek.set_retired(true)?;
    if let Err(error) = shm::unlink(path) {
        // Nobody could join meanwhile, and the segment goes on as it was. One that was retired before stays so.
        peek.set_retired(peek.is_retired())?;
        return Err(error);
    }
    Ok(true)
}

/// Removes a name; those who have the segment open go on.
pub fn unlink(path: &Path, options: &SegmentOptions) -> Result<(), Error> {
    let fd = shm::open(path)?;
    let stat = shm::stat(fd.as_fd())?;
    if stat.owner != process::euid() && !options.allow_foreign_owner {
        return Err(Error::Permission);
    }
    check_regular(&stat)?;
    let fd = Door::take(fd, Mode::Exclusive)?;
    match Peek::new(fd.as_fd(), stat.size) {
        Ok(peek) => {
            if retire(fd.as_fd(), &peek, path)? {
                Ok(())
            } else {
                Err(Error::Missing)
            }
        }
        // Not a segment that we can read: another version, or torn. The name is in our name space, so it goes.
        Err(Error::Corrupted(_) | Error::Version { .. }) if shm::stat_path(path)?.inode == stat.inode => {
            shm::unlink(path)
        }
        Err(Error::Corrupted(_) | Error::Version { .. }) => Err(Error::Missing),
        Err(error) => Err(error),
    }
}

/// Takes the name away from the segment that is this file, whoever has it open. Whether that had it.
pub fn unlink_if(path: &Path, inode: shm::Inode) -> Result<bool, Error> {
    // Opened anew: a lock of the door's belongs to the description, and an inherited one has several owners.
    let fd = match shm::open_same(path, inode) {
        Ok(fd) => fd,
        Err(Error::Missing) => return Ok(false),
        Err(error) => return Err(error),
    };
    let stat = shm::stat(fd.as_fd())?;
    let fd = Door::take(fd, Mode::Exclusive)?;
    let peek = Peek::new(fd.as_fd(), stat.size)?;
    retire(fd.as_fd(), &peek, path)
}

/// What [`Segment::list`](super::Segment::list) tells of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The name.
    pub name: String,
    /// Length of the file in bytes.
    pub size: u64,
    /// User id of the owner.
    pub owner: u32,
    /// Living participants.
    pub participants: usize,
    /// What becomes of the name when nobody is left.
    pub unlink: Unlink,
}

/// What [`Segment::sweep`](super::Segment::sweep) removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// Names of dead segments.
    pub segments: Vec<String>,
    /// Files of makers that died before they gave them a name.
    pub abandoned: usize,
}

/// Lists the named segments of all users that this process may open. Names of files that are no sound segments are left
/// out.
pub fn list() -> Result<Vec<SegmentInfo>, Error> {
    let mut infos = Vec::new();
    for (name, path) in names()? {
        let Some(fd) = open_listed(&path)? else { continue };
        let Ok(stat) = shm::stat(fd.as_fd()) else { continue };
        if check_file(&stat).is_err() {
            continue;
        }
        let peek = match Peek::new(fd.as_fd(), stat.size) {
            Ok(peek) => peek,
            Err(Error::Corrupted(_) | Error::Version { .. }) => continue,
            Err(error) => return Err(error),
        };
        infos.push(SegmentInfo {
            name,
            size: stat.size,
            owner: stat.owner,
            participants: peek.living()?,
            unlink: if peek.goes_with_last() { Unlink::WithLast } else { Unlink::Keep },
        });
    }
    infos.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(infos)
}

fn names() -> Result<Vec<(String, PathBuf)>, Error> {
    let files = shm::file_names()?;
    Ok(files
        .iter()
        .filter_map(|file| {
            let name = file.to_str()?.strip_prefix(shm::PREFIX)?.to_owned();
            Some((name, shm::path_of_file(file)))
        })
        .collect())
}

/// Removes the dead segments of this user that ask for it, and abandoned private files. Never a living or foreign one.
pub fn sweep() -> Result<SweepReport, Error> {
    let mut report = SweepReport::default();
    for (name, path) in names()? {
        let Some((fd, size)) = own_file(&path)? else { continue };
        let Ok(peek) = Peek::new(fd.as_fd(), size) else { continue };
        if (peek.goes_with_last() || peek.is_retired())
            && peek.is_dead() == Ok(true)
            // One that cannot be removed now is not in the way of the others.
            && retire_if_dead(fd.as_fd(), size, &path) == Ok(true)
        {
            report.segments.push(name);
        }
    }
    for file in shm::file_names()? {
        if !file.to_str().is_some_and(|name| name.starts_with(shm::PRIVATE_PREFIX)) {
            continue;
        }
        let path = shm::path_of_file(&file);
        let Some((fd, _)) = own_file(&path)? else { continue };
        // Its maker holds the door as long as it lives.
        if let Ok(Some(_door)) = Door::try_take(fd)
            && shm::unlink(&path).is_ok()
        {
            report.abandoned += 1;
        }
    }
    report.segments.sort();
    Ok(report)
}

/// Opens a file that was in the directory: `None` if it is gone, or not for us. That this process or the machine has
/// nothing left to open it with says nothing of the file.
fn open_listed(path: &Path) -> Result<Option<OwnedFd>, Error> {
    match shm::open(path) {
        Ok(fd) => Ok(Some(fd)),
        Err(error @ (Error::NoDescriptors | Error::NoMemory)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Opens a regular file that belongs to this user.
fn own_file(path: &Path) -> Result<Option<(OwnedFd, u64)>, Error> {
    let Some(fd) = open_listed(path)? else { return Ok(None) };
    let stat = shm::stat(fd.as_fd())?;
    Ok((stat.regular && stat.owner == process::euid()).then_some((fd, stat.size)))
}
