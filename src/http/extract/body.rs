//! Reading a request's body: never more than the limit, never for longer than the deadline. Must not interpret it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt as _;

use crate::http::errors::problem::Problem;

/// The most a body may have. An order with twenty items has about 5 KiB.
pub const MAX_BYTES: usize = 64 * 1024;

/// The most that a courier's push may have: it carries a parcel's whole history every time, each Chinese character as nine
/// bytes of a form, or the picture of a label. A push that is refused is a push that is lost.
pub const MAX_PUSH_BYTES: usize = 1024 * 1024;

/// How long a body may take to arrive; a client that dribbles bytes must not hold a connection for ever.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// An extractor's future.
pub(in crate::http) type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// The body of a courier's push as it was sent, since signatures are over bytes.
#[derive(Debug, Clone)]
pub struct RawBody(pub Bytes);

impl FromRequest for RawBody {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload, MAX_PUSH_BYTES);
        Box::pin(async move { read.await.map(RawBody) })
    }
}

/// Reads a body of at most `limit` bytes, whether or not its length was announced, and whatever was announced.
pub(in crate::http) fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
) -> impl Future<Output = Result<Bytes, Problem>> + 'static {
    let announced: Option<usize> = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut payload = payload.take();
    let reading = async move {
        if announced.is_some_and(|bytes| bytes > limit) {
            return Err(Problem::payload_too_large(limit));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk =
                chunk.map_err(|_| Problem::bad_request("incomplete_body", "The request body is incomplete."))?;
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(Problem::payload_too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    async move {
        tokio::time::timeout(DEADLINE, reading)
            .await
            .unwrap_or_else(|_| Err(Problem::request_timeout()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use actix_web::middleware::from_fn;
    use actix_web::test::TestRequest;
    use actix_web::{App, HttpResponse, HttpServer, web};

    use super::*;
    use crate::http::middleware::boundary;

    async fn read_of(request: TestRequest) -> Result<Bytes, Problem> {
        let (request, mut payload) = request.to_http_parts();
        read(&request, &mut payload, MAX_BYTES).await
    }

    // `set_payload` announces the true length; what is said here stands instead.
    fn announcing(length: &str, body: Vec<u8>) -> TestRequest {
        TestRequest::post()
            .set_payload(body)
            .insert_header((CONTENT_LENGTH, length))
    }

    #[actix_web::test]
    async fn a_body_up_to_the_limit_is_read_and_one_byte_more_is_refused_whatever_its_length_says() {
        let (fits, over) = (vec![b'x'; MAX_BYTES], vec![b'x'; MAX_BYTES + 1]);
        assert_eq!(
            read_of(TestRequest::post().set_payload(fits.clone())).await.unwrap(),
            fits
        );
        for announced in ["10", "nonsense", "65536", "65537"] {
            let refused = read_of(announcing(announced, over.clone())).await.unwrap_err();
            assert_eq!(refused.code(), "payload_too_large", "{announced}");
        }
    }

    #[actix_web::test]
    async fn an_announced_body_that_is_too_large_is_refused_before_it_is_read() {
        let refused = read_of(announcing("70000", vec![b'x'])).await.unwrap_err();
        assert_eq!(refused.code(), "payload_too_large");
    }

    #[actix_web::test]
    async fn a_push_may_be_longer_than_other_bodies_and_has_its_own_limit() {
        for (bytes, fits) in [
            (MAX_BYTES + 1, true),
            (MAX_PUSH_BYTES, true),
            (MAX_PUSH_BYTES + 1, false),
        ] {
            let request = TestRequest::post().set_payload(vec![b'x'; bytes]);
            let (request, mut payload) = request.to_http_parts();
            let read = RawBody::from_request(&request, &mut payload).await;
            assert_eq!(read.map(|body| body.0.len()).ok(), fits.then_some(bytes));
        }
    }

    struct Any;

    impl FromRequest for Any {
        type Error = Problem;
        type Future = Extracting<Self>;

        fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
            let read = read(request, payload, MAX_BYTES);
            Box::pin(async move { read.await.map(|_| Self) })
        }
    }

    /// What a real server answers to these bytes.
    async fn over_the_wire(request: Vec<u8>) -> String {
        let server = HttpServer::new(|| {
            App::new()
                .wrap(from_fn(boundary::handle))
                .route("/", web::post().to(|_: Any| HttpResponse::NoContent()))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let exchange = move || {
            let mut socket = std::net::TcpStream::connect(address).unwrap();
            socket.write_all(&request).unwrap();
            let mut answer = [0; 4096];
            let read = socket.read(&mut answer).unwrap();
            String::from_utf8_lossy(&answer[..read]).into_owned()
        };
        let answer = web::block(exchange).await.unwrap();
        handle.stop(false).await;
        answer
    }

    #[actix_web::test]
    async fn over_the_wire_a_large_body_is_413_chunked_or_not_and_a_small_one_is_taken() {
        let head = "POST / HTTP/1.1\r\nHost: x\r\n";
        let body = "x".repeat(70 * 1024);
        let announced = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let chunked = format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        for request in [announced, chunked] {
            let answer = over_the_wire(request.into_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            assert!(
                answer.contains("application/problem+json") && answer.contains("x-request-id: "),
                "{answer}"
            );
            assert!(!answer.to_ascii_lowercase().contains("\r\nserver:"), "{answer}");
        }
        let small = format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        assert!(over_the_wire(small.into_bytes()).await.starts_with("HTTP/1.1 204 "));
    }
}
