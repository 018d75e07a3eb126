//! `GET /v1/photo-sizes`: the catalogue. Data of the program, so nothing is looked up.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::photo_size::{CATALOGUE, PhotoSize};
use crate::http::docs::documented::ByKey;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Orders};

/// Every size that is sold.
#[derive(Debug, Serialize, ToSchema)]
pub struct PhotoSizes {
    data: Vec<PhotoSizeBody>,
}

/// One size of print.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhotoSize)]
struct PhotoSizeBody {
    /// Stable, for orders.
    #[schema(example = "cn-1in")]
    code: &'static str,
    #[schema(example = "一寸")]
    name: &'static str,
    name_en: &'static str,
    width_mm: u16,
    height_mm: u16,
}

impl From<&PhotoSize> for PhotoSizeBody {
    fn from(size: &PhotoSize) -> Self {
        Self {
            code: size.code,
            name: size.name,
            name_en: size.name_en,
            width_mm: size.width_mm,
            height_mm: size.height_mm,
        }
    }
}

/// List the photo sizes
#[utoipa::path(get, path = "/v1/photo-sizes", operation_id = "list_photo_sizes", tag = "Checkout", security(("api_key" = ["orders"])),
    responses((status = 200, description = "The catalogue.", body = PhotoSizes), ByKey))]
pub(super) async fn list(_: Keyed<Orders>) -> Result<HttpResponse, Problem> {
    let data = CATALOGUE.iter().map(PhotoSizeBody::from).collect();
    Ok(HttpResponse::Ok().json(PhotoSizes { data }))
}
