//! Chance, passed in, so that a test's seed repeats it.

use std::sync::Mutex;

/// A source of random numbers. Not for keys or nonces.
pub trait Rng: Send + Sync {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;

    /// A number below `bound`, which must not be zero. The bias is below 2^-32 for bounds under 2^32.
    fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

/// Chance from the operating system.
#[derive(Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    /// # Panics
    /// Where the operating system has no randomness to give, which leaves nothing safe to do.
    fn next_u64(&self) -> u64 {
        getrandom::u64().expect("the operating system gives random numbers")
    }
}

/// Bytes that nobody can guess, for keys and passwords of programs; always from the operating system.
///
/// # Panics
/// Where the operating system has no randomness to give, which leaves nothing safe to do.
pub fn unguessable<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

/// Chance from a seed: the same seed gives the same numbers (SplitMix64).
#[derive(Debug)]
pub struct SeededRng(Mutex<u64>);

impl SeededRng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
