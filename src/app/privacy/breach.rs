//! What a breach touched, for those who must be told of it (PIPL 57): the orders whose person was held in its time, what
//! was held of them, and what of it is gone by now. Made of facts alone, so that it works while keys are being replaced;
//! only looking for one recipient needs the vault.

use std::collections::HashMap;

use crate::app::privacy::notice::Text;
use crate::app::records::personal_record;
use crate::app::{App, AppError, Caller};
use crate::clock::BusinessTime;
use crate::domain::audit::AuditAction;
use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::shipment::Attempt;
use crate::privacy::Pii;
use crate::store::audit::{self, Act};
use crate::store::breach::{self, Counts, Window};
use crate::store::shipments::{self};
use crate::store::{keys, personal_records};
use crate::vault::keyring::Kind;

/// What is asked for. Everything that is given must hold.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Held at this moment or later; from the beginning where it is left out.
    pub from: Option<BusinessTime>,
    /// Held before this moment; until now where it is left out.
    pub to: Option<BusinessTime>,
    /// Orders of this client.
    pub client: Option<String>,
    /// Orders that this key could reach.
    pub key_id: Option<String>,
    /// Orders with this phone, in E.164.
    pub phone: Option<Pii<String>>,
    /// Only orders before this one.
    pub before: Option<OrderId>,
}

/// An affected order.
#[derive(Debug)]
#[expect(missing_docs, reason = "what they are is in their names")]
pub struct Affected {
    pub order: Order,
    /// Names of the fields that were held, or may have been.
    pub fields: Vec<&'static str>,
    pub unreadable: bool,
    /// Whether the key that was asked about was shown the whole person in that time; `None` without a key.
    pub seen: Option<bool>,
}

/// What a breach touched.
#[derive(Debug)]
#[expect(missing_docs, reason = "what they are is in their names")]
pub struct Touched {
    pub window: Window,
    pub counts: Counts,
    pub orders: Vec<Affected>,
}

/// Looks up what a breach touched; recorded in the audit log. At most `limit` orders, newest first.
///
/// # Errors
/// No such key, store; the vault, where a recipient is looked for.
pub async fn touched(app: &App, caller: &Caller, asked: Asked, limit: i64) -> Result<Touched, AppError> {
    let now = app.clock.business_now();
    let among = match asked.phone.clone() {
        None => None,
        Some(phone) => Some(
            app.read_sealed(move |conn, ring| {
                let fingerprints = ring.fingerprints(
                    &personal_record::living_epochs(conn, ring)?,
                    Kind::Phone,
                    phone.expose(),
                );
                Ok(personal_records::orders_by_phone(conn, &fingerprints)?)
            })
            .await?,
        ),
    };
    let actor = caller.actor();
    app.orders
        .write(move |conn| {
            let mut clients: Vec<String> = asked.client.iter().cloned().collect();
            let (mut from, mut to) = (asked.from.unwrap_or(BusinessTime::UNIX_EPOCH), asked.to.unwrap_or(now));
            if let Some(id) = &asked.key_id {
                let key = keys::find(conn, id)?.ok_or(AppError::NotFound)?;
                // Before it was made and after it was revoked it reached nobody.
                from = from.max(key.created_at);
                to = key.revoked_at.map_or(to, |revoked_at| to.min(revoked_at));
                if !key.scopes.see_all() {
                    clients.push(key.client);
                }
            }
            let window = Window {
                from,
                to,
                clients,
                among,
            };
            let counts = breach::count(conn, &window)?;
            let orders = breach::list(conn, &window, asked.before, limit)?;
            let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
            let mut attempts: HashMap<OrderId, Vec<Attempt>> = HashMap::new();
            for attempt in shipments::of_orders(conn, &ids)? {
                attempts.entry(attempt.order_id).or_default().push(attempt);
            }
            let unreadable = breach::unreadable(conn, &ids)?;
            let seen = match &asked.key_id {
                Some(key) => Some(breach::seen_by(conn, key, &window)?),
                None => None,
            };
            let detail = format!(
                "from={} to={} client={} key={} by_recipient={} orders={}",
                window.from.format("%FT%TZ"),
                window.to.format("%FT%TZ"),
                asked.client.as_deref().unwrap_or("-"),
                asked.key_id.as_deref().unwrap_or("-"),
                window.among.is_some(),
                counts.orders
            );
            let act = Act {
                actor: &actor,
                action: AuditAction::BreachExport,
                subject: "orders",
                detail: &detail,
                reason_hash: None,
            };
            audit::append_in_tx(conn, now, &act)?;
            let orders = orders
                .into_iter()
                .map(|order| {
                    let id = order.id.to_string();
                    Affected {
                        fields: fields(attempts.get(&order.id).map_or(&[], Vec::as_slice)),
                        unreadable: order.purged_at.is_none() && unreadable.contains(&id),
                        seen: seen.as_ref().map(|seen| seen.contains(&id)),
                        order,
                    }
                })
                .collect();
            Ok(Touched { window, counts, orders })
        })
        .await
}

/// What is held of every person, and what more where there was a parcel.
fn fields(attempts: &[Attempt]) -> Vec<&'static str> {
    let mut fields = vec!["name", "phone", "address", "photo_reference", "notes"];
    if attempts.iter().any(|attempt| attempt.booked_at.is_some()) {
        fields.push("tracking_no");
    }
    if attempts.iter().any(|attempt| attempt.progress.is_some()) {
        fields.push("courier_remarks");
    }
    fields
}

/// What those who are told must be told, as far as this service knows it; the cause is for people to find.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contents that PIPL 57 lists")]
pub struct Telling {
    pub kinds: Text,
    pub possible_harm: Text,
    pub measures_taken: Text,
    pub measures_for_people: Text,
    pub contact_name: String,
    /// E.164.
    pub contact_phone: String,
}

impl Telling {
    /// What this service can say.
    pub fn of(app: &App, counts: Counts) -> Self {
        let sender = &app.settings.sender;
        let Counts { purged, unreadable, .. } = counts;
        Self {
            kinds: Text::new(
                "收件人姓名、电话、地址，照片引用；已寄出的另有运单号和快递备注；以及与订单有关的说明。",
                "The recipient's name, phone and address, references of photos; where a parcel was sent its tracking number \
                 and the courier's remarks; and notes about the order.",
            ),
            possible_harm: Text::new(
                "可能被用于冒充商家或快递的诈骗、骚扰电话，以及获知住址。",
                "It could be used for fraud in the name of the shop or of a courier, for unwanted calls, and to know where \
                 somebody lives.",
            ),
            measures_taken: Text::new(
                format!(
                    "内容逐单加密保存，密钥另存并每日更换；其中 {purged} 单的个人信息已彻底删除，{unreadable} 单的密钥已不存在。"
                ),
                format!(
                    "Every order is sealed by itself, under keys that are kept elsewhere and change daily; of these orders \
                     {purged} are destroyed since, and the keys of {unreadable} no longer exist."
                ),
            ),
            measures_for_people: Text::new(
                "不要向来电者透露验证码或付款；如需核实请拨打下列电话；可随时要求删除您的信息。",
                "Give no code and no payment to callers; call the number below to verify; you may ask for deletion at any time.",
            ),
            contact_name: sender.company.clone().unwrap_or_else(|| sender.name.clone()),
            contact_phone: sender.phone.e164().to_owned(),
        }
    }
}
