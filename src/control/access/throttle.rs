//! Logging in, slowed: who fails waits, ever longer, and only so many passwords are tried at once.
//!
//! A wrong password costs its account and its address a wait before the next try, which is refused unseen until
//! then. So a password is not found by trying. An address from which the account came in before waits for what was
//! tried from there alone, so that no stranger keeps somebody out by trying wrong passwords for them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;

use crate::error::ControlError;

/// Wrong passwords of an account before it must wait.
const TRIES_OF_USER: u32 = 5;
/// Wrong passwords from an address before it must wait: many people may sit behind one.
const TRIES_OF_ADDRESS: u32 = 20;
/// The first wait; each further failure doubles it.
const WAIT_FIRST_MS: u64 = 2_000;
/// The longest wait.
const WAIT_MAX_MS: u64 = 15 * 60_000;
/// How long after its last failure somebody is forgotten.
const MEMORY_MS: u64 = 24 * 60 * 60_000;
/// How long it is remembered that an account came in from an address.
const KNOWN_MS: u64 = 30 * 24 * 60 * 60_000;
/// Bits of an IPv6 address that its host chooses.
const INTERFACE_BITS: u32 = 64;
/// Accounts and addresses that are remembered.
const REMEMBERED_MAX: usize = 4096;
/// Passwords that are tried at once: each takes 19 MiB and a processor.
const AT_ONCE_MAX: usize = 2;
/// How many may wait for that.
const WAITING_MAX: usize = 16;

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    last_ms: u64,
}

/// One try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try<'a> {
    /// For which account.
    pub user: &'a str,
    /// From which address.
    pub address: &'a str,
    /// Whether the account is in from there at this moment.
    pub is_known: bool,
}

#[derive(Default)]
struct Queue {
    trying: usize,
    waiting: usize,
}

/// Who has failed, and who is trying.
pub(super) struct Throttle {
    clock: Arc<dyn Clock>,
    failures: Mutex<HashMap<String, Failures>>,
    /// When accounts came in from addresses last.
    known: Mutex<HashMap<String, u64>>,
    queue: Mutex<Queue>,
    free: Condvar,
}

impl Throttle {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            failures: Mutex::default(),
            known: Mutex::default(),
            queue: Mutex::default(),
            free: Condvar::new(),
        }
    }

    /// Tries a password. Blocks.
    ///
    /// # Errors
    /// `TooMany`, without trying it.
    pub(super) fn attempt(
        &self,
        one: &Try<'_>,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, ControlError> {
        let address = one.address.parse().map(network);
        let address = address.map_or_else(|_| one.address.to_owned(), |of| of.to_string());
        let pair = format!("user {} from {address}", one.user);
        let account = match one.is_known || self.is_known(&pair) {
            true => pair.clone(),
            false => format!("user {}", one.user),
        };
        let keys = [(account, TRIES_OF_USER), (format!("address {address}"), TRIES_OF_ADDRESS)];
        self.may_try(&keys)?;
        let _turn = self.turn()?;
        // Others may have failed while this one waited for its turn.
        self.may_try(&keys)?;
        let is_right = is_right();
        let now = self.clock.wall_ms();
        if is_right {
            let mut known = lock(&self.known);
            make_room(&mut known, &pair, |at| *at);
            known.insert(pair, now);
        }
        let mut failures = lock(&self.failures);
        for (key, _) in keys {
            if is_right {
                failures.remove(&key);
                continue;
            }
            make_room(&mut failures, &key, |of| of.last_ms);
            let of = failures.entry(key).or_default();
            of.count = of.count.saturating_add(1);
            of.last_ms = now;
        }
        Ok(is_right)
    }

    fn is_known(&self, pair: &str) -> bool {
        let at = lock(&self.known).get(pair).copied();
        at.is_some_and(|at| self.clock.wall_ms().abs_diff(at) <= KNOWN_MS)
    }

    fn may_try(&self, keys: &[(String, u32)]) -> Result<(), ControlError> {
        let now = self.clock.wall_ms();
        let mut failures = lock(&self.failures);
        for (key, tries) in keys {
            let Some(of) = failures.get(key).copied() else { continue };
            // A clock that was moved must lock nobody out for longer than the wait itself.
            let since = now.saturating_sub(of.last_ms);
            if since > MEMORY_MS {
                failures.remove(key);
                continue;
            }
            let wait = wait_ms(of.count, *tries);
            if since < wait {
                return Err(ControlError::TooMany {
                    why: "too many wrong passwords".into(),
                    after_s: (wait - since).div_ceil(1000),
                });
            }
        }
        Ok(())
    }

    fn turn(&self) -> Result<Turn<'_>, ControlError> {
        let mut queue = lock(&self.queue);
        if queue.waiting >= WAITING_MAX {
            let why = "too many people log in at this moment".into();
            return Err(ControlError::TooMany { why, after_s: 1 });
        }
        queue.waiting += 1;
        while queue.trying >= AT_ONCE_MAX {
            queue = self.free.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting -= 1;
        queue.trying += 1;
        Ok(Turn(self))
    }
}

