//! Portals: where targets can be reached, and how that is told.
//!
//! Source: RFC 7143 13.8.

use std::net::{IpAddr, SocketAddr};

use crate::door::Address;

/// A place where targets can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portal {
    /// Its address.
    pub address: Address,
    /// Its group.
    pub group: u16,
}

/// The portals as they are told: what is announced, or else where the door listens. `reached` stands for
/// addresses that mean all of a host's.
pub fn told(
    announced: &[(String, u16)],
    portals: &[Portal],
    reached: Option<IpAddr>,
) -> Vec<(String, u16)> {
    if !announced.is_empty() {
        return announced.to_vec();
    }
    let tell = |portal: &Portal| match &portal.address {
        Address::Tcp(address) => {
            let is_all = address.ip().is_unspecified();
            let ip = if is_all { reached.unwrap_or(address.ip()) } else { address.ip() };
            let address = SocketAddr::new(ip.to_canonical(), address.port());
            Some((address.to_string(), portal.group))
        }
        Address::Unix(_) => None,
    };
    portals.iter().filter_map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(address: &str, group: u16) -> Portal {
        Portal { address: address.parse().unwrap(), group }
    }

    #[test]
    fn an_address_that_means_all_is_told_as_the_one_that_was_reached() {
        let portals =
            [portal("0.0.0.0:3260", 1), portal("127.0.0.1:3261", 2), portal("[::]:3262", 3)];
        let reached = "10.0.0.7".parse().ok();
        let expected = [("10.0.0.7:3260", 1), ("127.0.0.1:3261", 2), ("10.0.0.7:3262", 3)]
            .map(|(address, group)| (address.to_owned(), group));
        assert_eq!(told(&[], &portals, reached), expected);
        let v6 = "fe80::1".parse().ok();
        assert_eq!(told(&[], &portals[..1], v6), [("[fe80::1]:3260".to_owned(), 1)]);
    }

    #[test]
    fn what_is_announced_is_told_instead() {
        let announced = [("san.example:3260".to_owned(), 1)];
        assert_eq!(told(&announced, &[portal("127.0.0.1:1", 1)], None), announced);
    }
}
