//! For the tests of the edge: what an extractor answers, through the boundary, as a client sees it.

use actix_web::middleware::from_fn;
use actix_web::{App, FromRequest, HttpResponse, test, web};
use serde_json::Value;

use crate::http::boundary;

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
    let app = App::new().wrap(from_fn(boundary::handle)).route("/", handler()).route("/things/{id}", handler());
    let app = test::init_service(app).await;
    let response = test::call_service(&app, request.to_request()).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = test::read_body(response).await;
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    for planted in PLANTED {
        assert!(!text.contains(planted), "{planted} in {text}");
    }
    NoEcho { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), headers }
}
