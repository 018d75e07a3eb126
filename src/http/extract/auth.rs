//! Who calls, and whether they may. Authentication comes first: nothing else of a request is looked at, its body least of
//! all, before the key is known and carries the scope. Must not remember secrets, or say why a well-formed key was not taken;
//! that a key is malformed anybody can compute, and its caller is told.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use crate::app::access::api_keys::Authenticator;
use crate::app::{App, Caller};
use crate::domain::api_key::{KeyText, MalformedKey};
use crate::domain::scope::{Scope, Scopes};
use crate::http::errors::problem::Problem;
use crate::http::extract::body::Extracting;
use crate::http::middleware::client_address::{self, TrustedProxies};
use crate::http::middleware::context;
use crate::http::middleware::rate_limit::RateLimits;

/// A scope that a handler needs, as a type, so that the handler's signature says it.
pub trait Needs: 'static {
    /// The scope.
    const SCOPE: Scope;

    /// Whether these scopes will do.
    fn met_by(scopes: &Scopes) -> bool {
        scopes.allow(Self::SCOPE)
    }
}

macro_rules! needs {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("Needs the scope of that name: see [`Scope::", stringify!($name), "`].")]
            #[derive(Debug)]
            pub struct $name;

            impl Needs for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )*
    };
}

needs! { Orders Floor Ops Privacy Admin }

/// Needs [`Scope::Floor`] or [`Scope::Ops`].
#[derive(Debug)]
pub struct FloorOrOps;

impl Needs for FloorOrOps {
    const SCOPE: Scope = Scope::Floor;

    fn met_by(scopes: &Scopes) -> bool {
        scopes.allow(Scope::Floor) || scopes.allow(Scope::Ops)
    }
}

/// A call with a valid key that carries the scope `S`, and then `E` of it. actix runs the extractors of a handler side
/// by side; `E` stands inside this one so that a stranger's body is never read.
pub struct Keyed<S, E = ()> {
    /// Whose key it is.
    pub caller: Caller,
    /// The rest of what the handler wants.
    pub given: E,
    scope: PhantomData<S>,
}

impl<S: Needs, E> fmt::Debug for Keyed<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest may be a body.
        f.debug_struct("Keyed")
            .field("key_id", &self.caller.key_id)
            .finish_non_exhaustive()
    }
}

impl<S: Needs, E: FromRequest + 'static> FromRequest for Keyed<S, E> {
    type Error = actix_web::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let caller = authenticate(&request).await?;
            if !S::met_by(&caller.scopes) {
                return Err(Problem::forbidden(S::SCOPE).into());
            }
            let given = E::from_request(&request, &mut payload).await.map_err(Into::into)?;
            Ok(Self {
                caller,
                given,
                scope: PhantomData,
            })
        })
    }
}

/// A page that needs no key; how often one address may ask is limited.
#[derive(Debug)]
pub struct Public;

impl FromRequest for Public {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let checked = check_address(request).map(|()| Self);
        Box::pin(std::future::ready(checked))
    }
}

/// Counts a call without a valid key against its address. A server without limits (tests of a part) lets all through.
///
/// # Errors
/// 429.
pub(in crate::http) fn check_address(request: &HttpRequest) -> Result<(), Problem> {
    let Some(limits) = request.app_data::<Data<RateLimits>>() else {
        return Ok(());
    };
    limits.check_address(client_address_of(request))
}

/// Who is calling, behind our own proxies.
pub(in crate::http) fn client_address_of(request: &HttpRequest) -> IpAddr {
    let trusted = request.app_data::<Data<TrustedProxies>>();
    client_address::client_of(trusted.map_or(&TrustedProxies::default(), |trusted| trusted), request)
}

async fn authenticate(request: &HttpRequest) -> Result<Caller, Problem> {
    let refused = match bearer(request).map(KeyText::parse) {
        Some(Ok(key)) => {
            let (app, authenticator) = (part::<App>(request)?, part::<Authenticator>(request)?);
            if let Some(caller) = authenticator.authenticate(app, key).await? {
                context::note_key(&caller.key_id);
                part::<RateLimits>(request)?.check_key(&caller.key_id)?;
                return Ok(caller);
            }
            Problem::unauthorized()
        }
        Some(Err(MalformedKey)) => malformed_api_key(),
        None => Problem::unauthorized(),
    };
    check_address(request)?;
    Err(refused)
}

