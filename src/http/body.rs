//! Reading a request's body: never more than the limit, never for longer than the deadline. Must not interpret it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt as _;

use crate::http::problem::Problem;

/// The most a body may have. An order with twenty items has about 5 KiB.
pub const MAX_BYTES: usize = 64 * 1024;

/// How long a body may take to arrive; a client that dribbles bytes must not hold a connection for ever.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// An extractor's future.
pub(super) type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// The body as it was sent, for what must be checked byte by byte (webhook signatures).
#[derive(Debug, Clone)]
pub struct RawBody(pub Bytes);

impl FromRequest for RawBody {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload);
        Box::pin(async move { read.await.map(RawBody) })
    }
}

/// Reads the body, whether or not its length was announced, and whatever was announced.
pub(super) fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, Problem>> + 'static {
    let announced: Option<usize> =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut payload = payload.take();
    let reading = async move {
        if announced.is_some_and(|bytes| bytes > MAX_BYTES) {
            return Err(Problem::payload_too_large(MAX_BYTES));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::bad_request("incomplete_body", "The body did not arrive whole."))?;
            if body.len().saturating_add(chunk.len()) > MAX_BYTES {
                return Err(Problem::payload_too_large(MAX_BYTES));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    async move { tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| Err(Problem::request_timeout())) }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    async fn read_of(request: TestRequest) -> Result<Bytes, Problem> {
        let (request, mut payload) = request.to_http_parts();
        RawBody::from_request(&request, &mut payload).await.map(|body| body.0)
    }

    #[actix_web::test]
    async fn a_body_up_to_the_limit_is_read_and_one_byte_more_is_refused_whatever_its_length_says() {
        let (fits, over) = (vec![b'x'; MAX_BYTES], vec![b'x'; MAX_BYTES + 1]);
        assert_eq!(read_of(TestRequest::post().set_payload(fits.clone())).await.unwrap(), fits);
        for announced in [None, Some("10"), Some("nonsense"), Some("65537")] {
            let mut request = TestRequest::post().set_payload(over.clone());
            if let Some(length) = announced {
                request = request.insert_header((CONTENT_LENGTH, length));
            }
            assert_eq!(read_of(request).await.unwrap_err().code(), "payload_too_large", "{announced:?}");
        }
    }

    #[actix_web::test]
    async fn an_announced_body_that_is_too_large_is_refused_before_it_is_read() {
        let request = TestRequest::post().insert_header((CONTENT_LENGTH, "70000")).set_payload("x");
        assert_eq!(read_of(request).await.unwrap_err().code(), "payload_too_large");
    }
}
