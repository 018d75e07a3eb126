//! The outermost middleware, through which every request comes and every answer leaves. It names the request, opens
//! its span, writes its one log line, counts it, sets the headers every answer carries, logs the cause of a 5xx once,
//! and turns errors that are not yet a [`Problem`] (the router's 404 and 405, the framework's own) into one.
//!
//! Must not look into bodies, and must not log a path, query, header or body: routes are logged as patterns.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError as _, web};
use tracing::Instrument as _;

use crate::http::errors::problem::{self, Problem};
use crate::http::metrics::Metrics;
use crate::http::middleware::context::{self, Context};
use crate::http::middleware::headers;
use crate::http::middleware::request_id::{self, RequestId};

/// What stands for the route of a request that matched none: a scanner must not make new log fields or labels.
pub const UNMATCHED: &str = "unmatched";

/// Use as `App::wrap(from_fn(boundary::handle))`, last, so that nothing is wrapped around it. Requests are counted in
/// the `web::Data<Metrics>` of the app, where there is one.
///
/// # Errors
/// Only with a finished answer inside, when an inner middleware failed without one.
pub async fn handle(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let context = Context::new(RequestId::take_or_make(request.headers()));
    let seen = Seen {
        method: method_name(request.method()),
        route: request.match_pattern().unwrap_or_else(|| UNMATCHED.to_owned()),
        metrics: request.app_data::<web::Data<Metrics>>().cloned(),
    };
    let span = tracing::info_span!("request", request_id = %context.id(), method = seen.method, route = seen.route);

    let served = async {
        match next.call(request).await {
            Ok(response) => {
                let (request, response) = response.map_into_boxed_body().into_parts();
                let response = seen.finish(response, &context, started.elapsed());
                Ok(ServiceResponse::new(request, response))
            }
            Err(error) => {
                let response = seen.finish(HttpResponse::from_error(error), &context, started.elapsed());
                Err(InternalError::from_response("answered", response).into())
            }
        }
    };
    context::scope(context.clone(), served.instrument(span)).await
}

/// What may be said about a request in logs and metrics.
struct Seen {
    method: &'static str,
    route: String,
    metrics: Option<web::Data<Metrics>>,
}

impl Seen {
    fn finish(&self, response: HttpResponse, context: &Context, took: Duration) -> HttpResponse {
        let status = response.status();
        if status.is_server_error() {
            log_cause(&response, context);
        }
        let mut response = as_problem(response);
        if let Some(id) = context.id().to_header() {
            response.headers_mut().insert(request_id::HEADER, id);
        }
        context.add_headers(response.headers_mut());
        headers::apply(response.headers_mut());

        if let Some(metrics) = &self.metrics {
            metrics.observe(self.method, &self.route, status.as_u16(), took);
        }
        // Whole microseconds: more digits would be noise.
        let duration_ms = f64::from(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)) / 1_000.0;
        tracing::info!(
            status = status.as_u16(),
            duration_ms,
            key_id = context.key_id(),
            "Request answered"
        );
        response
    }
}

/// Anyone may send any token as a method; only the known ones become names.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

fn log_cause(response: &HttpResponse, context: &Context) {
    let cause = match response.error() {
        Some(error) => match error.as_error::<Problem>() {
            Some(problem) => chain(problem.source()),
            None => error.to_string(),
        },
        None => String::new(),
    };
    // The request id again: this line must be found even where a filter has switched the span off.
    tracing::error!(status = response.status().as_u16(), request_id = %context.id(), cause, "Request failed with a server error");
}