fn wait_ms(failures: u32, tries: u32) -> u64 {
    match failures.checked_sub(tries) {
        None => 0,
        Some(beyond) => {
            let doubled = WAIT_FIRST_MS.saturating_mul(1_u64 << beyond.min(32));
            Duration::from_millis(doubled.min(WAIT_MAX_MS)).as_secs() * 1000
        }
    }
}

/// Forgets what is longest ago, where there is no room for another.
fn make_room<T>(all: &mut HashMap<String, T>, key: &str, at: impl Fn(&T) -> u64) {
    if all.len() < REMEMBERED_MAX || all.contains_key(key) {
        return;
    }
    let oldest = all.iter().min_by_key(|(_, one)| at(one)).map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        all.remove(&oldest);
    }
}

/// What counts as one address: of IPv6 its network, since a host may take any address of that. IPv4 written as IPv6, as
/// a listener for both has it, is IPv4.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(v6.to_bits() >> INTERFACE_BITS << INTERFACE_BITS).into()
        }
        v4 => v4,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Turn<'a>(&'a Throttle);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).trying -= 1;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base::clock::ManualClock;

    use super::*;

    fn throttle() -> (Arc<ManualClock>, Throttle) {
        let clock = Arc::new(ManualClock::default());
        (Arc::clone(&clock), Throttle::new(clock))
    }

    fn by<'a>(user: &'a str, address: &'a str) -> Try<'a> {
        Try { user, address, is_known: false }
    }

    #[test]
    fn a_stranger_keeps_nobody_out_where_they_came_in_before() {
        let (_, throttle) = throttle();
        assert!(throttle.attempt(&by("anna", "192.0.2.1"), || true).unwrap());
        for _ in 0..5 {
            assert!(!throttle.attempt(&by("anna", "198.51.100.9"), || false).unwrap());
        }
        assert!(throttle.attempt(&by("anna", "198.51.100.8"), || true).is_err());
        assert!(throttle.attempt(&by("anna", "192.0.2.1"), || true).unwrap());
        let here = Try { is_known: true, ..by("anna", "198.51.100.7") };
        assert!(throttle.attempt(&here, || true).unwrap());
        for _ in 0..5 {
            assert!(!throttle.attempt(&by("anna", "192.0.2.1"), || false).unwrap());
        }
        assert!(throttle.attempt(&by("anna", "192.0.2.1"), || true).is_err());
        assert!(throttle.attempt(&by("anna", "198.51.100.8"), || true).is_err());
    }

    #[test]
    fn a_host_has_one_address_however_many_of_its_network_it_takes() {
        let (_, throttle) = throttle();
        for n in 0..20 {
            let (user, address) = (format!("user{n}"), format!("2001:db8:1:2::{n:x}"));
            throttle.attempt(&by(&user, &address), || false).unwrap();
        }
        assert!(throttle.attempt(&by("anna", "2001:db8:1:2:ffff::1"), || true).is_err());
        assert!(throttle.attempt(&by("anna", "2001:db8:1:3::1"), || true).unwrap());
        assert!(throttle.attempt(&by("anna", "socket"), || true).unwrap());
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
    }

    #[test]
    fn after_five_wrong_ones_each_further_try_waits_twice_as_long() {
        let (clock, throttle) = throttle();
        for _ in 0..5 {
            assert!(!throttle.attempt(&by("anna", "192.0.2.1"), || false).unwrap());
        }
        let untried = || panic!("a password was tried");
        let error = throttle.attempt(&by("anna", "192.0.2.2"), untried).unwrap_err();
        assert!(matches!(error, ControlError::TooMany { after_s: 2, .. }), "{error:?}");
        clock.advance(Duration::from_secs(2));
        assert!(!throttle.attempt(&by("anna", "192.0.2.2"), || false).unwrap());
        let error = throttle.attempt(&by("anna", "192.0.2.2"), untried).unwrap_err();
        assert!(matches!(error, ControlError::TooMany { after_s: 4, .. }), "{error:?}");
        assert!(throttle.attempt(&by("ben", "192.0.2.2"), || true).unwrap());
        clock.advance(Duration::from_secs(4));
        assert!(throttle.attempt(&by("anna", "192.0.2.2"), || true).unwrap());
        assert!(!throttle.attempt(&by("anna", "192.0.2.2"), || false).unwrap());
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits_too_and_the_wait_has_an_end() {
        let (clock, throttle) = throttle();
        for n in 0..20 {
            throttle.attempt(&by(&format!("user{n}"), "192.0.2.1"), || false).unwrap();
        }
        assert!(throttle.attempt(&by("anna", "192.0.2.1"), || true).is_err());
        assert_eq!(wait_ms(u32::MAX, TRIES_OF_USER), WAIT_MAX_MS);
        clock.advance(Duration::from_millis(WAIT_MAX_MS));
        assert!(throttle.attempt(&by("anna", "192.0.2.1"), || true).unwrap());
    }

    #[test]
    fn who_tries_many_at_once_has_no_more_tries_than_one_after_the_other() {
        let (_, throttle) = throttle();
        let tried = AtomicUsize::new(0);
        let begin = Barrier::new(AT_ONCE_MAX + WAITING_MAX);
        std::thread::scope(|scope| {
            for n in 0..AT_ONCE_MAX + WAITING_MAX {
                let (throttle, tried, begin) = (&throttle, &tried, &begin);
                scope.spawn(move || {
                    begin.wait();
                    let _ = throttle.attempt(&by("anna", &format!("a{n}")), || {
                        tried.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        false
                    });
                });
            }
        });
        let most = TRIES_OF_USER as usize + AT_ONCE_MAX - 1;
        assert!(tried.load(Ordering::SeqCst) <= most, "{tried:?}");
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let (_, throttle) = throttle();
        for n in 0..REMEMBERED_MAX + 100 {
            throttle.attempt(&by(&format!("user{n}"), &format!("address{n}")), || false).unwrap();
        }
        assert!(throttle.failures.lock().unwrap().len() <= REMEMBERED_MAX);
    }

    #[test]
    fn only_so_many_are_tried_at_once_and_so_many_wait() {
        let (_, throttle) = throttle();
        let (most, now, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let all = AT_ONCE_MAX + WAITING_MAX + 10;
        let begin = Barrier::new(all);
        std::thread::scope(|scope| {
            for n in 0..all {
                let (throttle, most, now, refused, begin) =
                    (&throttle, &most, &now, &refused, &begin);
                scope.spawn(move || {
                    begin.wait();
                    let tried = throttle.attempt(&by(&format!("u{n}"), &format!("a{n}")), || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        while refused.load(Ordering::SeqCst) < 10 {
                            std::thread::yield_now();
                        }
                        now.fetch_sub(1, Ordering::SeqCst);
                        true
                    });
                    if tried.is_err() {
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), refused.into_inner()), (AT_ONCE_MAX, 10));
    }
}
