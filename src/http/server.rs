//! The server: the one list of routes, the parts that handlers are given, and the socket. Must not own signals or decide
//! when to stop: whoever starts it does.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as Routes, HttpServer};

use crate::app::App;
use crate::app::access::api_keys::Authenticator;
use crate::app::orders::write_new::Intake;
use crate::app::parcels::events::inbox::Inbox;
use crate::app::privacy::notice::Notice;
use crate::config::Config;
use crate::http::docs::openapi;
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::http::middleware::boundary;
use crate::http::middleware::client_address::TrustedProxies;
use crate::http::middleware::rate_limit::RateLimits;
use crate::http::system::Gauges;
use crate::http::{admin, orders, photo_sizes, privacy_notice, system, webhooks};

/// An idle connection is kept longer than the 60 s that common proxies keep theirs, so that it is never we who close one
/// just as a request comes in.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Seconds that what is under way may take when the server is told to stop.
const SHUTDOWN_SECONDS: u64 = 8;

/// Connections of one worker thread at a time; more wait in the kernel.
const MAX_CONNECTIONS: usize = 4096;

/// The shared state of the handlers. Cheap to clone; clones share all of it.
#[derive(Debug, Clone)]
pub struct ServerParts {
    /// The use cases, with what they work on.
    pub app: Data<App>,
    /// Writers of new orders.
    pub intake: Data<Intake>,
    /// Writers of courier events.
    pub inbox: Data<Inbox>,
    /// API-key authenticator.
    pub authenticator: Data<Authenticator>,
    /// Rate limiters.
    pub limits: Data<RateLimits>,
    /// Trusted reverse proxies.
    pub proxies: Data<TrustedProxies>,
    /// Prometheus metrics.
    pub metrics: Data<Metrics>,
    /// Readiness checks.
    pub health: Data<Health>,
    /// Privacy notice.
    pub notice: Data<Notice>,
    gauges: Data<Gauges>,
}

impl ServerParts {
    /// The parts for a configuration.
    ///
    /// # Errors
    /// Two metrics have one name.
    pub fn new(config: &Config, app: &App, intake: Intake, inbox: Inbox, health: Health) -> prometheus::Result<Self> {
        let limits = &config.http.rate_limit;
        let limits = if limits.enabled {
            RateLimits::new(limits.per_key, limits.per_address)
        } else {
            RateLimits::disabled()
        };
        Ok(Self {
            app: Data::new(app.clone()),
            intake: Data::new(intake),
            inbox: Data::new(inbox),
            authenticator: Data::new(Authenticator::default()),
            limits: Data::new(limits),
            proxies: Data::new(config.http.trusted_proxies.clone()),
            metrics: Data::new(Metrics::new()?),
            health: Data::new(health),
            notice: Data::new(Notice::of(app)),
            gauges: Data::new(Gauges::default()),
        })
    }
}

macro_rules! routes {
    ($($path:literal { $($method:ident: $handler:path),+ $(,)? })+) => {
        /// Every route as method and pattern, but for the document's own.
        pub const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),+];

        fn register(cfg: &mut ServiceConfig) {
            $(
                let resource = web::resource($path);
                $(let resource = routes!(@on resource, $method, $handler);)+
                cfg.service(resource);
            )+
        }
    };
    // Whatever can be got can be asked for its head alone (RFC 9110, 9.1).
    (@on $resource:ident, get, $handler:path) => {
        $resource.route(web::get().to($handler)).route(web::head().to($handler))
    };
    (@on $resource:ident, $method:ident, $handler:path) => { $resource.route(web::$method().to($handler)) };
}

