//! Ids in paths. A segment that is no id of ours names nothing: 404, the same answer as for an id that is not there.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::http::errors::problem::Problem;

/// The path's segment `{id}`, whatever kind of id it is.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

impl<T: FromStr> FromRequest for PathId<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(segment(request, "id").map(Self))
    }
}

/// Another segment, for paths that hold more than `{id}`.
///
/// # Errors
/// 404 when it is no `T`; 500 when the route has no such segment.
pub fn segment<T: FromStr>(request: &HttpRequest, name: &'static str) -> Result<T, Problem> {
    let text = request
        .match_info()
        .get(name)
        .ok_or_else(|| Problem::internal(format!("the route has no path parameter named {name}")))?;
    text.parse().map_err(|_| Problem::not_found())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::domain::ids::OrderId;
    use crate::http::testing::answer_to;

    #[actix_web::test]
    async fn an_id_is_read_and_anything_else_is_not_found() {
        let of = |id: &str| answer_to::<PathId<OrderId>>(TestRequest::get().uri(&format!("/things/{id}")));
        let good = OrderId::generate().to_string();
        assert_eq!(of(&good).await.status, 204);
        for bad in [
            "1",
            "13800138000",
            "%E5%BC%A0%E4%B8%89",
            "%ff",
            &good.to_uppercase(),
            "x'--",
        ] {
            assert_eq!(of(bad).await.code(), (404, "not_found"), "{bad}");
        }
    }

    #[actix_web::test]
    async fn a_route_without_the_segment_is_our_mistake_and_not_the_callers() {
        assert_eq!(
            answer_to::<PathId<OrderId>>(TestRequest::get()).await.code(),
            (500, "internal")
        );
    }
}
