//! `GET /privacy-notice`: the notice as data, or as a page for people. Public, the same for everybody; says nothing of
//! any order.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{Accept, CACHE_CONTROL, CONTENT_SECURITY_POLICY, VARY};
use actix_web::web::{Data, Header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::privacy::notice::{Notice, Section, Text};
use crate::http::docs::documented::WithoutKey;
use crate::http::extract::auth::Public;

/// What is stored about a person, why, how long, who receives it, and the person's rights.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PrivacyNotice)]
pub struct NoticeBody {
    controller: ControllerBody,
    periods: PeriodsBody,
    /// All recipients of personal data.
    recipients: Vec<ToldToBody>,
    /// Every stored column that identifies a person, or is made from what does.
    stored: Vec<KeptBody>,
    /// The notice in words.
    sections: Vec<SectionBody>,
}

/// The controller of the processing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Controller)]
struct ControllerBody {
    name: String,
    /// E.164.
    phone: String,
}

/// How long, in seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionPeriods)]
struct PeriodsBody {
    /// From the order's end to the deletion.
    after_end: u64,
    /// A draft that is not confirmed.
    draft: u64,
    /// An order without progress.
    stuck: u64,
    /// The longest hold.
    max_hold: u64,
    /// After this, copies of the orders database can no longer be decrypted.
    copies: u64,
}

/// A recipient of personal data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NoticeRecipient)]
struct ToldToBody {
    courier: &'static str,
    /// ISO 3166.
    #[schema(required)]
    region: Option<String>,
    fields: Vec<&'static str>,
    /// `delivery`.
    purpose: &'static str,
}

/// A stored column.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredColumn)]
struct KeptBody {
    column: String,
    /// `personal` or `derived`.
    class: &'static str,
    why: String,
    goes: String,
}

/// A part of the notice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NoticeSection)]
struct SectionBody {
    code: &'static str,
    title: TextBody,
    paragraphs: Vec<TextBody>,
}

/// The same in Chinese and in English.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NoticeText)]
struct TextBody {
    zh: String,
    en: String,
}

impl From<&Text> for TextBody {
    fn from(text: &Text) -> Self {
        Self {
            zh: text.zh.clone(),
            en: text.en.clone(),
        }
    }
}

impl From<&Notice> for NoticeBody {
    fn from(notice: &Notice) -> Self {
        let periods = &notice.periods;
        let seconds = |span: Duration| span.as_secs();
        Self {
            controller: ControllerBody {
                name: notice.controller.clone(),
                phone: notice.phone.clone(),
            },
            periods: PeriodsBody {
                after_end: seconds(periods.after_end),
                draft: seconds(periods.draft),
                stuck: seconds(periods.stuck),
                max_hold: seconds(periods.max_hold),
                copies: seconds(periods.copies),
            },
            recipients: notice
                .recipients
                .iter()
                .map(|told| ToldToBody {
                    courier: told.courier,
                    region: told.region.clone(),
                    fields: told.fields.clone(),
                    purpose: "delivery",
                })
                .collect(),
            stored: notice
                .kept
                .iter()
                .map(|kept| KeptBody {
                    column: kept.column.clone(),
                    class: kept.class,
                    why: kept.why.clone(),
                    goes: kept.goes.clone(),
                })
                .collect(),
            sections: notice
                .sections
                .iter()
                .map(|section| SectionBody {
                    code: section.code,
                    title: TextBody::from(&section.title),
                    paragraphs: section.paragraphs.iter().map(TextBody::from).collect(),
                })
                .collect(),
        }
    }
}

/// The privacy notice
///
/// A page where the caller prefers HTML, else JSON.
#[utoipa::path(get, path = "/privacy-notice", operation_id = "privacy_notice", tag = "System", security(()),
    responses(
        (status = 200, description = "The notice.", content((NoticeBody = "application/json"), (String = "text/html"))),
        WithoutKey))]
