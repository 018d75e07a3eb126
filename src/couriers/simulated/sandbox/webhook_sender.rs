//! Sends the webhooks of every parcel, in order, until each is answered with 2xx.
//!
//! One task, two heaps: what is due in business time (the next stage of a parcel) and what waits in wall time (another
//! try, a head start, lateness). A parcel is in one of them or being sent, never in two places, so its webhooks keep
//! their order; no parcel has a task of its own. How far it got is noted in the journal; what is lost is sent again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant as WallInstant;
use tokio_util::sync::CancellationToken;

use crate::clock::{BusinessTime, WallTime};
use crate::couriers::simulated::sandbox::Shared;
use crate::couriers::simulated::sandbox::faults::{Call, FaultKind};
use crate::couriers::simulated::sandbox::journal::lock;
use crate::couriers::simulated::sandbox::parcel_lifecycle::Stage;
use crate::couriers::simulated::sandbox::parcel_store::{Line, Parcel, ParcelStore};
use crate::couriers::simulated::signing::{self, Signer};

/// Webhooks under way at once, over all parcels: enough to keep a receiver busy, too few to drown it.
const AT_ONCE: usize = 32;

/// The longest sleep: a manual clock is moved on without waking anybody.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// How long the first webhook waits so that the booking's answer normally arrives before it, as with real couriers.
const HEAD_START: Duration = Duration::from_millis(100);

/// The wait after the first failed try; doubled with each further one, in wall time.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How late `webhook_late` is without a `delay`.
const DEFAULT_LATENESS: Duration = Duration::from_secs(5);

/// How long one delivery may take.
pub(super) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// One piece of news: a webhook's `data`, and the answer to a query.
#[derive(Serialize)]
pub(super) struct News<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    tracking_no: String,
    status: &'static str,
    code: &'static str,
    occurred_at: BusinessTime,
    remark: &'static str,
}

impl<'a> News<'a> {
    pub(super) fn new(
        store: &ParcelStore,
        parcel: &'a Parcel,
        stage: &'static Stage,
        occurred_at: BusinessTime,
    ) -> Self {
        Self {
            reference: Some(&parcel.reference),
            tracking_no: store.tracking_no(parcel.ordinal),
            status: stage.status.as_str(),
            code: stage.code,
            occurred_at,
            remark: stage.remark,
        }
    }
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: BusinessTime,
    data: News<'a>,
}

/// A new parcel whose webhooks are to be sent.
pub(super) struct Announcement {
    pub(super) ordinal: u64,
    /// Told when the first webhook was tried, for `webhook_before_answer`: then it has no head start to wait for.
    pub(super) first_tried: Option<oneshot::Sender<()>>,
}

/// How far the webhooks of one parcel are.
#[derive(Default)]
struct Delivery {
    acknowledged: u8,
    /// Stages whose lateness and disorder were drawn.
    drawn: u8,
    /// A stage that waits until the one after it was acknowledged.
    held: Option<usize>,
    failures: u32,
    first_tried: Option<oneshot::Sender<()>>,
}

fn bit(stage: usize) -> u8 {
    u32::try_from(stage)
        .ok()
        .and_then(|stage| 1_u8.checked_shl(stage))
        .unwrap_or(0)
}

impl Delivery {
    /// The stage to be reported next and when it happens; `None`: all is reported.
    fn next(&self, parcel: &Parcel) -> Option<(usize, BusinessTime)> {
        let open = |stage: &usize| self.acknowledged & bit(*stage) == 0;
        let happens = |stage: usize| parcel.stage(stage).map(|(_, at)| (stage, at));
        (0..parcel.end.stages().len())
            .filter(open)
            .filter(|stage| self.held != Some(*stage))
            .find_map(happens)
            .or_else(|| self.held.filter(open).and_then(happens))
    }
}

/// Sends the webhooks of all parcels.
pub(super) struct WebhookSender {
    shared: Arc<Shared>,
    client: reqwest::Client,
    deliveries: HashMap<u64, Delivery>,
    due: BinaryHeap<Reverse<(BusinessTime, u64)>>,
    waiting: BinaryHeap<Reverse<(WallInstant, u64)>>,
    under_way: JoinSet<(u64, usize, bool)>,
}

impl WebhookSender {
    /// With everything that the store says is still to be reported. Made before the first booking is let in.
    pub(super) fn after_restart(shared: Arc<Shared>, client: reqwest::Client) -> Self {
        let mut sender = Self {
            shared,
            client,
            deliveries: HashMap::new(),
            due: BinaryHeap::new(),
            waiting: BinaryHeap::new(),
            under_way: JoinSet::new(),
        };
        let store = lock(&sender.shared.store);
        for parcel in store.after(0) {
            let delivery = Delivery {
                acknowledged: parcel.acknowledged,
                ..Delivery::default()
            };
            if let Some((_, at)) = delivery.next(parcel) {
                sender.due.push(Reverse((at, parcel.ordinal)));
                sender.deliveries.insert(parcel.ordinal, delivery);
            }
        }
        drop(store);
        sender
    }

