//! How values are checked, and what is found: for the sections of this room and for the couriers', which are judged by
//! their adapters.

use std::net::IpAddr;

use reqwest::Url;

use super::Problem;
use super::keys::dotted;

/// What is wrong, as it is found.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.0
    }

    /// Reports the key unless `holds`.
    pub(super) fn check(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.0.push(Problem::new(key, message));
        }
    }

    pub(super) fn at_least_one(&mut self, key: &str, number: u32) {
        self.check(number >= 1, key, "must be at least 1");
    }

    pub(super) fn not_empty(&mut self, key: &str, text: &str) {
        self.check(!text.trim().is_empty(), key, "must not be empty");
    }

    pub(super) fn web_url(&mut self, key: &str, url: &str) {
        self.check(is_web_url(url), key, WEB_URL);
    }

    pub(super) fn private_url(&mut self, key: &str, url: &str) {
        self.check(is_private_url(url), key, PRIVATE_URL);
    }

    pub(super) fn country(&mut self, key: &str, country: &str) {
        let expected = "must be a country's two capital letters (ISO 3166), such as \"CN\"";
        self.check(is_country(country), key, expected);
    }
}

/// What a courier's check finds, and what it may look at beside its own section.
#[derive(Debug)]
pub struct Checks<'a> {
    pub(super) section: String,
    pub(super) found: &'a mut Findings,
    /// `http.public_url`.
    pub public_url: Option<&'a str>,
    /// Whether nobody but this machine can reach the service.
    pub is_loopback: bool,
    /// Whether `couriers.default` names this courier.
    pub is_default: bool,
    /// Whether `couriers.fallbacks` names this courier.
    pub is_fallback: bool,
}

impl Checks<'_> {
    /// Whether orders go to this courier without naming it.
    pub const fn is_chosen(&self) -> bool {
        self.is_default || self.is_fallback
    }

    /// Reports one of the courier's own keys unless `holds`.
    pub fn own(&mut self, holds: bool, key: &str, message: &str) {
        self.found.check(holds, &dotted(&self.section, key), message);
    }

    /// Reports a key of another section unless `holds`.
    pub fn other(&mut self, holds: bool, key: &str, message: &str) {
        self.found.check(holds, key, message);
    }

    /// One of the courier's own keys that must hold a web address.
    pub fn web_url(&mut self, key: &str, url: &str) {
        self.found.web_url(&dotted(&self.section, key), url);
    }

    /// One of the courier's own keys that must hold a web address to which recipients may be sent.
    pub fn private_url(&mut self, key: &str, url: &str) {
        self.found.private_url(&dotted(&self.section, key), url);
    }

    /// One of the courier's own keys that must hold a country.
    pub fn country(&mut self, key: &str, country: &str) {
        self.found.country(&dotted(&self.section, key), country);
    }
}

const WEB_URL: &str = "expected an http:// or https:// URL without user, password, parameters or a slash at the end";

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && !text.ends_with('/')
    })
}

const PRIVATE_URL: &str = "expected an https:// URL without user, password, parameters or a slash at the end; http:// only \
                           on this machine (127.0.0.1, localhost): it would show the recipients to everybody between";

fn is_private_url(text: &str) -> bool {
    is_web_url(text) && Url::parse(text).is_ok_and(|url| url.scheme() == "https" || is_this_machine(&url))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback()),
        None => false,
    }
}

/// Whether what is sent to this address can be read on the way: plain http to another machine.
pub fn is_readable_on_the_way(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http" && !is_this_machine(&url))
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