pub(super) async fn read(_: Public, accept: Option<Header<Accept>>, notice: Data<Notice>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((VARY, "Accept"))
        .insert_header((CACHE_CONTROL, "no-cache"));
    if accept.is_some_and(|accept| prefers_html(&accept)) {
        // The page styles itself; it loads nothing and runs nothing.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        return answer
            .insert_header((CONTENT_SECURITY_POLICY, policy))
            .content_type("text/html; charset=utf-8")
            .body(page(&notice));
    }
    answer.json(NoticeBody::from(notice.get_ref()))
}

/// Whether HTML is named before JSON and before "anything".
fn prefers_html(accept: &Accept) -> bool {
    accept.ranked().first().is_some_and(|best| {
        let kind = best.essence_str();
        kind == "text/html" || kind == "application/xhtml+xml"
    })
}

const STYLE: &str = "body{font:16px/1.65 system-ui,'PingFang SC','Noto Sans CJK SC',sans-serif;color:#222;background:#faf8f6;\
    margin:0}main{max-width:46rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.6rem;border-bottom:3px solid \
    #a32;padding-bottom:.4rem}h2{font-size:1.1rem;margin:1.8rem 0 .3rem}section[lang=en]{margin-top:3.5rem}li{margin:.35rem \
    0}table{border-collapse:collapse;width:100%;font-size:.85rem}th,td{text-align:left;vertical-align:top;padding:.35rem \
    .5rem;border-bottom:1px solid #ddd}code{word-break:break-all}@media(prefers-color-scheme:dark){body{color:#ddd;\
    background:#1b1716}th,td{border-color:#444}}";

/// Both languages on one page, Chinese first, then what is stored, column by column.
fn page(notice: &Notice) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"zh-CN\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>隐私告知 · Privacy notice</title><style>{STYLE}</style></head>\n\
         <body><main>\n"
    );
    language(&mut html, "zh-CN", "隐私告知", &notice.sections, |text| &text.zh);
    language(&mut html, "en", "Privacy notice", &notice.sections, |text| &text.en);
    html.push_str(
        "<section lang=\"en\"><h2>What is stored, and when it goes</h2>\n<table><thead><tr><th>Column</th><th>Class</th>\
         <th>Why</th><th>Goes</th></tr></thead><tbody>\n",
    );
    for kept in &notice.kept {
        // Writing to a string cannot fail.
        let _ = writeln!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&kept.column),
            kept.class,
            escaped(&kept.why),
            escaped(&kept.goes)
        );
    }
    html.push_str("</tbody></table></section>\n</main></body>\n</html>\n");
    html
}

fn language(html: &mut String, lang: &str, title: &str, sections: &[Section], text: impl Fn(&Text) -> &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(html, "<section lang=\"{lang}\"><h1>{title}</h1>");
    for section in sections {
        let _ = writeln!(html, "<h2>{}</h2>\n<ul>", escaped(text(&section.title)));
        for paragraph in &section.paragraphs {
            let _ = writeln!(html, "<li>{}</li>", escaped(text(paragraph)));
        }
        html.push_str("</ul>\n");
    }
    html.push_str("</section>\n");
}

/// The shop's name is the operator's own text, and still only text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::Header as _;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_browser_gets_the_page_and_a_program_the_data() {
        let prefers = |accept: &str| {
            let request = TestRequest::get().insert_header(("accept", accept)).to_http_request();
            prefers_html(&Accept::parse(&request).unwrap())
        };
        assert!(prefers(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(prefers("application/json;q=0.5, text/html"));
        for data in [
            "*/*",
            "application/json",
            "application/json, text/html;q=0.9",
            "text/html;q=0.1, */*",
        ] {
            assert!(!prefers(data), "{data}");
        }
    }

    #[test]
    fn what_the_operator_wrote_is_text_on_the_page() {
        assert_eq!(escaped("<b>\"A&B\"</b>"), "&lt;b&gt;&quot;A&amp;B&quot;&lt;/b&gt;");
    }
}
