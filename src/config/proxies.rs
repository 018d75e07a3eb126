//! Which proxies may say on whose behalf they ask.

use std::net::IpAddr;

use ipnet::IpNet;

/// What the list must look like, for error messages.
pub(super) const EXPECTED: &str = "a list of IP addresses or networks, such as [\"10.0.0.0/8\", \"::1\"]";

/// Addresses and networks whose `X-Forwarded-For` is believed. Empty: nobody's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses (`10.0.0.1`) and networks (`10.0.0.0/8`); `None` if one is neither.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Option<Self> {
        networks(entries).map(Self)
    }

    /// Whether this peer is one of them. An IPv4 peer on an IPv6 socket (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Whether some entry covers every address there is, which believes anybody.
    pub fn trusts_everyone(&self) -> bool {
        self.0.iter().any(|network| network.prefix_len() == 0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads addresses and networks; `None` if one is neither.
pub(super) fn networks<S: AsRef<str>>(entries: &[S]) -> Option<Vec<IpNet>> {
    let network = |entry: &S| {
        let text = entry.as_ref().trim();
        text.parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    entries.iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_itself_and_a_network_all_within() {
        let proxies = TrustedProxies::parse(&["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]).unwrap();
        for inside in ["192.0.2.7", "10.255.0.1", "2001:db8::1", "::ffff:10.1.2.3"] {
            assert!(proxies.contains(ip(inside)), "{inside}");
        }
        for outside in ["192.0.2.8", "11.0.0.1", "2001:db9::1", "::1"] {
            assert!(!proxies.contains(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_and_nobody_is_trusted_by_default() {
        assert_eq!(TrustedProxies::parse(&["proxy.example.cn"]), None);
        assert_eq!(TrustedProxies::parse(&["10.0.0.0/33"]), None);
        assert!(!TrustedProxies::default().contains(ip("127.0.0.1")));
        assert!(TrustedProxies::parse(&["0.0.0.0/0"]).unwrap().trusts_everyone());
    }
}
