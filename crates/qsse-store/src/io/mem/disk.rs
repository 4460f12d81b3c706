//! The contents of the files in memory, and what a crash makes of them.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A disk writes this many bytes at once.
const SECTOR: usize = 512;

/// A directory: the current names, those after a crash, and the changes in between.
#[derive(Default)]
pub(super) struct Disk {
    names: BTreeMap<String, Arc<Mutex<Inode>>>,
    durable: BTreeMap<String, Arc<Mutex<Inode>>>,
    pending: Vec<NameChange>,
}

enum NameChange {
    Put(String, Arc<Mutex<Inode>>),
    Remove(String),
    Rename(String, String),
}

/// A file: the current bytes, those after a crash, and the changes in between.
#[derive(Default)]
pub(super) struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Changes whose sync failed: the system takes them for written, but that is unknown. Changes
    /// that were synced later are above them and are marked as certain.
    doubtful: Vec<(Change, bool)>,
}

pub(super) enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

impl Disk {
    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|inode| inode.lock().len()).sum()
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Mutex<Inode>>> {
        self.names.get(name).cloned()
    }

    pub(super) fn create(&mut self, name: &str) -> Arc<Mutex<Inode>> {
        if let Some(inode) = self.find(name) {
            inode.lock().change(Change::Cut(0));
            return inode;
        }
        let inode = Arc::<Mutex<Inode>>::default();
        self.names.insert(name.to_owned(), Arc::clone(&inode));
        let entry = NameChange::Put(name.to_owned(), Arc::clone(&inode));
        self.pending.push(entry);
        inode
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        self.pending.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), inode);
        let entry = NameChange::Rename(from.to_owned(), to.to_owned());
        self.pending.push(entry);
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn sync_dir(&mut self) {
        self.durable = self.names.clone();
        self.pending.clear();
    }

    pub(super) fn crash(&mut self, seed: u64) {
        let mut dice = Dice(seed);
        for entry in std::mem::take(&mut self.pending) {
            if dice.roll(2) == 0 {
                continue;
            }
            match entry {
                NameChange::Put(name, inode) => drop(self.durable.insert(name, inode)),
                NameChange::Remove(name) => drop(self.durable.remove(&name)),
                NameChange::Rename(from, to) => {
                    if let Some(inode) = self.durable.remove(&from) {
                        self.durable.insert(to, inode);
                    }
                }
            }
        }
        for inode in self.durable.values() {
            inode.lock().crash(&mut dice);
        }
        self.names = self.durable.clone();
    }

    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        Some(self.names.get(name)?.lock().bytes.clone())
    }

    pub(super) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        let inode = self.create(name);
        let mut inode = inode.lock();
        (inode.bytes, inode.durable) = (bytes.clone(), bytes);
        inode.pending.clear();
    }

    pub(super) fn flip(&mut self, name: &str, bit: usize) -> bool {
        let Some(inode) = self.names.get(name) else {
            return false;
        };
        let mut inode = inode.lock();
        match inode.bytes.get_mut(bit / 8) {
            Some(byte) => {
                *byte ^= 1 << (bit % 8);
                true
            }
            None => false,
        }
    }

    pub(super) fn copy(&self) -> Self {
        let copy = |inode: &Arc<Mutex<Inode>>| {
            let bytes = inode.lock().bytes.clone();
            let durable = bytes.clone();
            Arc::new(Mutex::new(Inode {
                bytes,
                durable,
                ..Inode::default()
            }))
        };
        let names: BTreeMap<_, _> = self
            .names
            .iter()
            .map(|(name, inode)| (name.clone(), copy(inode)))
            .collect();
        Self {
            durable: names.clone(),
            names,
            pending: Vec::new(),
        }
    }
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> usize {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(bytes) = self.bytes.get(from..) else {
            return 0;
        };
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        len
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.bytes, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        // A later sync does not write what a failed one has forgotten.
        let synced = self.pending.drain(..);
        if self.doubtful.is_empty() {
            synced.for_each(|change| apply(&mut self.durable, &change));
        } else {
            self.doubtful.extend(synced.map(|change| (change, true)));
        }
    }

    pub(super) fn sync_failed(&mut self) {
        let forgotten = self.pending.drain(..).map(|change| (change, false));
        self.doubtful.extend(forgotten);
    }

    fn crash(&mut self, dice: &mut Dice) {
        let unsynced = self.pending.drain(..).map(|change| (change, false));
        let changes = self.doubtful.drain(..).chain(unsynced);
        for (change, certain) in changes {
            if certain {
                apply(&mut self.durable, &change);
                continue;
            }
            match (dice.roll(3), change) {
                (0, _) => {}
                (1, Change::Write(offset, bytes)) => {
                    write_some_sectors(&mut self.durable, offset, &bytes, dice);
                }
                (_, change) => apply(&mut self.durable, &change),
            }
        }
        self.bytes = self.durable.clone();
    }
}

/// Writes a random half of the sectors, each of them only in part.
fn write_some_sectors(durable: &mut Vec<u8>, offset: u64, bytes: &[u8], dice: &mut Dice) {
    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
        if dice.roll(2) == 0 {
            let part = &sector[..sector.len().min(1 + dice.roll(SECTOR))];
            let at = offset + (number * SECTOR) as u64;
            apply(durable, &Change::Write(at, part.to_vec()));
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, new) => {
            let from = *offset as usize;
            if bytes.len() < from + new.len() {
                bytes.resize(from + new.len(), 0);
            }
            bytes[from..from + new.len()].copy_from_slice(new);
        }
        Change::Cut(len) => bytes.resize(*len as usize, 0),
    }
}

/// Small random numbers, which depend only on the seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }
}
