//! What every adapter must do, whoever its courier is: the tests that all of them pass.
//!
//! An adapter takes part with a [`Subject`] in its tests: an imitation of its courier that behaves well, how to make the
//! adapter, which calls book, and the courier's own words for the few refusals that have to be its own. Then
//!
//! ```ignore
//! contract::adapter_keeps_the_contract!(NAME_OF_THE_SUBJECT::start());
//! ```
//!
//! makes one test of each rule. The faults are not the imitation's: a server in between passes the calls on and spoils
//! them.

pub(crate) mod server;

mod bookings;
mod queries;
mod webhooks;

use crate::clock::Moment;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::couriers::{BookError, Booked, BookingRequest, Courier, Parcel, ParcelRef, Sender};
use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::ids::{BookingReference, OrderId};
use crate::domain::invalid::FieldErrors;
use crate::privacy::Pii;
use server::{Reply, Request, Server, pass_on};

pub(crate) use bookings::*;
pub(crate) use queries::*;
pub(crate) use webhooks::*;

/// An adapter and an imitation of its courier.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// Where the imitation listens.
    fn address(&self) -> SocketAddr;

    /// The adapter, speaking to that place; `base_url` is `http://127.0.0.1:PORT`.
    fn adapter(&self, base_url: &str, timeout: Duration) -> Arc<dyn Courier>;

    /// Whether this call is the one that books (not the one that prepares).
    fn books(&self, request: &Request) -> bool;

    /// How many parcels the imitation has booked.
    async fn parcels(&self) -> usize;

    /// What the courier makes of an attempt that is sent again.
    fn sent_again(&self) -> Again;

    /// Whether the courier can be asked for an attempt of which nothing came back. Where it cannot, the attempt must be
    /// safe to send again, and that is how it is found.
    fn can_be_asked(&self) -> bool {
        true
    }

    /// How the courier refuses credentials; `None` where no answer of its own says so.
    fn credentials_refused(&self) -> Option<Reply>;

    /// How the courier says that it is asked too often; with the wait in seconds where it can say one.
    fn too_often(&self, seconds: Option<u64>) -> Reply {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(seconds.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
        Reply::Answer {
            status: 429,
            headers,
            body: b"{}".to_vec(),
        }
    }

    /// A webhook as the courier sends it about that parcel: headers (names in lower case), body, token of the path.
    fn webhook(&self, booked: &Booked, reference: &BookingReference) -> Push;

    /// A webhook without what shows whose it is, with that spoilt, and with that empty. For couriers that put it neither
    /// into a header nor into the path.
    fn without_authenticity(&self, push: &Push) -> [Push; 3] {
        let each = |change: &dyn Fn(&str) -> String| Push {
            headers: push
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), change(value)))
                .collect(),
            token: push.token.as_deref().map(change),
            ..push.clone()
        };
        let bare = Push {
            headers: Vec::new(),
            token: None,
            ..push.clone()
        };
        [
            bare,
            each(&|text| text.chars().rev().collect()),
            each(&|_| String::new()),
        ]
    }

    /// Whether a webhook with another body under the same headers is another's.
    fn signs_the_body(&self) -> bool {
        true
    }

    /// Whether two bodies are the same to the signature. For couriers that sign a text before it is encoded, for a text
    /// has several encodings, or not the whole body.
    fn signed_alike(&self, one: &[u8], other: &[u8]) -> bool {
        one == other
    }
}

/// What a courier makes of an attempt that is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// A second parcel.
    Another,
    /// Nothing: it answers with the first parcel.
    First,
    /// Nothing: it answers that it has it, which must be unknown until it is asked for.
    Taken,
}

/// A webhook on its way.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) token: Option<String>,
}

/// How a call is spoilt.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It never arrives.
    Before,
    /// It is done, and nobody hears of it.
    After,
    /// It arrives when nobody waits for it any more.
    Late(Duration),
    /// It never arrives; something else answers.
    Instead(Reply),
    /// It is done, and something else answers.
    Over(Reply),
}

/// Which calls are spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// Those that book.
    Bookings,
    /// The others.
    Others,
}

/// A subject behind a server that spoils its calls.
pub(crate) struct Between<S> {
    pub(crate) subject: Arc<S>,
    fault: Arc<Mutex<Option<(On, Fault)>>>,
    late: Arc<AtomicUsize>,
    server: Server,
}

