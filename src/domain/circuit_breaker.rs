//! The circuit breaker of a courier: when it opens, how long until a probe, and what closes it. All wall time: it guards
//! running work.

use std::time::Duration;

use crate::clock::{WallTime, delta};

/// Bookings that fail for certain, in a row, until the queue pauses: fewer happen to a courier that is well.
pub const FAILURES_TO_PAUSE: i64 = 5;

/// Waits until the next probe of a paused queue: short, so that a hiccup costs little, and never so long that a courier
/// that is back waits for us.
const PROBE_AFTER: [Duration; 6] = [
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(2 * 60),
    Duration::from_secs(4 * 60),
    Duration::from_secs(8 * 60),
    Duration::from_secs(15 * 60),
];

/// The same for refused credentials: somebody has to mend them, and asking again and again gets an account locked.
const PROBE_UNAUTHORIZED_AFTER: [Duration; 4] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
];

/// Calls are counted in windows of this length; a rate is of the current one and the one before.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// Whether calls go through to a courier. While it is not closed, one call at a time goes through as a probe (half-open):
/// when, the row's `paused_until` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They do.
    Closed,
    /// Bookings failed in a row: they wait; one at a time is tried.
    Open,
    /// Open, because the courier refuses our credentials: every call waits; one at a time is tried, seldom.
    Unauthorized,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::Unauthorized];

    /// As it is written in rows, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "ok",
            Self::Open => "paused",
            Self::Unauthorized => "unauthorized",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What kind of call it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It would make a parcel.
    Book,
    /// It asks, or calls off.
    Ask,
}

impl Call {
    /// As it is written in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Ask => "ask",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Book, Self::Ask].into_iter().find(|call| call.as_str() == text)
    }
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome<'a> {
    /// An answer, be it a refusal: the courier works.
    Answer,
    /// No usable answer, and surely nothing was done.
    Failure {
        /// Stable code.
        code: &'a str,
        /// How long the courier asked to wait.
        after: Option<Duration>,
    },
    /// No usable answer; it may have arrived.
    Unsure {
        /// Stable code.
        code: &'a str,
    },
    /// Our credentials are refused.
    Unauthorized {
        /// Stable code.
        code: &'a str,
    },
}

/// What the outcome of a call did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Nothing.
    Unchanged,
    /// It opened: calls wait from now on.
    Opened,
    /// It closed: calls go through again.
    Closed,
}

/// A courier's circuit breaker: its state, and the calls that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of migrations/orders, where each is explained")]
pub struct Breaker {
    pub state: State,
    pub since: WallTime,
    pub paused_until: Option<WallTime>,
    pub pauses: i64,
    pub caused_by: Option<Call>,
    pub failures: i64,
    pub last_success_at: Option<WallTime>,
    pub last_failure_at: Option<WallTime>,
    pub last_error: Option<String>,
    pub window_started_at: WallTime,
    pub calls: i64,
    pub failed: i64,
    pub calls_before: i64,
    pub failed_before: i64,
}

impl Breaker {
    /// A courier that nobody has called yet.
    pub const fn new(now: WallTime) -> Self {
        Self {
            state: State::Closed,
            since: now,
            paused_until: None,
            pauses: 0,
            caused_by: None,
            failures: 0,
            last_success_at: None,
            last_failure_at: None,
            last_error: None,
            window_started_at: now,
            calls: 0,
            failed: 0,
            calls_before: 0,
            failed_before: 0,
        }
    }

    /// Whether a call of that kind must wait for its turn. While bookings fail one may still ask: what became of a parcel
    /// is worth knowing most just then.
    pub const fn blocks(&self, call: Call) -> bool {
        match (self.state, call) {
            (State::Closed, _) | (State::Open, Call::Ask) => false,
            (State::Open, Call::Book) | (State::Unauthorized, _) => true,
        }
    }

