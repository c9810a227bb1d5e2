//! Who may negotiate: few connections from one address and not many in all, so that whoever connects and
//! says nothing hinders nobody else.
//!
//! Where there is no room, the oldest negotiation of the busiest source gives way to the new one: a
//! limit that refused newcomers would itself be the denial of service.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::limits::{NEGOTIATIONS_MAX, NEGOTIATIONS_PER_ADDRESS_MAX, NEGOTIATIONS_PER_SOCKET_MAX};

/// Where a connection comes from, as far as limits are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// An address of version 4, or a network of 64 bits of version 6: what one machine may well own.
    Network(IpAddr),
    /// This host's Unix sockets.
    Local,
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                Self::Network(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            v4 @ IpAddr::V4(_) => Self::Network(v4),
        }
    }
}

impl Source {
    const fn count_max(self) -> usize {
        match self {
            Self::Network(_) => NEGOTIATIONS_PER_ADDRESS_MAX,
            Self::Local => NEGOTIATIONS_PER_SOCKET_MAX,
        }
    }
}

struct Entry {
    number: u64,
    source: Source,
    /// Dropped to send the connection away.
    _stay: oneshot::Sender<()>,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// Oldest first.
    entries: Vec<Entry>,
}

/// The negotiations under way.
#[derive(Clone, Default)]
pub struct Admission {
    table: Arc<Mutex<Table>>,
}

/// The right to negotiate, until it is dropped or somebody else needs it more.
pub struct Pass {
    admission: Admission,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl Admission {
    /// Lets a new connection in, sending another one away where there is no room.
    pub fn enter(&self, source: Source) -> Pass {
        let (stay, evicted) = oneshot::channel();
        let mut table = self.lock();
        let of_source = table.entries.iter().filter(|entry| entry.source == source).count();
        if of_source >= source.count_max() {
            table.evict_oldest_of(source);
        } else if table.entries.len() >= NEGOTIATIONS_MAX
            && let Some(busiest) = table.busiest()
        {
            table.evict_oldest_of(busiest);
        }
        let number = table.next;
        table.next += 1;
        table.entries.push(Entry { number, source, _stay: stay });
        drop(table);
        Pass { admission: self.clone(), number, evicted }
    }

    /// Sends all away.
    pub fn clear(&self) {
        self.lock().entries.clear();
    }

    /// How many negotiate.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn evict_oldest_of(&mut self, source: Source) {
        if let Some(index) = self.entries.iter().position(|entry| entry.source == source) {
            self.entries.remove(index);
        }
    }

    fn busiest(&self) -> Option<Source> {
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for entry in &self.entries {
            *counts.entry(entry.source).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        // Of equally busy ones the one whose connection is the oldest.
        self.entries.iter().map(|entry| entry.source).find(|source| counts[source] == most)
    }
}

impl Pass {
    /// Ends when somebody else needed the place.
    pub async fn evicted(&mut self) {
        // An error is the message: the other end is gone.
        let _ = (&mut self.evicted).await;
    }

    /// Gives the place back because the negotiation has succeeded; says whether it was still held.
    pub fn leave(self) -> bool {
        self.remove()
    }

    fn remove(&self) -> bool {
        let mut table = self.admission.lock();
        let before = table.entries.len();
        table.entries.retain(|entry| entry.number != self.number);
        table.entries.len() < before
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        IpAddr::from([10, 0, 0, last]).into()
    }

    fn is_evicted(pass: &mut Pass) -> bool {
        matches!(pass.evicted.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_to_its_newest() {
        let admission = Admission::default();
        let mut other = admission.enter(source(1));
        let mut passes: Vec<_> = (0..9).map(|_| admission.enter(source(2))).collect();
        assert!(is_evicted(&mut passes[0]));
        assert!(!passes[1..].iter_mut().any(is_evicted) && !is_evicted(&mut other));
        assert_eq!(admission.len(), 9);
        assert!(!passes.remove(0).leave(), "an evicted connection cannot go on");
        assert!(passes.remove(0).leave());
    }

    #[test]
    fn the_busiest_source_gives_way_when_all_places_are_taken() {
        let admission = Admission::default();
        let mut quiet: Vec<_> = (0..8).map(|n| admission.enter(source(100 + n))).collect();
        let mut busy: Vec<_> = (0..32).map(|_| admission.enter(Source::Local)).collect();
        let mut rest: Vec<_> = (0..24).map(|n| admission.enter(source(n / 8))).collect();
        assert_eq!(admission.len(), NEGOTIATIONS_MAX);
        let mut newest = admission.enter(source(200));
        assert!(is_evicted(&mut busy[0]));
        assert!(!busy[1..].iter_mut().chain(&mut quiet).chain(&mut rest).any(is_evicted));
        assert!(!is_evicted(&mut newest));
        drop((quiet, busy, rest, newest));
        assert!(admission.is_empty());
    }

    #[test]
    fn one_network_of_version_6_is_one_source() {
        let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
