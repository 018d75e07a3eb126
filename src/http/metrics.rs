//! Prometheus metrics. Every label value comes from a closed set (route patterns, known methods, status codes,
//! order states): never an id, a path, a client or anything a caller sent. Owned by the app, no globals.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::domain::circuit_breaker::State;
use crate::domain::order::OrderStatus;

/// Latency buckets in seconds: an order is acknowledged within milliseconds; what takes ten seconds has failed.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

macro_rules! gauges {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $help:literal;)*) => {
        /// A number that someone else looks up and sets now and then.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Gauge {
            $(#[doc = $help] $variant,)*
        }

        impl Gauge {
            /// Every gauge.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            const fn name_and_help(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$variant => ($name, $help),)*
                }
            }
        }
    };
}

gauges! {
    JobsReady = "safelight_jobs_ready", "Jobs that are due and not yet claimed.";
    JobsDead = "safelight_jobs_dead", "Jobs that exhausted their retries; manual requeue required.";
    ShipmentsUnknown = "safelight_shipments_unknown", "Bookings with an unknown outcome.";
    ShipmentsFailed = "safelight_shipments_failed", "Bookings that failed permanently.";
    OldestUnprinted = "safelight_oldest_unprinted_seconds", "Age of the oldest order that waits for the print floor, in seconds.";
    PurgesDue = "safelight_purges_due", "Orders whose retention window is over.";
    PurgesOverdue = "safelight_purges_overdue", "Orders whose purge is overdue by a day or more.";
    NearlyStuck = "safelight_orders_nearly_stuck", "Orders without progress that will soon be ended automatically.";
    RequestsOpen = "safelight_subject_requests_open", "Requests of data subjects that are not answered yet.";
    RequestsDueSoon = "safelight_subject_requests_due_soon", "Open requests of data subjects that are due within two working days.";
    RequestsOverdue = "safelight_subject_requests_overdue", "Open requests of data subjects whose answer is late.";
    EventsParked = "safelight_events_parked", "Authentic courier events that match no booking yet.";
    EndsUnconfirmed = "safelight_ends_unconfirmed", "Final statuses reported only by an unsigned webhook and not confirmed by the courier in time.";
}

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    orders: IntGaugeVec,
    courier_states: IntGaugeVec,
    courier_queues: IntGaugeVec,
    courier_errors: GaugeVec,
    courier_codes: IntCounterVec,
    gauges: Vec<(Gauge, IntGauge)>,
}

