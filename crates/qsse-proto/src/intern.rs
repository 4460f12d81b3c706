//! [`Interner`]: shares one text among equal names, so that a known name costs no allocation.

/// Remembers recent names in a table of bounded size.
///
/// The hash of a name selects its slot, and a slot holds its latest name. The table is allocated
/// for the first name. It doubles when names evict each other, up to a limit. It is only a cache: a
/// forgotten name is made again.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    slots: Vec<Option<T>>,
    max_slots: usize,
}

const FIRST_SLOTS: usize = 16;

impl<T: AsRef<str> + Clone> Interner<T> {
    /// Creates a table of at most `max_slots` slots, a power of two.
    pub(crate) const fn new(max_slots: usize) -> Self {
        Self {
            slots: Vec::new(),
            max_slots,
        }
    }

    /// Returns the text with these bytes. `make` makes it if it is not known.
    #[inline]
    pub(crate) fn get<E>(
        &mut self,
        name: &[u8],
        make: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, E> {
        let hash = hash(name);
        if let Some(slot) = self.slots.get(self.slot(hash))
            && let Some(known) = slot
            && known.as_ref().as_bytes() == name
        {
            return Ok(known.clone());
        }
        let made = make(name)?;
        self.remember(hash, made.clone());
        Ok(made)
    }

    #[inline]
    fn slot(&self, hash: u64) -> usize {
        // The high bits are mixed best.
        (hash >> 40) as usize & self.slots.len().wrapping_sub(1)
    }

    #[cold]
    fn remember(&mut self, hash: u64, text: T) {
        if self.slots.is_empty() {
            self.slots.resize(FIRST_SLOTS.min(self.max_slots), None);
        } else if self.slots[self.slot(hash)].is_some() && self.slots.len() < self.max_slots {
            self.grow();
        }
        let slot = self.slot(hash);
        self.slots[slot] = Some(text);
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![None; size]);
        for text in old.into_iter().flatten() {
            let slot = self.slot(hash(text.as_ref().as_bytes()));
            self.slots[slot] = Some(text);
        }
    }
}

/// Returns a fast hash of a short name. Colliding names only make the cache less effective.
#[inline]
pub(crate) fn hash(name: &[u8]) -> u64 {
    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| {
        let wide = u128::from(sum ^ word) * u128::from(SEED);
        (wide as u64) ^ (wide >> 64) as u64
    };
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let mut sum = SEED ^ name.len() as u64;
    if let Some(last) = name.last_chunk::<8>() {
        for chunk in name.chunks_exact(8) {
            sum = mix(sum, word(chunk));
        }
        mix(sum, u64::from_le_bytes(*last))
    } else {
        let mut short = [0; 8];
        short[..name.len()].copy_from_slice(name);
        mix(sum, u64::from_le_bytes(short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Arc;

    fn get(interner: &mut Interner<Arc<str>>, name: &str, made: &mut usize) -> Arc<str> {
        let result = interner.get(name.as_bytes(), |bytes| {
            *made += 1;
            Ok::<_, Infallible>(Arc::from(std::str::from_utf8(bytes).unwrap()))
        });
        let text = result.unwrap();
        assert_eq!(&*text, name);
        text
    }

    #[test]
    fn a_known_name_is_shared() {
        let (mut interner, mut made) = (Interner::new(1024), 0);
        let first = get(&mut interner, "ride.7", &mut made);
        assert!(Arc::ptr_eq(
            &first,
            &get(&mut interner, "ride.7", &mut made)
        ));
        assert_eq!(made, 1);
    }

    #[test]
    fn a_hundred_names_settle() {
        let (mut interner, mut made) = (Interner::new(1024), 0);
        for _ in 0..10 {
            for number in 0..100 {
                get(&mut interner, &format!("ride.{number}.start"), &mut made);
            }
        }
        assert!(made < 300, "made {made} texts for 100 names");
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut interner, mut made) = (Interner::new(64), 0);
        for number in 0..10_000 {
            get(&mut interner, &format!("{number}"), &mut made);
        }
        assert_eq!(interner.slots.len(), 64);
    }

    #[test]
    fn names_of_every_length_differ() {
        let mut seen = std::collections::HashSet::new();
        for length in 0..=255 {
            assert!(seen.insert(hash(&vec![b'x'; length])));
        }
    }
}
