//! The privacy notice: what is kept of a person, why, how long, who is told, and what rights there are. Made from the
//! running configuration and `privacy.toml`, so that it cannot promise what the service does not do. Must not name a
//! recipient of an order: the only person in it is the shop.

use std::time::Duration;

use crate::app::{App, Settings};
use crate::domain::shipment::DISCLOSED_TO_COURIERS;
use crate::domain::workdays::ANSWER_WITHIN;
use crate::privacy::classes::{Class, classes};

/// The same in Chinese and in English.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "ISO 639 says it")]
pub struct Text {
    pub zh: String,
    pub en: String,
}

impl Text {
    pub(crate) fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            zh: zh.into(),
            en: en.into(),
        }
    }
}

/// A part of the notice, for people.
#[derive(Debug, Clone)]
pub struct Section {
    /// Stable: `controller`, `purposes`, `retention`, `recipients` or `rights`.
    pub code: &'static str,
    /// What it is about.
    pub title: Text,
    /// What it says.
    pub paragraphs: Vec<Text>,
}

/// A column that identifies a person or is made from what does.
#[derive(Debug, Clone)]
pub struct Kept {
    /// `table.column`.
    pub column: String,
    /// `personal` or `derived`.
    pub class: &'static str,
    /// What it is for.
    pub why: String,
    /// When it goes.
    pub goes: String,
}

/// Somebody who is told.
#[derive(Debug, Clone)]
pub struct ToldTo {
    /// The courier's name in this service.
    pub courier: &'static str,
    /// The country it handles the data in (ISO 3166), where the configuration says so.
    pub region: Option<String>,
    /// What it is told.
    pub fields: Vec<&'static str>,
}

/// The whole notice.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Who answers for it.
    pub controller: String,
    /// Where that can be reached by telephone, E.164.
    pub phone: String,
    /// The periods, as they are configured.
    pub periods: Periods,
    /// Everybody who is told.
    pub recipients: Vec<ToldTo>,
    /// Every column that goes.
    pub kept: Vec<Kept>,
    /// The notice in words.
    pub sections: Vec<Section>,
}

/// How long a person is kept; business time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// After the order's end.
    pub after_end: Duration,
    /// A draft that is not confirmed.
    pub draft: Duration,
    /// An order that nothing moves.
    pub stuck: Duration,
    /// The longest hold.
    pub max_hold: Duration,
    /// After which no copy of the orders database can be read.
    pub copies: Duration,
}

impl Notice {
    /// The notice of this service.
    pub fn of(app: &App) -> Self {
        let settings = &app.settings;
        let periods = Periods {
            after_end: settings.window,
            draft: settings.draft_after,
            stuck: settings.stuck_after,
            max_hold: settings.max_hold,
            copies: app.vault.copy_horizon().to_std().unwrap_or_default(),
        };
        let recipients: Vec<ToldTo> = app
            .couriers
            .names()
            .map(|courier| ToldTo {
                courier,
                region: app.couriers.region(courier).map(str::to_owned),
                fields: DISCLOSED_TO_COURIERS.split(',').collect(),
            })
            .collect();
        let controller = settings
            .sender
            .company
            .clone()
            .unwrap_or_else(|| settings.sender.name.clone());
        Self {
            phone: settings.sender.phone.e164().to_owned(),
            sections: vec![
                controller_section(&controller, settings),
                purposes(),
                retention(&periods),
                told(&recipients),
                rights(),
            ],
            controller,
            periods,
            recipients,
            kept: kept(),
        }
    }
}

fn kept() -> Vec<Kept> {
    let mut all = Vec::new();
    for (name, table) in &classes().orders {
        for (column, classed) in &table.columns {
            let class = match classed.class {
                Class::Fact => continue,
                Class::Derived => "derived",
                Class::Personal => "personal",
            };
            all.push(Kept {
                column: format!("{name}.{column}"),
                class,
                why: classed.why.clone(),
                goes: table.goes.clone().unwrap_or_default(),
            });
        }
    }
    all
}