    /// Takes in how a call that began at `began_at` ended, at `now`.
    pub fn record(
        &mut self,
        call: Call,
        call_outcome: CallOutcome<'_>,
        began_at: WallTime,
        now: WallTime,
    ) -> Transition {
        self.count(call_outcome != CallOutcome::Answer, now);
        if let CallOutcome::Failure { code, .. } | CallOutcome::Unsure { code } | CallOutcome::Unauthorized { code } =
            call_outcome
        {
            self.last_failure_at = Some(now);
            self.last_error = Some(code.chars().take(100).collect());
        }
        match call_outcome {
            CallOutcome::Answer => self.answered(call, now),
            CallOutcome::Failure { after, .. } => {
                if call == Call::Book {
                    self.failures = self.failures.saturating_add(1);
                }
                if self.state == State::Closed && self.failures >= FAILURES_TO_PAUSE {
                    self.trip(State::Open, call, now);
                    self.wait_at_least(after, now);
                    return Transition::Opened;
                }
                self.probe_failed(call, began_at, now);
                self.wait_at_least(after, now);
                Transition::Unchanged
            }
            CallOutcome::Unsure { .. } => {
                self.probe_failed(call, began_at, now);
                Transition::Unchanged
            }
            CallOutcome::Unauthorized { .. } if self.state == State::Unauthorized => {
                self.probe_failed(call, began_at, now);
                Transition::Unchanged
            }
            CallOutcome::Unauthorized { .. } => {
                self.trip(State::Unauthorized, call, now);
                Transition::Opened
            }
        }
    }

    /// Makes the next call a probe.
    pub fn resume(&mut self, now: WallTime) {
        if self.state != State::Closed {
            self.paused_until = Some(now);
            self.pauses = 0;
        }
    }

    /// How many of the last calls failed, 0 to 1; `None` where there were none for a while.
    pub fn error_rate(&self, now: WallTime) -> Option<f64> {
        let age = now - self.window_started_at;
        let (calls, failed) = if age < delta(WINDOW) {
            (self.calls + self.calls_before, self.failed + self.failed_before)
        } else if age < delta(WINDOW * 2) {
            (self.calls, self.failed)
        } else {
            (0, 0)
        };
        let small = |count: i64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        (calls > 0).then(|| small(failed) / small(calls))
    }

    fn answered(&mut self, call: Call, now: WallTime) -> Transition {
        self.last_success_at = Some(now);
        if call == Call::Book {
            self.failures = 0;
        }
        // Bookings that fail are not mended by a query that works; what a query closed, either may open.
        if self.state == State::Closed || (call == Call::Ask && self.caused_by == Some(Call::Book)) {
            return Transition::Unchanged;
        }
        self.state = State::Closed;
        self.since = now;
        self.paused_until = None;
        self.pauses = 0;
        self.caused_by = None;
        self.failures = 0;
        Transition::Closed
    }

    fn trip(&mut self, state: State, call: Call, now: WallTime) {
        self.state = state;
        self.since = now;
        self.caused_by = Some(call);
        self.pauses = 0;
        self.paused_until = Some(now + delta(self.next_wait()));
    }

    /// Only a call that began during the pause was a probe: what was under way before says nothing new.
    fn probe_failed(&mut self, call: Call, began_at: WallTime, now: WallTime) {
        if self.blocks(call) && began_at >= self.since {
            self.pauses = self.pauses.saturating_add(1);
            self.paused_until = Some(now + delta(self.next_wait()));
        }
    }

    fn next_wait(&self) -> Duration {
        let waits: &[Duration] = match self.state {
            State::Unauthorized => &PROBE_UNAUTHORIZED_AFTER,
            State::Closed | State::Open => &PROBE_AFTER,
        };
        let longest = waits.last().copied().unwrap_or_default();
        let index = usize::try_from(self.pauses).unwrap_or(usize::MAX);
        waits.get(index).copied().unwrap_or(longest)
    }

    fn wait_at_least(&mut self, after: Option<Duration>, now: WallTime) {
        if let (Some(until), Some(after)) = (self.paused_until, after) {
            self.paused_until = Some(until.max(now + delta(crate::domain::job::bounded_retry_after(after))));
        }
    }