    /// Sends what is due until `stop`; then what is under way is dropped and, after a restart, sent again.
    pub(super) async fn run(
        mut self,
        mut announcements: mpsc::UnboundedReceiver<Announcement>,
        mut url: watch::Receiver<Option<String>>,
        stop: CancellationToken,
    ) {
        loop {
            // Without a receiver nothing is tried: it is due when one is named.
            let receiver = url.borrow_and_update().clone();
            if let Some(url) = &receiver {
                self.send_what_is_due(url);
            }
            let sleep = receiver.and_then(|_| self.until_next());
            tokio::select! {
                () = stop.cancelled() => return,
                Some(announcement) = announcements.recv() => self.announce(announcement),
                Some(done) = self.under_way.join_next() => {
                    if let Ok((ordinal, stage, accepted)) = done {
                        self.finish(ordinal, stage, accepted);
                    }
                }
                Ok(()) = url.changed() => {}
                () = tokio::time::sleep(sleep.unwrap_or(LONGEST_SLEEP)), if sleep.is_some() => {}
            }
        }
    }

    fn announce(&mut self, announcement: Announcement) {
        let Announcement { ordinal, first_tried } = announcement;
        let head_start = if first_tried.is_some() {
            Duration::ZERO
        } else {
            HEAD_START
        };
        self.deliveries.insert(
            ordinal,
            Delivery {
                first_tried,
                ..Delivery::default()
            },
        );
        self.waiting.push(Reverse((WallInstant::now() + head_start, ordinal)));
    }

    /// How long until something is due; `None`: something else wakes first, or nothing is left.
    fn until_next(&self) -> Option<Duration> {
        if self.under_way.len() >= AT_ONCE {
            return None;
        }
        let business = self.due.peek().map(|Reverse((at, _))| {
            let span = (*at - self.shared.clock.business_now()).to_std().unwrap_or_default();
            self.shared.clock.wall_wait(span)
        });
        let wall = self
            .waiting
            .peek()
            .map(|Reverse((at, _))| at.saturating_duration_since(WallInstant::now()));
        // A millisecond at least, so that rounding never makes a spin of it.
        let sleep = business.into_iter().chain(wall).min()?;
        Some(sleep.clamp(Duration::from_millis(1), LONGEST_SLEEP))
    }

    fn send_what_is_due(&mut self, url: &str) {
        let now = self.shared.clock.business_now();
        while self.under_way.len() < AT_ONCE {
            let Some(ordinal) = self.pop_due(now) else { return };
            self.send_next(ordinal, now, url);
        }
    }

    fn pop_due(&mut self, now: BusinessTime) -> Option<u64> {
        if self
            .waiting
            .peek()
            .is_some_and(|Reverse((at, _))| *at <= WallInstant::now())
        {
            return self.waiting.pop().map(|Reverse((_, ordinal))| ordinal);
        }
        if self.due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            return self.due.pop().map(|Reverse((_, ordinal))| ordinal);
        }
        None
    }

    /// Sends the next webhook of a parcel, or puts the parcel where it has to wait.
    fn send_next(&mut self, ordinal: u64, now: BusinessTime, url: &str) {
        let shared = Arc::clone(&self.shared);
        let store = lock(&shared.store);
        let (Some(parcel), Some(delivery)) = (store.get(ordinal), self.deliveries.get_mut(&ordinal)) else {
            return;
        };
        let Some((stage, at)) = delivery.next(parcel) else {
            self.deliveries.remove(&ordinal);
            return;
        };
        if at > now {
            self.due.push(Reverse((at, ordinal)));
            return;
        }
        if delivery.drawn & bit(stage) == 0 {
            delivery.drawn |= bit(stage);
            // The last stage has none to change places with, and one place is changed at a time.
            if delivery.held.is_none()
                && parcel.stage(stage + 1).is_some()
                && delivery.acknowledged & bit(stage + 1) == 0
                && shared.strike(FaultKind::WebhookDisordered, Call::Book).is_some()
            {
                delivery.held = Some(stage);
                self.waiting.push(Reverse((WallInstant::now(), ordinal)));
                return;
            }
            if let Some(late) = shared.strike(FaultKind::WebhookLate, Call::Book) {
                let until = WallInstant::now() + late.delay_or(DEFAULT_LATENESS);
                self.waiting.push(Reverse((until, ordinal)));
                return;
            }
        }
        let Some((known, happened_at)) = parcel.stage(stage) else {
            return;
        };
        let mut data = News::new(&store, parcel, known, happened_at);
        if shared.strike(FaultKind::WebhookWithoutReference, Call::Book).is_some() {
            data.reference = None;
        }
        let id = store.message_id(ordinal, stage);
        let Ok(body) = serde_json::to_vec(&Message {
            kind: "parcel.updated",
            timestamp: happened_at,
            data,
        }) else {
            return;
        };
        drop(store);
        let twice = shared.strike(FaultKind::WebhookTwice, Call::Book).is_some();
        let outgoing = Outgoing {
            client: self.client.clone(),
            url: url.to_owned(),
            id,
            body,
            twice,
        };
        self.under_way
            .spawn(async move { (ordinal, stage, outgoing.deliver(&shared).await) });
    }

    fn finish(&mut self, ordinal: u64, stage: usize, accepted: bool) {
        let Some(delivery) = self.deliveries.get_mut(&ordinal) else {
            return;
        };
        if let Some(first_tried) = delivery.first_tried.take() {
            // The caller may have given up; nothing depends on it.
            let _ = first_tried.send(());
        }
        if !accepted {
            let wait = retry_wait(delivery.failures);
            delivery.failures = delivery.failures.saturating_add(1);
            self.waiting.push(Reverse((WallInstant::now() + wait, ordinal)));
            return;
        }
        delivery.failures = 0;
        delivery.acknowledged |= bit(stage);
        if delivery.held == stage.checked_sub(1) {
            delivery.held = None;
        }
        self.shared.journal.note(Line::Acknowledged {
            ordinal,
            stage: u32::try_from(stage).unwrap_or(0),
        });
        let store = lock(&self.shared.store);
        match store.get(ordinal).and_then(|parcel| delivery.next(parcel)) {
            Some((_, at)) => self.due.push(Reverse((at, ordinal))),
            None => drop(self.deliveries.remove(&ordinal)),
        }
    }
}