fn controller_section(controller: &str, settings: &Settings) -> Section {
    let (phone, place) = (settings.sender.phone.e164(), settings.sender.address.masked());
    Section {
        code: "controller",
        title: Text::new("谁处理您的个人信息", "Who handles your personal information"),
        paragraphs: vec![Text::new(
            format!("{controller}（{place}），电话 {phone}。"),
            format!("{controller} ({place}), telephone {phone}."),
        )],
    }
}

fn purposes() -> Section {
    Section {
        code: "purposes",
        title: Text::new("处理什么，为什么", "What is handled, and why"),
        paragraphs: vec![
            Text::new(
                "收件人姓名、手机号码和收货地址：用于冲印、包装和投递您的证件照。",
                "The recipient's name, phone number and delivery address: to print, pack and deliver your photos.",
            ),
            Text::new(
                "照片的存放位置：用于冲印，只有冲印人员可以看到。",
                "Where the photo is kept: to print it; only the print floor sees it.",
            ),
            Text::new(
                "快递单号和快递公司的投递说明：用于查询和确认投递。",
                "Tracking numbers and the courier's remarks: to follow and confirm the delivery.",
            ),
            Text::new(
                "与订单有关的理由和说明（如取消、查看、保全的理由）：用于说明处理经过。",
                "Reasons and notes about an order (why it was cancelled, looked at or held): to account for what was done.",
            ),
            Text::new(
                "以上内容加密保存，平时只以遮盖的形式显示。处理依据是履行合同，或您的同意；向快递公司提供须经您的单独同意。",
                "All of it is kept encrypted and shown masked. The ground is the contract, or your consent; it is passed on \
                 to a courier only with your separate consent.",
            ),
            Text::new(
                "不能识别您的订单事实（编号、状态、金额、尺寸、时间）在删除之后保留，用于记账和证明已经删除。",
                "Facts of the order that do not identify you (its number, status, amount, sizes, times) stay after the \
                 deletion, for the accounts and to prove that it was done.",
            ),
        ],
    }
}

fn retention(periods: &Periods) -> Section {
    let line = |span: Duration, zh: &str, en: &str| {
        let said = span_text(span);
        Text::new(zh.replace("{}", &said.zh), en.replace("{}", &said.en))
    };
    Section {
        code: "retention",
        title: Text::new("保存多久", "How long"),
        paragraphs: vec![
            line(
                periods.after_end,
                "订单结束（签收、退回、丢失或取消）{}后，自动彻底删除。",
                "It is destroyed, unasked, {} after the order's end (delivered, returned, lost or cancelled).",
            ),
            line(
                periods.draft,
                "未确认的订单保留{}，之后删除。",
                "An order that is never confirmed is kept for {}, then destroyed.",
            ),
            line(
                periods.stuck,
                "{}没有任何进展的订单会被结束并删除。",
                "An order that nothing moves for {} is ended and destroyed.",
            ),
            line(
                periods.max_hold,
                "有争议或法律要求时可以暂停删除，最长{}；其间除保存和保护外不作其他处理。",
                "A dispute or a legal demand may stop the deletion for {} at most; meanwhile it is stored and protected, \
                 and nothing else.",
            ),
            line(
                periods.copies,
                "密钥按期销毁：超过{}的数据库副本无法再被读取（密钥库的备份另加其自身的保存期）。",
                "Keys are destroyed on schedule: a copy of the database older than {} can no longer be read (backups of \
                 the key vault add their own age).",
            ),
        ],
    }
}

fn told(recipients: &[ToldTo]) -> Section {
    let paragraphs = recipients
        .iter()
        .map(|told| {
            let region = told.region.as_deref().unwrap_or("-");
            Text::new(
                format!(
                    "快递公司 {}（处理地：{region}）：姓名、电话、地址，用于投递。每次提供都有记录。",
                    told.courier
                ),
                format!(
                    "The courier {} (handled in: {region}): {}, to deliver the parcel. Every hand-over is recorded.",
                    told.courier,
                    told.fields.join(", ")
                ),
            )
        })
        .collect();
    Section {
        code: "recipients",
        title: Text::new("提供给谁", "Who is told"),
        paragraphs,
    }
}

