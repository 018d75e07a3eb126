//! The client's address behind trusted reverse proxies. `X-Forwarded-For` counts only as far as trusted proxies wrote it:
//! anyone can send the header. An address is personal data: it is compared and counted, never logged or answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::X_FORWARDED_FOR;

pub use crate::config::TrustedProxies;

/// The caller's address: the peer's, or where a chain of trusted proxies says the request came from, that is the
/// rightmost address that is not one of them. The unspecified address when there is no peer (tests).
pub fn client_of(proxies: &TrustedProxies, request: &HttpRequest) -> IpAddr {
    let Some(peer) = request.peer_addr() else {
        return Ipv4Addr::UNSPECIFIED.into();
    };
    let mut client = peer.ip().to_canonical();
    let values: Vec<&str> = request
        .headers()
        .get_all(X_FORWARDED_FOR)
        .map(|v| v.to_str().unwrap_or("?"))
        .collect();
    // Several headers are one list, in order.
    let mut hops = values.iter().flat_map(|value| value.split(',')).rev();
    while proxies.contains(client) {
        // A hop that cannot be read is where the trusted part of the chain ends.
        let Some(hop) = hops.next().and_then(address) else {
            break;
        };
        client = hop;
    }
    client
}

/// One hop: an address, perhaps with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let plain = || hop.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    plain()
        .or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[track_caller]
    fn assert_client(peer: &str, forwarded: &[&str], expected: &str) {
        let proxies = TrustedProxies::parse(&["10.0.0.0/8", "192.0.2.1", "fd00::/8"]).unwrap();
        let mut request = TestRequest::get().peer_addr(peer.parse().unwrap());
        for value in forwarded {
            request = request.append_header((X_FORWARDED_FOR, *value));
        }
        assert_eq!(
            client_of(&proxies, &request.to_http_request()).to_string(),
            expected,
            "{peer} {forwarded:?}"
        );
    }

    #[test]
    fn a_stranger_cannot_name_another_address() {
        assert_client("203.0.113.9:5", &["198.51.100.1"], "203.0.113.9");
        assert_client("203.0.113.9:5", &[], "203.0.113.9");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_untrusted_hop_is_the_client() {
        assert_client("10.0.0.1:5", &["198.51.100.1"], "198.51.100.1");
        assert_client("10.0.0.1:5", &["1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1");
        assert_client("10.0.0.1:5", &["1.1.1.1, 198.51.100.1", "192.0.2.1"], "198.51.100.1");
        assert_client("[fd00::1]:5", &["2001:db8::7"], "2001:db8::7");
        assert_client("[::ffff:10.0.0.1]:5", &["198.51.100.1:4711"], "198.51.100.1");
        assert_client("10.0.0.1:5", &["[2001:db8::7]:4711"], "2001:db8::7");
    }

    #[test]
    fn a_chain_that_cannot_be_read_ends_at_the_last_proxy_that_can() {
        assert_client("10.0.0.1:5", &[], "10.0.0.1");
        assert_client("10.0.0.1:5", &["unknown"], "10.0.0.1");
        assert_client("10.0.0.1:5", &["198.51.100.1, junk, 10.0.0.2"], "10.0.0.2");
        assert_client("10.0.0.1:5", &["10.0.0.3"], "10.0.0.3");
    }
}