impl Metrics {
    /// Starts counting from nothing.
    ///
    /// # Errors
    /// Two metrics have one name (a mistake in this file).
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = Opts::new(
            "http_requests_total",
            "Requests answered, by method, route pattern and status.",
        );
        let durations = HistogramOpts::new("http_request_duration_seconds", "Time to the answer, by route pattern.");
        let orders = Opts::new("safelight_orders", "Orders by status.");
        let states = Opts::new(
            "safelight_courier_state",
            "1 for the state that a courier is in: ok, paused, unauthorized.",
        );
        let queues = Opts::new(
            "safelight_courier_queue",
            "Parcels waiting for a courier: ready, waiting (retry or paused courier), unknown.",
        );
        let errors = Opts::new(
            "safelight_courier_error_ratio",
            "Share of a courier's recent calls that failed, 0 to 1.",
        );
        let codes = Opts::new(
            "safelight_courier_codes_unmapped_total",
            "Courier events that changed no parcel: informational or unmapped status codes.",
        );
        let gauges = Gauge::ALL.iter().map(|gauge| {
            let (name, help) = gauge.name_and_help();
            Ok((*gauge, registered(&registry, IntGauge::new(name, help))?))
        });
        Ok(Self {
            gauges: gauges.collect::<prometheus::Result<_>>()?,
            requests: registered(&registry, IntCounterVec::new(requests, &["method", "route", "status"]))?,
            durations: registered(
                &registry,
                HistogramVec::new(durations.buckets(BUCKETS.to_vec()), &["route"]),
            )?,
            orders: registered(&registry, IntGaugeVec::new(orders, &["status"]))?,
            courier_states: registered(&registry, IntGaugeVec::new(states, &["courier", "state"]))?,
            courier_queues: registered(&registry, IntGaugeVec::new(queues, &["courier", "queue"]))?,
            courier_errors: registered(&registry, GaugeVec::new(errors, &["courier"]))?,
            courier_codes: registered(&registry, IntCounterVec::new(codes, &["courier", "code"]))?,
            registry,
        })
    }

    /// Counts an answer. `method` is one of the known ones, `route` a pattern, never a path.
    pub fn observe(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        self.requests
            .with_label_values(&[method, route, status.to_string().as_str()])
            .inc();
        self.durations.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// Sets one gauge.
    pub fn set(&self, gauge: Gauge, value: i64) {
        if let Some((_, metric)) = self.gauges.iter().find(|(known, _)| *known == gauge) {
            metric.set(value);
        }
    }

    /// Sets how many orders have a status.
    pub fn set_orders(&self, status: OrderStatus, count: i64) {
        self.orders.with_label_values(&[status.as_str()]).set(count);
    }

    /// Sets how a configured courier stands: its state, how many parcels wait in which queue, how many calls failed.
    pub fn set_courier(&self, courier: &str, state: State, queues: &[(&str, i64)], error_rate: f64) {
        for known in State::ALL {
            let labels = [courier, known.as_str()];
            self.courier_states
                .with_label_values(&labels)
                .set(i64::from(known == state));
        }
        for (queue, count) in queues {
            self.courier_queues.with_label_values(&[courier, *queue]).set(*count);
        }
        self.courier_errors.with_label_values(&[courier]).set(error_rate);
    }

    /// Brings up to date how often a code of a courier came that moves nothing.
    pub fn count_courier_code(&self, courier: &str, code: &str, count: u64) {
        let counter = self.courier_codes.with_label_values(&[courier, code]);
        counter.inc_by(count.saturating_sub(counter.get()));
    }

    /// For metrics that other rooms own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All of them in Prometheus' text format.
    ///
    /// # Errors
    /// A metric cannot be written (a collector that another room registered).
    pub fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_timed_by_route_pattern() {
        let metrics = Metrics::new().unwrap();
        metrics.observe("POST", "/v1/orders", 201, Duration::from_millis(3));
        metrics.observe("POST", "/v1/orders", 201, Duration::from_millis(30));
        let text = metrics.render().unwrap();
        assert!(
            text.contains(r#"http_requests_total{method="POST",route="/v1/orders",status="201"} 2"#),
            "{text}"
        );
        assert!(
            text.contains(r#"http_request_duration_seconds_bucket{route="/v1/orders",le="0.005"} 1"#),
            "{text}"
        );
    }

    #[test]
    fn every_gauge_shows_what_it_was_set_to() {
        let metrics = Metrics::new().unwrap();
        for (value, gauge) in (7_i64..).zip(Gauge::ALL) {
            metrics.set(*gauge, value);
        }
        metrics.set_orders(OrderStatus::Placed, 3);
        let text = metrics.render().unwrap();
        for (value, gauge) in (7_i64..).zip(Gauge::ALL) {
            assert!(
                text.contains(&format!("\n{} {value}\n", gauge.name_and_help().0)),
                "{gauge:?}: {text}"
            );
        }
        assert!(text.contains("safelight_orders{status=\"placed\"} 3"), "{text}");
        metrics.set_courier("sf", State::Open, &[("ready", 4)], 0.25);
        let text = metrics.render().unwrap();
        for line in [
            r#"safelight_courier_state{courier="sf",state="ok"} 0"#,
            r#"safelight_courier_state{courier="sf",state="paused"} 1"#,
            r#"safelight_courier_queue{courier="sf",queue="ready"} 4"#,
            r#"safelight_courier_error_ratio{courier="sf"} 0.25"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