/// 401: what came as a key cannot be one, whatever keys there are; the store was not asked.
fn malformed_api_key() -> Problem {
    let detail = "The API key is malformed: its form or its checksum is wrong. It was probably cut off or mistyped; \
                  copy it again.";
    Problem::new(StatusCode::UNAUTHORIZED, "malformed_api_key", detail)
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// The token of `Authorization: Bearer <token>`, where there is one; the scheme's case does not matter (RFC 9110).
fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn part<T: 'static>(request: &HttpRequest) -> Result<&T, Problem> {
    request
        .app_data::<Data<T>>()
        .map(|data| data.get_ref())
        .ok_or_else(|| Problem::internal("the server was put together without a part that authentication needs"))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use actix_web::test::TestRequest;

    use super::*;
    use crate::http::extract::json::Json;
    use crate::http::middleware::rate_limit::Rate;
    use crate::http::testing::answer_to;

    #[test]
    fn only_a_bearer_is_read_whatever_the_case_of_its_scheme() {
        let of = |value: &str| {
            let request = TestRequest::get()
                .insert_header((AUTHORIZATION, value))
                .to_http_request();
            bearer(&request).map(str::to_owned)
        };
        assert_eq!(of("Bearer sl_a_b").as_deref(), Some("sl_a_b"));
        assert_eq!(of("bearer  sl_a_b").as_deref(), Some("sl_a_b"));
        for other in ["Basic sl_a_b", "sl_a_b", "Bearer", "Bearer ", "Bearersl_a_b"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[actix_web::test]
    async fn without_a_key_the_answer_is_401_whatever_the_body_is() {
        for request in [
            TestRequest::post().set_payload("{"),
            TestRequest::post()
                .insert_header(("content-type", "application/json"))
                .set_payload("张三"),
        ] {
            let answer = answer_to::<Keyed<Ops, Json<u8>>>(request).await;
            assert_eq!(answer.code(), (401, "unauthorized"));
            assert_eq!(answer.headers.get("www-authenticate").unwrap(), "Bearer");
        }
    }
    /// The server of this test has no store: had it been asked, the answer would be 500.
    #[actix_web::test]
    async fn a_malformed_key_is_refused_without_asking_the_store_and_not_repeated() {
        for token in [
            "sl_0123456789AB_23456789ABCDEFGHIJKLMNOPQRSTUVWXY40We7M",
            "sl_0123456789AB_23456789ABCDEFGHIJKLMNOPQRST",
            "\"sl_0123456789AB_23456789ABCDEFGHIJKLMNOPQRSTUVWXY40We7N\"",
            "eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo",
        ] {
            let request = TestRequest::get().insert_header((AUTHORIZATION, format!("Bearer {token}")));
            let answer = answer_to::<Keyed<Ops>>(request).await;
            assert_eq!(answer.code(), (401, "malformed_api_key"));
            assert_eq!(answer.body["title"], "Malformed API key");
            assert_eq!(answer.headers.get("www-authenticate").unwrap(), "Bearer");
            assert!(!answer.body.to_string().contains("23456789"), "{}", answer.body);
        }
    }

    #[actix_web::test]
    async fn calls_with_malformed_keys_are_counted_by_address() {
        let once = Rate {
            count: NonZeroU32::MIN,
            per: Duration::from_secs(3600),
        };
        let limits = Data::new(RateLimits::new(once, once));
        let mut codes = Vec::new();
        for _ in 0..2 {
            let request = TestRequest::get()
                .insert_header((AUTHORIZATION, "Bearer sl_cut_off"))
                .app_data(limits.clone())
                .to_http_request();
            codes.push(authenticate(&request).await.unwrap_err().code());
        }
        assert_eq!(codes, ["malformed_api_key", "too_many_requests"]);
    }
}
