//! Rate limits (GCRA). Two limits: per API key for authenticated calls, per address for the others
//! (failed authentication, public pages, unauthentic webhooks). In memory, per process: it protects this process, it
//! is no quota. Must not remember more than a bounded number of callers, or say who they are.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

pub use crate::config::Rate;
use crate::http::errors::problem::{Problem, whole_seconds};
use crate::http::middleware::context;

/// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// After so many calls, callers that have been quiet are forgotten.
const SWEEP_EVERY: usize = 1024;

/// More callers than this at once share one allowance: a flood of addresses must not fill the memory (about 8 MiB).
const MAX_CALLERS: usize = 65_536;

/// Both limits, shared by all workers of the server.
#[derive(Debug, Default)]
pub struct RateLimits {
    per_key: Option<Limiter<String>>,
    per_address: Option<Limiter<IpAddr>>,
}

impl RateLimits {
    /// Limits per key and per address.
    pub fn new(per_key: Rate, per_address: Rate) -> Self {
        let clock = DefaultClock::default();
        Self {
            per_key: Some(Limiter::new("key", per_key, clock.clone())),
            per_address: Some(Limiter::new("address", per_address, clock)),
        }
    }

    /// No limits.
    pub fn disabled() -> Self {
        Self::default()
    }

    /// Counts an authenticated call. The answer will say what is left.
    ///
    /// # Errors
    /// 429 with `Retry-After` and the `RateLimit` fields.
    pub fn check_key(&self, key_id: &str) -> Result<(), Problem> {
        self.per_key
            .as_ref()
            .map_or(Ok(()), |limiter| limiter.check(key_id.to_owned()))
    }

    /// Counts a call that is not authenticated. The answer will say what is left.
    ///
    /// # Errors
    /// 429 with `Retry-After` and the `RateLimit` fields.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.per_address
            .as_ref()
            .map_or(Ok(()), |limiter| limiter.check(network(address)))
    }
}

/// An IPv6 caller owns at least a /64: single addresses of it are not counted apart.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller<K> {
    Known(K),
    /// Everyone, while there are too many to tell apart.
    Crowd,
}

#[derive(Debug)]
struct Limiter<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    name: &'static str,
    rate: Rate,
    limiter: RateLimiter<Caller<K>, DashMapStateStore<Caller<K>>, C, StateInformationMiddleware>,
    calls: AtomicUsize,
    crowded: AtomicBool,
}

impl<K: Hash + Eq + Clone, C: Clock> Limiter<K, C> {
    fn new(name: &'static str, rate: Rate, clock: C) -> Self {
        // `None` only for a period under a nanosecond a call, which nobody can reach.
        let quota = Quota::with_period(rate.per / rate.count.get())
            .map_or_else(|| Quota::per_second(rate.count), |quota| quota.allow_burst(rate.count));
        Self {
            name,
            rate,
            limiter: RateLimiter::dashmap_with_clock(quota, clock).with_middleware(),
            calls: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
        }
    }

    fn check(&self, caller: K) -> Result<(), Problem> {
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
        let crowded = self.crowded.load(Ordering::Relaxed);
        let caller = if crowded { Caller::Crowd } else { Caller::Known(caller) };
        match self.limiter.check_key(&caller) {
            Ok(standing) => {
                self.headers(standing.remaining_burst_capacity(), None)
                    .into_iter()
                    .for_each(|(name, value)| context::answer_with(name, value));
                Ok(())
            }
            Err(refused) => {
                let after = refused.wait_time_from(self.limiter.clock().now());
                let problem = Problem::too_many_requests(after);
                Err(self
                    .headers(0, Some(after))
                    .into_iter()
                    .fold(problem, |p, (name, value)| p.with_header(name, value)))
            }
        }
    }

    fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        self.crowded.store(self.limiter.len() >= MAX_CALLERS, Ordering::Relaxed);
    }

    fn headers(&self, remaining: u32, reset: Option<Duration>) -> Vec<(HeaderName, HeaderValue)> {
        let (name, count, window) = (self.name, self.rate.count, whole_seconds(self.rate.per));
        let reset = reset
            .map(|after| format!(";t={}", whole_seconds(after)))
            .unwrap_or_default();
        let fields = [
            (RATE_LIMIT_POLICY, format!("\"{name}\";q={count};w={window}")),
            (RATE_LIMIT, format!("\"{name}\";r={remaining}{reset}")),
        ];
        fields
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use actix_web::ResponseError as _;
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::http::testing::answer_to;

    fn rate(count: u32, per: u64) -> Rate {
        Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(per),
        }
    }

    fn header(problem: &Problem, name: &str) -> String {
        problem
            .error_response()
            .headers()
            .get(name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn one_call_too_many_is_429_and_says_when_to_come_back() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::new("key", rate(3, 60), clock.clone());
        for _ in 0..3 {
            limiter.check("k1").unwrap();
        }
        let problem = limiter.check("k1").unwrap_err();
        assert_eq!(
            (problem.status_code().as_u16(), problem.code()),
            (429, "too_many_requests")
        );
        assert_eq!(header(&problem, "retry-after"), "20");
        assert_eq!(header(&problem, "ratelimit-policy"), "\"key\";q=3;w=60");
        assert_eq!(header(&problem, "ratelimit"), "\"key\";r=0;t=20");

        clock.advance(Duration::from_secs(19));
        assert!(limiter.check("k1").is_err());
        clock.advance(Duration::from_secs(1));
        assert!(limiter.check("k1").is_ok());
    }

    #[test]
    fn one_callers_calls_do_not_count_for_another() {
        let limiter = Limiter::new("key", rate(1, 60), FakeRelativeClock::default());
        assert!(limiter.check("k1").is_ok() && limiter.check("k1").is_err() && limiter.check("k2").is_ok());
    }

    #[test]
    fn quiet_callers_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::new("address", rate(1, 1), clock.clone());
        for caller in 0..SWEEP_EVERY - 1 {
            limiter.check(caller).unwrap();
        }
        assert_eq!(limiter.limiter.len(), SWEEP_EVERY - 1);
        clock.advance(Duration::from_secs(5));
        limiter.check(usize::MAX).unwrap();
        assert_eq!(limiter.limiter.len(), 1);
    }

    #[test]
    fn a_flood_of_callers_shares_one_allowance_and_a_bounded_memory() {
        let limiter = Limiter::new("address", rate(1, 3_600), FakeRelativeClock::default());
        let refused = (0..3 * MAX_CALLERS)
            .filter(|caller| limiter.check(*caller).is_err())
            .count();
        assert!(limiter.limiter.len() <= MAX_CALLERS + SWEEP_EVERY);
        assert!(refused > MAX_CALLERS);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_caller() {
        let limits = RateLimits::new(rate(1, 3_600), rate(1, 3_600));
        let check = |address: &str| limits.check_address(address.parse().unwrap());
        assert!(check("2001:db8::1").is_ok() && check("2001:db8::ffff").is_err() && check("2001:db8:0:1::1").is_ok());
        assert!(check("192.0.2.1").is_ok() && check("::ffff:192.0.2.1").is_err() && check("192.0.2.2").is_ok());
    }

    #[test]
    fn a_disabled_limit_lets_everything_through() {
        let limits = RateLimits::disabled();
        assert!((0..1_000).all(|_| limits.check_key("k").is_ok()));
    }

    struct Limited;

    impl actix_web::FromRequest for Limited {
        type Error = Problem;
        type Future = std::future::Ready<Result<Self, Problem>>;

        fn from_request(_: &actix_web::HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
            std::future::ready(RateLimits::new(rate(5, 1), rate(5, 1)).check_key("k").map(|()| Self))
        }
    }

    #[actix_web::test]
    async fn an_answer_that_is_let_through_says_what_is_left() {
        let answer = answer_to::<Limited>(actix_web::test::TestRequest::get()).await;
        assert_eq!(answer.headers.get("ratelimit").unwrap(), "\"key\";r=4");
        assert_eq!(answer.headers.get("ratelimit-policy").unwrap(), "\"key\";q=5;w=1");
    }
}