// Looked through from the top: what is called most comes first, and a word before the `{id}` that would take it.
routes! {
    "/v1/orders" { post: orders::place, get: orders::list }
    "/v1/orders/{id}" { get: orders::read }
    "/v1/orders/{id}/events" { get: orders::events }
    "/v1/orders/{id}/confirm" { post: orders::confirm }
    "/v1/orders/{id}/cancel" { post: orders::cancel }
    "/v1/orders/{id}/recipient" { put: orders::correct }
    "/v1/photo-sizes" { get: photo_sizes::list }
    "/webhooks/{courier}" { post: webhooks::receive }
    "/webhooks/{courier}/{token}" { post: webhooks::receive_with_token }
    "/admin/v1/print-queue/claim" { post: admin::print_queue::claim }
    "/admin/v1/orders/{id}/printed" { post: admin::print_queue::printed }
    "/admin/v1/orders/{id}/reprint" { post: admin::print_queue::reprint }
    "/admin/v1/orders/{id}/release" { post: admin::print_queue::release }
    "/admin/v1/orders" { get: admin::orders::list }
    "/admin/v1/orders/search" { post: admin::orders::search }
    "/admin/v1/orders/{id}" { get: admin::orders::read }
    "/admin/v1/orders/{id}/cancel" { post: admin::orders::cancel }
    "/admin/v1/orders/{id}/shipment/retry" { post: admin::shipment::retry }
    "/admin/v1/orders/{id}/shipment/resolve" { post: admin::shipment::resolve }
    "/admin/v1/orders/{id}/shipment" { post: admin::by_hand::ship }
    "/admin/v1/orders/{id}/mark" { post: admin::by_hand::mark }
    "/admin/v1/orders/{id}/courier" { post: admin::by_hand::courier }
    "/admin/v1/orders/{id}/reship" { post: admin::by_hand::reship }
    "/admin/v1/orders/{id}/label" { get: admin::label::read }
    "/admin/v1/couriers" { get: admin::couriers::list }
    "/admin/v1/couriers/{name}/resume" { post: admin::couriers::resume }
    "/admin/v1/stats" { get: admin::stats::read }
    "/admin/v1/jobs" { get: admin::jobs::list }
    "/admin/v1/jobs/{id}/requeue" { post: admin::jobs::requeue }
    "/admin/v1/orders/{id}/reveal" { post: admin::privacy::reveal }
    "/admin/v1/reveals/{id}/approve" { post: admin::privacy::approve }
    "/admin/v1/orders/{id}/hold" { put: admin::holds::put, delete: admin::holds::delete }
    "/admin/v1/orders/{id}/purge" { post: admin::purges::purge_one }
    "/admin/v1/purges" { get: admin::purges::list }
    "/admin/v1/purges/{order_id}" { get: admin::purges::read }
    "/admin/v1/subject-requests" { post: admin::subject_requests::create, get: admin::subject_requests::list }
    "/admin/v1/subject-requests/{id}" { get: admin::subject_requests::read }
    "/admin/v1/subject-requests/{id}/export" { get: admin::subject_export::read }
    "/admin/v1/subject-requests/{id}/complete" { post: admin::subject_requests::complete }
    "/admin/v1/subject-requests/{id}/refuse" { post: admin::subject_requests::refuse }
    "/admin/v1/breach" { get: admin::breach::list }
    "/admin/v1/breach/search" { post: admin::breach::search }
    "/admin/v1/retention/run" { post: admin::purges::run }
    "/admin/v1/disclosures" { get: admin::privacy::disclosures }
    "/admin/v1/audit" { get: admin::audit::list }
    "/admin/v1/audit/verify" { get: admin::audit::verify }
    "/admin/v1/keys" { post: admin::keys::create, get: admin::keys::list }
    "/admin/v1/keys/{id}" { delete: admin::keys::revoke }
    "/livez" { get: system::livez }
    "/readyz" { get: system::readyz }
    "/metrics" { get: system::scrape }
    "/privacy-notice" { get: privacy_notice::read }
}

/// Gives the handlers their parts and puts them on their routes; for `App::configure`, of the server and of tests.
pub fn routes(parts: ServerParts) -> impl Fn(&mut ServiceConfig) + Clone {
    move |cfg| {
        cfg.app_data(parts.app.clone())
            .app_data(parts.intake.clone())
            .app_data(parts.inbox.clone())
            .app_data(parts.authenticator.clone())
            .app_data(parts.limits.clone())
            .app_data(parts.proxies.clone())
            .app_data(parts.metrics.clone())
            .app_data(parts.health.clone())
            .app_data(parts.notice.clone())
            .app_data(parts.gauges.clone());
        register(cfg);
        openapi::configure_docs(cfg);
    }
}

/// Starts the server on a socket; it runs where its future is awaited or spawned, until its handle stops it.
///
/// # Errors
/// The socket cannot be listened on.
pub fn bind(parts: ServerParts, listener: TcpListener, workers: usize) -> std::io::Result<Server> {
    let routes = routes(parts);
    let server = HttpServer::new(move || Routes::new().configure(routes.clone()).wrap(from_fn(boundary::handle)));
    let server = server
        .workers(workers.max(1))
        .disable_signals()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .max_connections(MAX_CONNECTIONS)
        .listen(listener)?;
    Ok(server.run())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use utoipa::OpenApi as _;

    use super::*;
    use crate::domain::scope::Scope;

    fn document() -> Value {
        serde_json::to_value(openapi::ApiDoc::openapi()).unwrap()
    }

    #[test]
    fn the_document_names_every_route_and_no_other() {
        let document = document();
        let mut documented = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                documented.insert((method.clone(), path.clone()));
            }
        }
        let routed: BTreeSet<(String, String)> = ROUTES
            .iter()
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(routed.len(), ROUTES.len(), "a route stands twice");
        assert_eq!(documented, routed);
    }

    #[test]
    fn every_operation_has_its_own_id_names_its_scope_and_answers_with_problems() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let what = format!("{method} {path}");
                assert!(
                    ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{what}"
                );
                let scopes = &operation["security"][0]["api_key"];
                let responses = operation["responses"].as_object().unwrap();
                if path.contains("/v1/") {
                    let scope = scopes[0].as_str().and_then(Scope::parse);
                    assert!(scope.is_some(), "{what} names no scope");
                    for status in ["401", "403", "429", "500", "503"] {
                        assert!(responses.contains_key(status), "{what} has no {status}");
                    }
                    assert!(
                        !path.contains('{') || responses.contains_key("404"),
                        "{what} has no 404"
                    );
                } else {
                    assert!(scopes.is_null(), "{what} is public");
                }
                for (status, response) in responses.iter().filter(|(status, _)| status.starts_with('4')) {
                    let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(problem, "#/components/schemas/Problem", "{what} {status}");
                }
            }
        }
    }

    #[test]
    fn every_schema_that_is_referred_to_is_in_the_document() {
        let document = document();
        let text = document.to_string();
        let known = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(known.contains_key(name), "{name} is not in the document");
        }
    }
}