impl<S: Subject + 'static> Between<S> {
    pub(crate) fn new(subject: S) -> Self {
        let subject = Arc::new(subject);
        let fault: Arc<Mutex<Option<(On, Fault)>>> = Arc::default();
        let late: Arc<AtomicUsize> = Arc::default();
        let (behind, set, count) = (subject.clone(), fault.clone(), late.clone());
        let server = Server::start(move |request| {
            let on = if behind.books(request) {
                On::Bookings
            } else {
                On::Others
            };
            let fault = set.lock().unwrap().clone().filter(|(which, _)| *which == on);
            let through = || Reply::Bytes(pass_on(request, behind.address()));
            match fault.map(|(_, fault)| fault) {
                None => through(),
                Some(Fault::Before) => Reply::HangUp,
                Some(Fault::Instead(reply)) => reply,
                Some(Fault::Late(wait)) => {
                    std::thread::sleep(wait);
                    let answer = through();
                    count.fetch_add(1, Ordering::SeqCst);
                    answer
                }
                Some(Fault::After) => {
                    through();
                    Reply::HangUp
                }
                Some(Fault::Over(reply)) => {
                    through();
                    reply
                }
            }
        });
        Self {
            subject,
            fault,
            late,
            server,
        }
    }

    /// How many calls arrived late.
    pub(crate) fn late(&self) -> usize {
        self.late.load(Ordering::SeqCst)
    }

    pub(crate) fn spoil(&self, on: On, fault: Fault) {
        *self.fault.lock().unwrap() = Some((on, fault));
    }

    pub(crate) fn mend(&self) {
        *self.fault.lock().unwrap() = None;
    }

    pub(crate) fn adapter(&self) -> Arc<dyn Courier> {
        self.hasty(Duration::from_secs(20))
    }

    pub(crate) fn hasty(&self, timeout: Duration) -> Arc<dyn Courier> {
        self.subject.adapter(&self.server.base_url(), timeout)
    }
}

/// Books as the dispatcher does: what `prepare` gave is stored before `commit`, and is known to whoever asks later.
pub(crate) async fn book(courier: &dyn Courier, request: &BookingRequest) -> (ParcelRef, Result<Booked, BookError>) {
    let mut attempt = attempt(&request.reference);
    match courier.prepare(request).await {
        Ok(prepared) => attempt.provider_ref = prepared,
        Err(error) => return (attempt, Err(error)),
    }
    let booked = courier.commit(request, attempt.provider_ref.as_deref()).await;
    (attempt, booked)
}

/// What is known of a parcel once it is booked.
pub(crate) fn known(attempt: &ParcelRef, booked: &Booked) -> ParcelRef {
    ParcelRef {
        provider_ref: booked.provider_ref.clone().or_else(|| attempt.provider_ref.clone()),
        tracking_no: booked.tracking_no.clone(),
        ..attempt.clone()
    }
}

fn party(name: &str, phone: &str) -> Recipient {
    let parts = RecipientParts {
        name,
        phone,
        province: "广东省",
        city: "深圳市",
        district: Some("南山区"),
        street: "科技中二路软件园一期7-305",
        postal_code: Some("518057"),
        country: None,
    };
    Recipient::parse(&parts, "/recipient", &mut FieldErrors::new()).unwrap()
}

/// A parcel from one made-up person to another.
pub(crate) fn a_request() -> BookingRequest {
    let shop = party("照相馆", "0755-86013388");
    BookingRequest {
        reference: BookingReference::new(OrderId::generate(), 1),
        consignee: party("张三", "13800138000"),
        sender: Arc::new(Sender {
            name: "照相馆".into(),
            company: Some("安全灯照相馆".into()),
            phone: shop.phone,
            address: shop.address,
        }),
        parcel: Arc::new(Parcel {
            weight_g: 50,
            size_mm: (240, 160, 5),
            contents: "照片".into(),
        }),
    }
}

/// An attempt of which nothing is known but that it was sent.
pub(crate) fn attempt(reference: &BookingReference) -> ParcelRef {
    ParcelRef {
        reference: reference.clone(),
        provider_ref: None,
        tracking_no: None::<Pii<String>>,
        consignee_phone: Some(party("张三", "13800138000").phone),
        first_sent_at: Some(now()),
    }
}

/// The time at which webhooks come in.
pub(crate) fn now<T: Moment>() -> T {
    T::from_utc(chrono::DateTime::from_timestamp(1_795_000_000, 0).unwrap())
}

/// Waits until `holds`; gives up after a time that only a hang can take.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}

/// One test of each rule, for the subject that the expression makes.
macro_rules! adapter_keeps_the_contract {
    ($subject:expr) => {
        $crate::couriers::contract::adapter_keeps_the_contract!(@each $subject,
            a_parcel_is_booked_and_found_again,
            the_same_attempt_sent_again_is_found_as_it_was,
            an_answer_lost_after_booking_is_unknown_and_found,
            a_parcel_booked_after_we_gave_up_is_found,
            a_request_lost_on_the_way_is_unknown_and_nothing_is_there,
            nobody_listening_means_surely_not_booked,
            a_courier_that_is_asked_too_often_is_given_its_time,
            refused_credentials_are_called_that,
            server_errors_to_a_booking_are_unknown,
            an_answer_that_cannot_be_read_is_unknown_however_the_parcel_is_there,
            preparing_is_never_unknown,
            a_query_without_a_usable_answer_is_never_not_there,
            a_parcel_is_called_off_twice_as_well_as_once,
            a_webhook_is_read_and_names_its_parcel,
            nothing_is_read_without_authenticity,
            no_bytes_make_a_webhook_panic
        );
    };
    (@each $subject:expr, $($rule:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                $crate::couriers::contract::$rule($subject).await;
            }
        )*
    };
}
pub(crate) use adapter_keeps_the_contract;