fn chain(mut cause: Option<&(dyn StdError + 'static)>) -> String {
    let mut text = String::new();
    while let Some(error) = cause {
        let separator = if text.is_empty() { "" } else { ": " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{error}");
        cause = error.source();
    }
    text
}

/// An error answer that nobody gave a body, or that the framework worded, becomes a problem of the same status; its
/// headers (such as `Allow`) stay. An answer that a handler wrote itself is left alone.
fn as_problem(response: HttpResponse) -> HttpResponse {
    let status = response.status();
    if status < StatusCode::BAD_REQUEST || is_problem(&response) {
        return response;
    }
    let empty = matches!(response.body().size(), BodySize::None | BodySize::Sized(0));
    if !empty && response.error().is_none() {
        return response;
    }
    let mut rendered = Problem::of_status(status).error_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH && !rendered.headers().contains_key(name) {
            rendered.headers_mut().insert(name.clone(), value.clone());
        }
    }
    rendered
}

fn is_problem(response: &HttpResponse) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == problem::CONTENT_TYPE)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::ALLOW;
    use actix_web::middleware::from_fn;
    use actix_web::{App, test};
    use serde_json::Value;

    use super::*;
    use crate::http::testing::Logs;

    async fn fail() -> Result<HttpResponse, Problem> {
        context::note_key("k7");
        Err(Problem::internal("the vault is on fire"))
    }

    fn routes(cfg: &mut web::ServiceConfig) {
        cfg.service(
            web::scope("/v1")
                .service(
                    web::resource("/orders/{id}")
                        .route(web::get().to(HttpResponse::NoContent))
                        .route(web::put().to(HttpResponse::NoContent)),
                )
                .service(web::resource("/fails").route(web::post().to(fail)))
                .service(
                    web::resource("/needs")
                        .route(web::get().to(|_: web::Data<u8>| async { HttpResponse::Ok().finish() })),
                )
                .service(
                    web::resource("/own").route(web::get().to(|| async { HttpResponse::BadRequest().body("SUCCESS") })),
                )
                .service(
                    web::resource("/inner")
                        .wrap(from_fn(|_: ServiceRequest, _: Next<BoxBody>| async {
                            Err::<ServiceResponse, _>(Problem::unauthorized().into())
                        }))
                        .route(web::get().to(HttpResponse::Ok)),
                ),
        );
    }

    async fn answer(request: test::TestRequest) -> (HttpResponse<()>, Value) {
        let app = test::init_service(App::new().wrap(from_fn(handle)).configure(routes)).await;
        let response = match test::try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let (head, body) = response.into_parts();
        let bytes = actix_web::body::to_bytes(body).await.unwrap();
        (head, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    #[actix_web::test]
    async fn an_unknown_route_is_a_problem_with_the_callers_request_id() {
        for uri in ["/nothing", "/v1/nothing", "/v1/orders/1/2/3"] {
            let (head, body) = answer(
                test::TestRequest::get()
                    .uri(uri)
                    .insert_header(("X-Request-Id", "abc-1")),
            )
            .await;
            assert_eq!(
                (head.status().as_u16(), &body["code"]),
                (404, &"not_found".into()),
                "{uri}"
            );
            assert_eq!(body["request_id"], "abc-1");
            assert_eq!(head.headers().get(request_id::HEADER).unwrap(), "abc-1");
        }
    }

    #[actix_web::test]
    async fn a_wrong_method_is_405_with_the_methods_that_are_allowed() {
        let (head, body) = answer(test::TestRequest::delete().uri("/v1/orders/1")).await;
        assert_eq!(
            (head.status().as_u16(), &body["code"]),
            (405, &"method_not_allowed".into())
        );
        let allowed = head.headers().get(ALLOW).unwrap().to_str().unwrap();
        assert!(allowed.contains("GET") && allowed.contains("PUT"), "{allowed}");
        assert_eq!(head.headers().get("content-type").unwrap(), problem::CONTENT_TYPE);
    }

    #[actix_web::test]
    async fn an_ill_formed_request_id_is_replaced_and_not_repeated() {
        let (head, body) = answer(
            test::TestRequest::get()
                .uri("/x")
                .insert_header(("X-Request-Id", "13800138000 x")),
        )
        .await;
        let id = head.headers().get(request_id::HEADER).unwrap().to_str().unwrap();
        assert!(RequestId::parse(id).is_some() && !id.contains("13800138000"));
        assert_eq!(body["request_id"], id);
    }

    #[actix_web::test]
    async fn every_answer_carries_the_safe_headers() {
        for uri in ["/v1/orders/1", "/nothing", "/v1/inner"] {
            let (head, _) = answer(test::TestRequest::get().uri(uri)).await;
            assert_eq!(
                head.headers().get("x-content-type-options").unwrap(),
                "nosniff",
                "{uri}"
            );
            assert_eq!(head.headers().get("cache-control").unwrap(), "no-store", "{uri}");
            assert!(
                head.headers().contains_key(request_id::HEADER) && !head.headers().contains_key("server"),
                "{uri}"
            );
        }
    }

    #[actix_web::test]
    async fn an_inner_middlewares_refusal_has_the_request_id_too() {
        let (head, body) = answer(
            test::TestRequest::get()
                .uri("/v1/inner")
                .insert_header(("X-Request-Id", "abc-2")),
        )
        .await;
        assert_eq!((head.status().as_u16(), &body["request_id"]), (401, &"abc-2".into()));
        assert_eq!(head.headers().get("www-authenticate").unwrap(), "Bearer");
    }

    #[actix_web::test]
    async fn the_frameworks_own_errors_become_opaque_problems_and_a_handlers_own_answer_stays() {
        let (head, body) = answer(test::TestRequest::get().uri("/v1/needs")).await;
        assert_eq!((head.status().as_u16(), &body["code"]), (500, &"internal".into()));
        let (head, body) = answer(test::TestRequest::get().uri("/v1/own")).await;
        assert_eq!((head.status().as_u16(), body), (400, Value::Null));
        assert_ne!(
            head.headers().get("content-type").map(|v| v.as_bytes()),
            Some(problem::CONTENT_TYPE.as_bytes())
        );
    }

    #[actix_web::test]
    async fn a_request_is_one_log_line_and_a_failure_one_more_without_path_query_or_headers() {
        let logs = Logs::capture();
        answer(test::TestRequest::post().uri("/v1/fails")).await;
        logs.restart();
        let planted = "/v1/orders/13800138000?name=%E5%BC%A0%E4%B8%89";
        answer(
            test::TestRequest::get()
                .uri(planted)
                .insert_header(("Authorization", "Bearer hunter2")),
        )
        .await;
        answer(test::TestRequest::post().uri("/v1/fails")).await;

        let text = logs.text();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ours: Vec<&Value> = lines
            .iter()
            .filter(|line| line["target"] == module_path!().trim_end_matches("::tests"))
            .collect();
        assert_eq!(ours.len(), 3, "{text}");
        assert_eq!(
            (&ours[0]["span"]["route"], &ours[0]["fields"]["status"]),
            (&"/v1/orders/{id}".into(), &204.into())
        );
        assert_eq!(
            (&ours[1]["level"], &ours[1]["fields"]["cause"]),
            (&"ERROR".into(), &"the vault is on fire".into())
        );
        assert_eq!(
            (&ours[2]["fields"]["key_id"], &ours[2]["fields"]["status"]),
            (&"k7".into(), &500.into())
        );
        for secret in ["13800138000", "E5%BC", "张三", "hunter2"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }

    #[actix_web::test]
    async fn requests_are_counted_by_pattern_and_scanners_make_no_labels() {
        let metrics = web::Data::new(Metrics::new().unwrap());
        let app = test::init_service(
            App::new()
                .app_data(metrics.clone())
                .wrap(from_fn(handle))
                .configure(routes),
        )
        .await;
        for uri in ["/v1/orders/1", "/v1/orders/2", "/wp-admin.php", "/v1/.env"] {
            test::call_service(&app, test::TestRequest::get().uri(uri).to_request()).await;
        }
        let text = metrics.render().unwrap();
        assert!(
            text.contains(r#"http_requests_total{method="GET",route="/v1/orders/{id}",status="204"} 2"#),
            "{text}"
        );
        assert!(
            text.contains(r#"http_requests_total{method="GET",route="unmatched",status="404"} 2"#),
            "{text}"
        );
        assert!(!text.contains("wp-admin"));
    }
}
