//! For the tests of the edge: what an extractor answers, through the boundary, as a client sees it, and what is logged
//! meanwhile.

use std::sync::{Arc, Mutex};

use actix_web::middleware::from_fn;
use actix_web::{App, FromRequest, HttpResponse, test, web};
use serde_json::Value;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::http::middleware::boundary;

/// Values planted in requests; no answer may hold one.
const PLANTED: [&str; 3] = ["张三", "13800138000", "%E5%BC%A0"];

/// An answer that was searched for planted values.
pub(super) struct NoEcho {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) headers: actix_web::http::header::HeaderMap,
}

impl NoEcho {
    pub(super) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

/// What the extractor `E` makes of a request to its URI (`/` when it has none) or to `/things/{id}`: 204 when it is taken.
pub(super) async fn answer_to<E: FromRequest + 'static>(request: test::TestRequest) -> NoEcho {
    let handler = || web::to(|_: E| async { HttpResponse::NoContent().finish() });
    let app = App::new()
        .wrap(from_fn(boundary::handle))
        .route("/", handler())
        .route("/things/{id}", handler());
    let app = test::init_service(app).await;
    let response = test::call_service(&app, request.to_request()).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = test::read_body(response).await;
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    for planted in PLANTED {
        assert!(!text.contains(planted), "{planted} in {text}");
    }
    NoEcho {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        headers,
    }
}

/// This thread's log lines in JSON, from now on.
pub(super) struct Logs {
    lines: Lines,
    _guard: DefaultGuard,
    // While there is only one subscriber, tracing asks the thread that meets a log statement first, and one of another
    // test says that nobody listens.
    _other: Dispatch,
}

impl Logs {
    pub(super) fn capture() -> Self {
        let _other = Dispatch::new(tracing_subscriber::registry());
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone());
        let _guard = tracing::subscriber::set_default(subscriber.with_max_level(tracing::Level::INFO).finish());
        Self { lines, _guard, _other }
    }

    /// Forgets what was logged; every statement that was met before is asked again.
    pub(super) fn restart(&self) {
        tracing::callsite::rebuild_interest_cache();
        self.lines.0.lock().unwrap().clear();
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