    fn count(&mut self, failed: bool, now: WallTime) {
        let age = now - self.window_started_at;
        if age >= delta(WINDOW) {
            let recent = age < delta(WINDOW * 2);
            (self.calls_before, self.failed_before) = if recent { (self.calls, self.failed) } else { (0, 0) };
            (self.calls, self.failed) = (0, 0);
            self.window_started_at = now;
        }
        self.calls = self.calls.saturating_add(1);
        self.failed = self.failed.saturating_add(i64::from(failed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    const DOWN: CallOutcome<'static> = CallOutcome::Failure {
        code: "down",
        after: None,
    };
    const REFUSED: CallOutcome<'static> = CallOutcome::Unauthorized { code: "bad_key" };

    fn at(second: i64) -> WallTime {
        WallTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn call_outcome(breaker: &mut Breaker, call: Call, what: CallOutcome<'_>, second: i64) -> Transition {
        breaker.record(call, what, at(second), at(second))
    }

    fn wait(breaker: &Breaker, second: i64) -> i64 {
        (breaker.paused_until.unwrap() - at(second)).num_seconds()
    }

    #[test]
    fn five_certain_failures_in_a_row_pause_it_and_a_success_opens_it() {
        let mut breaker = Breaker::new(at(0));
        for second in 1..5 {
            assert_eq!(
                call_outcome(&mut breaker, Call::Book, DOWN, second),
                Transition::Unchanged
            );
        }
        assert_eq!(
            call_outcome(&mut breaker, Call::Book, CallOutcome::Answer, 5),
            Transition::Unchanged
        );
        for second in 6..10 {
            assert_eq!(
                call_outcome(&mut breaker, Call::Book, DOWN, second),
                Transition::Unchanged
            );
        }
        assert_eq!(call_outcome(&mut breaker, Call::Book, DOWN, 10), Transition::Opened);
        assert!(breaker.blocks(Call::Book) && !breaker.blocks(Call::Ask));
        assert_eq!(
            call_outcome(&mut breaker, Call::Ask, CallOutcome::Answer, 11),
            Transition::Unchanged
        );
        assert_eq!(
            call_outcome(&mut breaker, Call::Book, CallOutcome::Answer, 41),
            Transition::Closed
        );
        assert_eq!(
            (breaker.state, breaker.since, breaker.failures),
            (State::Closed, at(41), 0)
        );
    }

    #[test]
    fn a_lost_answer_and_a_failed_query_pause_nothing() {
        let mut breaker = Breaker::new(at(0));
        for second in 0..50 {
            call_outcome(
                &mut breaker,
                Call::Book,
                CallOutcome::Unsure { code: "timeout" },
                second,
            );
            call_outcome(&mut breaker, Call::Ask, DOWN, second);
        }
        assert_eq!(breaker.state, State::Closed);
        assert_eq!(breaker.error_rate(at(50)), Some(1.0));
    }

    #[test]
    fn each_probe_that_fails_waits_longer_up_to_a_quarter_of_an_hour() {
        let mut breaker = Breaker::new(at(0));
        for _ in 0..5 {
            call_outcome(&mut breaker, Call::Book, DOWN, 0);
        }
        // What was under way when it paused is no probe.
        breaker.record(Call::Book, DOWN, at(-1), at(1));
        assert_eq!(wait(&breaker, 0), 30);
        let mut waits = Vec::new();
        for probe in 1..8 {
            call_outcome(&mut breaker, Call::Book, DOWN, probe * 1000);
            waits.push(wait(&breaker, probe * 1000));
        }
        assert_eq!(waits, [60, 120, 240, 480, 900, 900, 900]);
        breaker.resume(at(9000));
        assert_eq!(wait(&breaker, 9000), 0);
    }

    #[test]
    fn refused_credentials_pause_it_at_once_whatever_the_call_and_are_probed_slowly() {
        for call in [Call::Book, Call::Ask] {
            let mut breaker = Breaker::new(at(0));
            assert_eq!(call_outcome(&mut breaker, call, REFUSED, 0), Transition::Opened);
            assert_eq!(wait(&breaker, 0), 300);
            assert!(breaker.blocks(Call::Book) && breaker.blocks(Call::Ask));
            assert_eq!(call_outcome(&mut breaker, call, REFUSED, 300), Transition::Unchanged);
            assert_eq!(wait(&breaker, 300), 900);
            assert_eq!(
                call_outcome(&mut breaker, call, CallOutcome::Answer, 1200),
                Transition::Closed
            );
        }
    }

    #[test]
    fn a_courier_that_asks_for_a_longer_pause_gets_it() {
        let mut breaker = Breaker::new(at(0));
        let busy = CallOutcome::Failure {
            code: "rate_limited",
            after: Some(Duration::from_secs(600)),
        };
        for _ in 0..5 {
            call_outcome(&mut breaker, Call::Book, busy, 0);
        }
        assert_eq!(wait(&breaker, 0), 600);
    }

    #[test]
    fn the_error_rate_is_of_the_last_minutes_only() {
        let mut breaker = Breaker::new(at(0));
        assert_eq!(breaker.error_rate(at(0)), None);
        call_outcome(&mut breaker, Call::Ask, DOWN, 0);
        call_outcome(&mut breaker, Call::Ask, CallOutcome::Answer, 10);
        assert_eq!(breaker.error_rate(at(10)), Some(0.5));
        call_outcome(&mut breaker, Call::Ask, CallOutcome::Answer, 310);
        call_outcome(&mut breaker, Call::Ask, CallOutcome::Answer, 311);
        assert_eq!(breaker.error_rate(at(312)), Some(0.25));
        assert_eq!(breaker.error_rate(at(5000)), None);
    }
}