/// The wait after one more failure than `before`.
fn retry_wait(before: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(before))
        .min(LONGEST_RETRY)
}

/// One webhook, ready to be signed and sent.
struct Outgoing {
    client: reqwest::Client,
    url: String,
    id: String,
    body: Vec<u8>,
    twice: bool,
}

impl Outgoing {
    /// Whether it was answered with 2xx.
    async fn deliver(&self, shared: &Shared) -> bool {
        let accepted = self.send(shared).await;
        if accepted && self.twice {
            self.send(shared).await;
        }
        accepted
    }

    async fn send(&self, shared: &Shared) -> bool {
        let now = shared.clock.wall_now();
        let forged = shared.strike(FaultKind::WebhookBadSignature, Call::Book).is_some();
        let Some(signature) = signature(&shared.signer, &self.id, now, &self.body, forged) else {
            return false;
        };
        let request = self
            .client
            .post(&self.url)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .header(signing::ID, &self.id)
            .header(signing::TIMESTAMP, now.timestamp().to_string())
            .header(signing::SIGNATURE, signature)
            .body(self.body.clone());
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

/// The signature; a forged one is well-formed and over other bytes.
fn signature(signer: &Signer, id: &str, now: WallTime, body: &[u8], forged: bool) -> Option<String> {
    if forged {
        signer.sign(id, now, b"another body")
    } else {
        signer.sign(id, now, body)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parcel_lifecycle::End;
    use super::*;
    use chrono::TimeDelta;

    fn parcel(cancelled_at: Option<BusinessTime>) -> Parcel {
        Parcel {
            ordinal: 1,
            reference: "R".into(),
            booked_at: BusinessTime::UNIX_EPOCH,
            end: End::Delivered,
            cancelled_at,
            acknowledged: 0,
        }
    }

    fn order_of(delivery: &mut Delivery, parcel: &Parcel) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some((stage, _)) = delivery.next(parcel) {
            order.push(stage);
            delivery.acknowledged |= bit(stage);
        }
        order
    }

    #[test]
    fn stages_are_reported_in_order_and_a_held_one_after_all_others_that_were_not_yet() {
        assert_eq!(order_of(&mut Delivery::default(), &parcel(None)), [0, 1, 2, 3, 4]);
        assert_eq!(
            order_of(
                &mut Delivery {
                    acknowledged: 0b101,
                    ..Delivery::default()
                },
                &parcel(None)
            ),
            [1, 3, 4]
        );
        assert_eq!(
            order_of(
                &mut Delivery {
                    held: Some(4),
                    ..Delivery::default()
                },
                &parcel(None)
            ),
            [0, 1, 2, 3, 4]
        );
    }

    #[test]
    fn after_a_cancellation_nothing_more_is_reported() {
        let cancelled = parcel(Some(BusinessTime::UNIX_EPOCH + TimeDelta::hours(1)));
        assert_eq!(order_of(&mut Delivery::default(), &cancelled), [0]);
        assert_eq!(
            order_of(
                &mut Delivery {
                    held: Some(0),
                    ..Delivery::default()
                },
                &cancelled
            ),
            [0]
        );
    }

    #[test]
    fn waits_between_tries_double_up_to_ten_seconds() {
        let waits: Vec<u128> = [0, 1, 2, 4, 5, 40].map(|n| retry_wait(n).as_millis()).to_vec();
        assert_eq!(waits, [500, 1000, 2000, 8000, 10_000, 10_000]);
    }
}
