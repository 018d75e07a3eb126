//! The contract as a document: OpenAPI 3.1 made from the code, at `/openapi.json`, and to read and try at `/docs`,
//! with assets from inside the binary. Must not describe what the code does not do.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::Config;

use crate::http::docs::documented::{FieldErrorSchema, ProblemSchema};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::Public;
use crate::http::{admin, orders, photo_sizes, privacy_notice, system, webhooks};

/// The name of the security scheme, for `security(("api_key" = ["orders"]))` on handlers.
pub const SECURITY: &str = "api_key";

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("sl_<key id>_<secret>".to_owned());
        scheme.description = Some(
            "An API key; its scopes are orders, floor, ops, privacy and admin. Its parts are letters and digits, and it \
             ends with a checksum. Treat it as one text: keys of earlier builds look different and go on working."
                .to_owned(),
        );
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme(SECURITY, SecurityScheme::Http(scheme));
    }
}

/// The document. Handlers are listed in `paths(..)`, the same that `server` puts on routes: a test compares them.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Safelight", description = "Orders of printed ID photos: taken, printed, shipped, and provably forgotten."),
    paths(
        orders::place, orders::list, orders::read, orders::events, orders::confirm, orders::cancel, orders::correct,
        photo_sizes::list,
        webhooks::receive, webhooks::receive_with_token,
        admin::print_queue::claim, admin::print_queue::printed, admin::print_queue::reprint, admin::print_queue::release,
        admin::orders::list, admin::orders::search, admin::orders::read, admin::orders::cancel,
        admin::shipment::retry, admin::shipment::resolve,
        admin::by_hand::ship, admin::by_hand::mark, admin::by_hand::courier, admin::by_hand::reship,
        admin::label::read, admin::couriers::list, admin::couriers::resume,
        admin::stats::read, admin::jobs::list, admin::jobs::requeue,
        admin::privacy::reveal, admin::privacy::approve, admin::privacy::disclosures,
        admin::holds::put, admin::holds::delete,
        admin::purges::purge_one, admin::purges::list, admin::purges::read, admin::purges::run,
        admin::subject_requests::create, admin::subject_requests::list, admin::subject_requests::read,
        admin::subject_export::read, admin::subject_requests::complete, admin::subject_requests::refuse,
        admin::breach::list, admin::breach::search,
        admin::audit::list, admin::audit::verify,
        admin::keys::create, admin::keys::list, admin::keys::revoke,
        system::livez, system::readyz, system::scrape, privacy_notice::read,
    ),
    components(schemas(ProblemSchema, FieldErrorSchema)),
    modifiers(&BearerKey),
    security(("api_key" = []))
)]
pub struct ApiDoc;

/// Serves the document and its reader; both are public.
pub fn configure_docs(cfg: &mut ServiceConfig) {
    let document = ApiDoc::openapi()
        .to_json()
        .map(Bytes::from)
        .map_err(|error| error.to_string());
    cfg.app_data(Data::new(Document(document)))
        .app_data(Data::new(Config::from("/openapi.json")))
        .service(web::resource("/openapi.json").route(web::get().to(document_json)))
        .service(web::resource("/docs").route(web::get().to(to_docs)))
        .service(web::resource("/docs/{file:.*}").route(web::get().to(docs_file)));
}

struct Document(Result<Bytes, String>);

async fn document_json(_: Public, document: Data<Document>) -> Result<HttpResponse, Problem> {
    let json = document.0.clone().map_err(Problem::internal)?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type("application/json")
        .body(json))
}

async fn to_docs(_: Public) -> HttpResponse {
    // The page names its files relative to itself, so it must end in a slash.
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

async fn docs_file(_: Public, request: HttpRequest, config: Data<Config<'static>>) -> Result<HttpResponse, Problem> {
    let path = request.match_info().query("file");
    let file = utoipa_swagger_ui::serve(path, Arc::clone(&config))
        .map_err(|error| Problem::internal(error.to_string()))?
        .ok_or_else(Problem::not_found)?;
    let mut answer = HttpResponse::Ok();
    if file.gzpipped {
        answer.insert_header((CONTENT_ENCODING, "gzip"));
    }
    // Swagger UI styles itself inline and draws with data: images; nothing comes from anywhere else.
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    answer
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((CACHE_CONTROL, "no-cache"));
    Ok(answer.content_type(file.content_type).body(file.bytes.into_owned()))
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::{App, test};
    use serde_json::Value;

    use super::*;
    use crate::http::middleware::boundary;

    async fn get(method: &str, uri: &str) -> (u16, String) {
        let app = test::init_service(App::new().wrap(from_fn(boundary::handle)).configure(configure_docs)).await;
        let request = test::TestRequest::with_uri(uri).method(method.parse().unwrap());
        let response = test::call_service(&app, request.to_request()).await;
        (
            response.status().as_u16(),
            String::from_utf8_lossy(&test::read_body(response).await).into_owned(),
        )
    }

    #[actix_web::test]
    async fn the_document_is_openapi_3_1_and_knows_problems_and_keys() {
        let (status, text) = get("GET", "/openapi.json").await;
        assert_eq!(status, 200);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        assert_eq!(document["components"]["securitySchemes"][SECURITY]["scheme"], "bearer");
        let problem = &document["components"]["schemas"]["Problem"];
        let required = problem["required"].as_array().unwrap();
        assert!(
            required.contains(&"request_id".into()) && !required.contains(&"errors".into()),
            "{problem}"
        );
        assert_eq!(document["security"][0][SECURITY], serde_json::json!([]));
    }

    /// So that a change of the contract is seen in review.
    #[actix_web::test]
    #[expect(clippy::disallowed_methods, reason = "what to do with the test, no configuration")]
    async fn the_committed_document_is_the_codes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let document = ApiDoc::openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == document,
            "docs/openapi.json is not what the code says; write it anew with: UPDATE_OPENAPI=1 cargo test --lib openapi"
        );
    }

    #[actix_web::test]
    async fn the_reader_is_served_from_the_binary_and_reads_our_document() {
        assert_eq!(get("GET", "/docs").await.0, 308);
        let (status, page) = get("GET", "/docs/").await;
        assert!(status == 200 && page.contains("swagger-ui"), "{page}");
        assert!(
            get("GET", "/docs/swagger-initializer.js")
                .await
                .1
                .contains("/openapi.json")
        );
        assert_eq!(get("GET", "/docs/nothing.js").await.0, 404);
        assert_eq!(get("POST", "/openapi.json").await.0, 405);
    }
}
