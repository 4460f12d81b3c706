//! Restores and damages a store's files while no server has them open.

use qsse_store::io::Io;
use qsse_store::io::mem::MemIo;

use super::*;
use crate::program::{Harm, Part};

/// A copy of a store's files.
pub(super) struct Copied {
    files: MemIo,
    /// When it was made, and the last seq that somebody had heard of by then.
    made: u64,
    safe: u64,
}

/// The length of a segment's header.
const HEADER: usize = 48;

impl World {
    /// Copies the store's files as they are, as the snapshot of a machine does.
    pub(crate) fn copy_store(&self) {
        let Some(disk) = &self.disk else { return };
        let mut model = self.model.borrow_mut();
        let (made, safe) = (model.moment(), model.told_of());
        let files = disk.files.snapshot();
        *self.copied.borrow_mut() = Some(Copied { files, made, safe });
    }

    /// Puts the last copy in the place of the store's files, which nobody may have open.
    pub(crate) fn restore(&self) {
        let (Some(disk), copied) = (&self.disk, self.copied.borrow()) else {
            return;
        };
        let Some(Copied { files, made, safe }) = &*copied else {
            return;
        };
        let done = disk.files.list().and_then(|names| {
            let mut names = names.iter();
            names.try_for_each(|name| disk.files.remove(name))?;
            for name in files.list()? {
                disk.files
                    .write(&name, files.read(&name).unwrap_or_default());
            }
            disk.files.sync_dir()
        });
        done.expect("files that nobody uses");
        let (made, safe) = (*made, *safe);
        self.setback.set(Some(Setback::Restored { made, safe }));
    }

    /// Whether there is a copy.
    pub(crate) fn has_copy(&self) -> bool {
        self.copied.borrow().is_some()
    }

    /// Damages a file of the store, which nobody may have open.
    pub(crate) fn damage(&self, part: Part, harm: Harm, at: f64) {
        let Some(disk) = &self.disk else { return };
        let mut names = disk.files.list().expect("files that nobody uses");
        names.sort_unstable();
        let of = |ending: &str| {
            let ending = ending.to_owned();
            names.iter().filter(move |name| name.ends_with(&ending))
        };
        let segments: Vec<&String> = of(".seg").collect();
        let last = segments.len().saturating_sub(1);
        let pick = |count: usize| ((count as f64 * at * 7.0) as usize) % count.max(1);
        let place = match part {
            Part::Newest => last,
            _ => pick(last),
        };
        let name = match part {
            Part::Newest | Part::Older => segments.get(place).copied(),
            Part::Index => of(".idx").nth(pick(of(".idx").count())),
            Part::Meta => of("meta.0").next(),
        };
        let Some(name) = name else { return };
        let mut bytes = disk.files.read(name).unwrap_or_default();
        let header = if name.ends_with(".seg") { HEADER } else { 0 };
        let room = bytes.len().saturating_sub(header);
        if room == 0 {
            return;
        }
        let at = header + (room as f64 * at) as usize;
        let unmarked = match harm {
            Harm::Bit => {
                bytes[at] ^= 1 << (at % 8);
                false
            }
            Harm::Bytes(count) => {
                let end = bytes.len().min(at + count);
                bytes[at..end].fill(0xa5);
                true
            }
            Harm::Cut => {
                bytes.truncate(at);
                true
            }
        };
        crate::tell(|| format!("    {name} is damaged at {at}: {harm:?}"));
        let done = disk.files.remove(name).and_then(|()| {
            disk.files.write(name, bytes);
            disk.files.sync_dir()
        });
        done.expect("files that nobody uses");
        if header > 0 {
            let first = |place: usize| {
                let name = segments.get(place)?;
                name.trim_end_matches(".seg").parse::<u64>().ok()
            };
            let from = first(place).unwrap_or(0);
            let to = first(place + 1).map_or(u64::MAX, |next| next - 1);
            let unmarked = unmarked && place == last;
            let setback = Setback::Damaged { from, to, unmarked };
            self.setback.set(Some(setback));
        }
    }
}