fn rights() -> Section {
    Section {
        code: "rights",
        title: Text::new("您的权利", "Your rights"),
        paragraphs: vec![
            Text::new(
                format!(
                    "您可以查阅、复制、更正、删除您的个人信息，撤回同意，并要求解释。核实身份后，我们在 {ANSWER_WITHIN} \
                     个工作日内答复；拒绝时说明理由。"
                ),
                format!(
                    "You may see, copy, correct and delete your personal information, withdraw your consent, and ask for an \
                     explanation. We answer within {ANSWER_WITHIN} working days once we know that it is you; a refusal \
                     gives its reasons."
                ),
            ),
            Text::new(
                "要求删除：尚未打印的订单取消并删除，已结束的立即删除，正在打印或投递的在结束后立即删除，不再等待保存期；依法保全的，\
                 保全结束后删除。",
                "Asking for deletion: what is not printed yet is cancelled and destroyed, what has ended is destroyed at once, \
                 what is being printed or delivered as soon as it ends, without the period of keeping; what the law holds, \
                 when the hold ends.",
            ),
            Text::new(
                "处理您的请求时，身份核实方式和拒绝理由加密保存，随最后一个订单的信息一并删除；请求的种类和日期作为答复记录保留。",
                "Of your request, how you were verified and the reason of a refusal are kept encrypted and go with the last \
                 order's information; its kind and dates stay as the record of the answer.",
            ),
            Text::new(
                "撤回同意：寄出之前，订单取消并删除信息；寄出之后，除完成投递外停止其他处理，结束后删除。撤回不影响此前的处理。",
                "Withdrawing consent: before the parcel is shipped the order is cancelled and the information destroyed; \
                 afterwards nothing but the delivery goes on, and it is destroyed at its end. What was done before stays lawful.",
            ),
            Text::new(
                "未满 18 周岁的，须有监护人同意；未经同意收集的信息，知悉后即删除。已故者的近亲属可以依法行使上述权利。",
                "Under 18 a guardian must consent; what was collected without is destroyed as soon as we know. Close kin of \
                 the deceased may exercise these rights as the law says.",
            ),
        ],
    }
}

/// A span in the largest unit that it is whole in.
fn span_text(span: Duration) -> Text {
    let seconds = span.as_secs();
    if seconds == 0 {
        return Text::new("立即", "no time");
    }
    for (unit, zh, en) in [
        (86_400, "天", "day"),
        (3_600, "小时", "hour"),
        (60, "分钟", "minute"),
        (1, "秒", "second"),
    ] {
        if seconds.is_multiple_of(unit) {
            let count = seconds / unit;
            let plural = if count == 1 { "" } else { "s" };
            return Text::new(format!(" {count} {zh}"), format!("{count} {en}{plural}"));
        }
    }
    Text::new("", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_in_the_largest_whole_unit() {
        let said = |seconds| span_text(Duration::from_secs(seconds));
        assert_eq!(said(30 * 86_400), Text::new(" 30 天", "30 days"));
        assert_eq!(said(86_400), Text::new(" 1 天", "1 day"));
        assert_eq!(said(36 * 3_600), Text::new(" 36 小时", "36 hours"));
        assert_eq!(said(90), Text::new(" 90 秒", "90 seconds"));
        assert_eq!(said(0).en, "no time");
    }

    #[test]
    fn every_column_that_is_no_fact_is_named_with_when_it_goes() {
        let kept = kept();
        assert!(
            kept.iter()
                .any(|kept| kept.column == "order_person.sealed" && kept.class == "personal")
        );
        assert!(
            kept.iter()
                .any(|kept| kept.column == "order_tracking.tracking_print" && kept.class == "derived")
        );
        assert!(kept.iter().all(|kept| !kept.goes.is_empty() && !kept.why.is_empty()));
        let sealed = classes().purged_columns();
        for column in sealed.split(',') {
            assert!(kept.iter().any(|kept| kept.column == column), "{column}");
        }
    }
}
