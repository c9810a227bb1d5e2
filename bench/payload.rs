//! Bytes to write, from stores that are made once: random ones, which nothing compresses; text as mail has
//! it; and one block that repeats itself, which takes next to no space where it is compressed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::rng::{Rng, SeededRng};

/// More than a processor's second-level cache, so that it costs what fresh data costs.
const STORE_LEN: usize = 8 << 20;
const STEP: usize = 512;
/// How much of the text is words before as much of an attachment follows.
const PART_LEN: usize = 24 << 10;
/// Characters in a line, as mail programs break it.
const LINE_LEN: usize = 76;
/// Different words; the first are used most.
const WORDS: u64 = 4096;

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Random bytes.
    Random,
    /// Half words in lines, half attachments in base 64.
    Mail,
    /// The same few bytes again and again.
    Repeated,
}

/// A store of bytes, and the place in it that comes next.
#[derive(Debug)]
pub struct Payload {
    store: &'static [u8],
    at: usize,
}

impl Payload {
    /// Bytes of this kind, from another place of their store each time.
    pub fn of(content: Content) -> Self {
        static RANDOM: LazyLock<Vec<u8>> = LazyLock::new(|| random(&SeededRng::new(1)));
        static MAIL: LazyLock<Vec<u8>> = LazyLock::new(|| mail(&SeededRng::new(2)));
        static REPEATED: LazyLock<Vec<u8>> = LazyLock::new(|| b"tidemark".repeat(STORE_LEN / 8));
        let store = match content {
            Content::Random => &*RANDOM,
            Content::Mail => &*MAIL,
            Content::Repeated => &*REPEATED,
        };
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // What is written twice to one place is not the same twice.
        let at = COUNT.fetch_add(1, Ordering::Relaxed) % (STORE_LEN / 2 / STEP) * STEP;
        Self { store, at }
    }

    /// A place for `len` bytes, another one each time for a long while.
    pub fn place(&mut self, len: usize) -> usize {
        if self.at + len > self.store.len() {
            // Shifted by a step, so that the same bytes do not meet again.
            self.at = self.at % 4096 / STEP * STEP + STEP;
        }
        let place = self.at;
        self.at += len;
        place
    }

    /// The bytes at a place.
    pub fn bytes(&self, place: usize, len: usize) -> &[u8] {
        &self.store[place..place + len]
    }
}

fn random(chance: &impl Rng) -> Vec<u8> {
    (0..STORE_LEN / 8).flat_map(|_| chance.next_u64().to_le_bytes()).collect()
}

fn mail(chance: &impl Rng) -> Vec<u8> {
    let words: Vec<Vec<u8>> = (0..WORDS).map(|_| word(chance)).collect();
    let mut text = Vec::with_capacity(STORE_LEN + PART_LEN);
    while text.len() < STORE_LEN {
        let end = text.len() + PART_LEN;
        while text.len() < end {
            line_of_words(chance, &words, &mut text);
        }
        let end = end + PART_LEN;
        while text.len() < end {
            text.extend((0..LINE_LEN).map(|_| letter(chance, BASE_64)));
            text.extend(b"\r\n");
        }
    }
    text.truncate(STORE_LEN);
    text
}

const BASE_64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn letter(chance: &impl Rng, of: &[u8]) -> u8 {
    let index = chance.below(of.len() as u64);
    usize::try_from(index).ok().and_then(|index| of.get(index)).copied().unwrap_or(b'-')
}

/// One to four syllables.
fn word(chance: &impl Rng) -> Vec<u8> {
    let syllables = 1 + chance.below(4);
    let syllable = |_| [letter(chance, b"bcdfghklmnprstvw"), letter(chance, b"aeiou")];
    (0..syllables).flat_map(syllable).collect()
}

fn line_of_words(chance: &impl Rng, words: &[Vec<u8>], text: &mut Vec<u8>) {
    let end = text.len() + LINE_LEN - 8;
    while text.len() < end {
        // Twice by chance: the lower a word's number, the more often it is met, as in any language.
        let index = chance.below(1 + chance.below(WORDS));
        let word = usize::try_from(index).ok().and_then(|index| words.get(index));
        text.extend(word.into_iter().flatten());
        text.push(b' ');
    }
    text.extend(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// How many of the store's 8-byte pieces at whole steps differ.
    fn distinct(content: Content) -> usize {
        let payload = Payload::of(content);
        let pieces = payload.bytes(0, STORE_LEN).chunks(8);
        pieces.collect::<HashSet<_>>().len()
    }

    #[test]
    fn random_bytes_do_not_repeat_and_repeated_ones_do() {
        assert!(distinct(Content::Random) > STORE_LEN / 8 - 10);
        assert_eq!(distinct(Content::Repeated), 1);
    }

    #[test]
    fn mail_is_lines_of_text_half_of_it_words() {
        let payload = Payload::of(Content::Mail);
        let text = std::str::from_utf8(payload.bytes(0, STORE_LEN)).unwrap();
        assert!(text.lines().all(|line| line.len() <= LINE_LEN + 2));
        let with_words = text.lines().filter(|line| line.contains(' ')).map(str::len);
        let share = with_words.sum::<usize>() as f64 / STORE_LEN as f64;
        assert!((0.45..0.55).contains(&share), "{share}");
    }

    #[test]
    fn places_go_through_the_whole_store_and_shift_at_its_end() {
        let mut payload = Payload::of(Content::Random);
        let start = payload.at;
        assert_ne!(Payload::of(Content::Random).at, start);
        let places: Vec<usize> = (0..=STORE_LEN / 4096).map(|_| payload.place(4096)).collect();
        assert_eq!(places[..2], [start, start + 4096]);
        let again = places.windows(2).find(|pair| pair[1] < pair[0]).unwrap();
        assert_eq!(again[1], start % 4096 + STEP);
    }
}
