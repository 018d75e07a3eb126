//! What is known of the request under way, for code that has no request in its hands: a problem that renders its
//! request id, an extractor that found out which key is calling. A task-local set by the boundary alone; outside a
//! request everything here is a no-op. Must not hold anything of the request's headers, path, query or body.

use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::rc::Rc;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::http::middleware::request_id::RequestId;

tokio::task_local! {
    static CURRENT: Rc<Context>;
}

/// The request under way, as the boundary keeps it.
#[derive(Debug)]
pub(in crate::http) struct Context {
    id: RequestId,
    key: OnceCell<String>,
    headers: RefCell<Vec<(HeaderName, HeaderValue)>>,
}

impl Context {
    pub(in crate::http) fn new(id: RequestId) -> Rc<Self> {
        Rc::new(Self {
            id,
            key: OnceCell::new(),
            headers: RefCell::default(),
        })
    }

    pub(in crate::http) fn id(&self) -> &RequestId {
        &self.id
    }

    pub(in crate::http) fn key_id(&self) -> Option<&str> {
        self.key.get().map(String::as_str)
    }

    /// Adds what was promised by [`answer_with`] to an answer that does not say it already.
    pub(in crate::http) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in self.headers.take() {
            if !headers.contains_key(&name) {
                headers.insert(name, value);
            }
        }
    }
}

/// Runs a request's future so that the functions below know of it.
pub(in crate::http) async fn scope<F: Future>(context: Rc<Context>, request: F) -> F::Output {
    CURRENT.scope(context, request).await
}

/// The id of the request under way; `None` outside of one.
pub fn request_id() -> Option<RequestId> {
    CURRENT.try_with(|context| context.id.clone()).ok()
}

/// Remembers which API key is calling (its public id, never the secret), for the log line. The first call counts.
pub fn note_key(key_id: &str) {
    // Set twice only when two extractors authenticate the same request: the same key.
    let _ = CURRENT.try_with(|context| context.key.set(key_id.to_owned()));
}

/// Adds a header to the answer, whatever it will be, unless the answer sets it itself.
pub fn answer_with(name: HeaderName, value: HeaderValue) {
    let _ = CURRENT.try_with(|context| context.headers.borrow_mut().push((name, value)));
}
