//! SF's gateway for tests: it checks signatures with an encoder of its own, keeps orders by their id for ever, answers in
//! the shapes of SF's documents, and fails as its script says. Plain sockets, so that it can hang up, send half an
//! answer or none. Used by the adapter's own tests and by those of the whole service.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use md5::{Digest, Md5};
use serde_json::{Value, json};

/// The account that it knows.
pub(crate) const PARTNER: &str = "SAFELIGHT";
/// What requests must be signed with.
pub(crate) const CHECKWORD: &str = "test*checkword ~0123456789";
/// What a label is fetched with.
const LABEL_TOKEN: &str = "AUTH_tk-label";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) service: String,
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) data: Value,
    /// How many calls of this service came before it.
    pub(crate) nth: usize,
}

/// What it does with a request.
pub(crate) struct Act {
    /// Whether it does what it is asked to do.
    pub(crate) processed: bool,
    /// How long it takes its time after that.
    pub(crate) wait: Duration,
    pub(crate) reply: Reply,
}

/// What it answers.
pub(crate) enum Reply {
    Honest,
    /// It hangs up.
    Silence,
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
}

impl Act {
    pub(crate) fn honestly() -> Self {
        Self {
            processed: true,
            wait: Duration::ZERO,
            reply: Reply::Honest,
        }
    }

    /// Does it, and the answer is lost.
    pub(crate) fn losing_the_answer() -> Self {
        Self {
            reply: Reply::Silence,
            ..Self::honestly()
        }
    }

    /// Says so, and does nothing.
    pub(crate) fn saying(status: u16, headers: &str, body: &str) -> Self {
        Self {
            processed: false,
            wait: Duration::ZERO,
            reply: Reply::Raw(http(status, headers, body.as_bytes())),
        }
    }
}

/// A whole HTTP answer; `headers` are whole lines.
pub(crate) fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An order as it holds it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) waybill: Option<String>,
    filter: u8,
    cancelled: bool,
    /// Last four digits of the recipient's phone.
    digits: String,
}

#[derive(Default)]
struct State {
    orders: BTreeMap<String, Order>,
    /// Nodes by order id.
    routes: BTreeMap<String, Vec<Value>>,
    calls: Vec<Call>,
}

type Script = Box<dyn Fn(&Call) -> Act + Send + Sync>;

/// A running one; it goes when it is dropped.
pub(crate) struct Imitation {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

impl Imitation {
    /// Starts one that does what the script says.
    pub(crate) fn start(script: impl Fn(&Call) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let script: Arc<Script> = Arc::new(Box::new(script));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (state.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (shared, script) = (shared.clone(), script.clone());
                // A caller that hung up is no failure of the test.
                std::thread::spawn(move || drop(serve(stream, address, &shared, &script)));
            }
        });
        Self { address, state, stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/std/service", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What it holds under an order id.
    pub(crate) fn order(&self, id: &str) -> Option<Order> {
        self.state().orders.get(id).cloned()
    }

    /// How many parcels it will carry.
    pub(crate) fn parcels(&self) -> usize {
        let orders = &self.state().orders;
        orders
            .values()
            .filter(|order| !order.cancelled && order.filter != 3)
            .count()
    }

    /// Every call of a service so far.
    pub(crate) fn calls(&self, service: &str) -> Vec<Call> {
        let calls = self.state().calls.clone();
        calls.into_iter().filter(|call| call.service == service).collect()
    }

    /// SF's dispatchers call an order off.
    pub(crate) fn calls_off(&self, order: &str) {
        self.state().orders.get_mut(order).unwrap().cancelled = true;
    }

    /// Somebody looked at an order's address: it is out of range, or goes under that number.
    pub(crate) fn decides(&self, order: &str, waybill: Option<&str>) {
        let mut state = self.state();
        let order = state.orders.get_mut(order).unwrap();
        order.filter = if waybill.is_some() { 2 } else { 3 };
        order.waybill = waybill.map(str::to_owned);
    }

    /// Something happens to a parcel.
    pub(crate) fn moves(&self, order: &str, operation: &str, at: &str, remark: &str) {
        let node = json!({"acceptTime": at, "acceptAddress": "深圳市", "remark": remark, "opCode": operation});
        self.state().routes.entry(order.to_owned()).or_default().push(node);
    }
}

impl Drop for Imitation {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        drop(TcpStream::connect(self.address));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, address: SocketAddr, state: &Mutex<State>, script: &Script) -> std::io::Result<()> {
    let (head, body) = request(&mut stream)?;
    if head.starts_with("GET ") {
        return stream.write_all(&label(&head));
    }
    let form: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let service = form.get("serviceCode").cloned().unwrap_or_default();
    let data = form
        .get("msgData")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let call = {
        let mut state = lock(state);
        let nth = state.calls.iter().filter(|call| call.service == service).count();
        let call = Call {
            service,
            form,
            data,
            nth,
        };
        state.calls.push(call.clone());
        call
    };
    let act = script(&call);
    let honest = if act.processed {
        answer(&call, address, &mut lock(state))
    } else {
        Vec::new()
    };
    std::thread::sleep(act.wait);
    match act.reply {
        Reply::Honest => stream.write_all(&honest),
        Reply::Silence => Ok(()),
        Reply::Raw(bytes) => stream.write_all(&bytes),
    }
}

fn request(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end])
            .to_lowercase()
            .replace("get /", "GET /");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |length| length.trim().parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Ok((head, bytes[end + 4..].to_vec()));
        }
    }
}

/// `GET /label/SIZE`, with the token: a PDF of that many bytes.
fn label(head: &str) -> Vec<u8> {
    let size = head
        .strip_prefix("GET /label/")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|size| size.parse().ok());
    let Some(size) = size else {
        return http(200, "", b"<html>expired</html>");
    };
    if !head.contains(&format!("x-auth-token: {}", LABEL_TOKEN.to_lowercase())) {
        return http(403, "", b"");
    }
    let mut pdf = b"%PDF-1.4\n".to_vec();
    pdf.resize(size, b' ');
    http(200, "Content-Type: application/pdf\r\n", &pdf)
}

fn envelope(code: &str, inner: &Value) -> Vec<u8> {
    let body = json!({"apiErrorMsg": "", "apiResponseID": "00019AC8457F7D3FC372D7B021E1603F",
        "apiResultCode": code, "apiResultData": inner.to_string()});
    http(200, "Content-Type: application/json\r\n", body.to_string().as_bytes())
}

fn yes(data: &Value) -> Vec<u8> {
    envelope(
        "A1000",
        &json!({"success": true, "errorCode": "S0000", "errorMsg": null, "msgData": data}),
    )
}

fn no(code: &str) -> Vec<u8> {
    envelope(
        "A1000",
        &json!({"success": false, "errorCode": code, "errorMsg": "拒绝", "msgData": null}),
    )
}

fn answer(call: &Call, address: SocketAddr, state: &mut State) -> Vec<u8> {
    if call.form.get("partnerID").map(String::as_str) != Some(PARTNER) {
        return envelope("A1011", &Value::Null);
    }
    if call.form.get("msgDigest") != Some(&digest(call)) || call.form.contains_key("accessToken") {
        return envelope("A1006", &Value::Null);
    }
    let id = call.data["orderId"].as_str().unwrap_or_default().to_owned();
    match call.service.as_str() {
        "EXP_RECE_CREATE_ORDER" => create(id, &call.data, state),
        "EXP_RECE_SEARCH_ORDER_RESP" => match state.orders.get(&id) {
            Some(order) if order.cancelled => no("8253"),
            Some(order) => yes(&shown(&id, order, &json!(order.filter.to_string()))),
            None => no("8018"),
        },
        "EXP_RECE_UPDATE_ORDER" => match state.orders.get_mut(&id) {
            _ if call.data["dealType"] != 2 => no("S0002"),
            Some(order) if order.cancelled => no("8037"),
            Some(order) => {
                order.cancelled = true;
                yes(&json!({"orderId": id, "waybillNoInfoList": [], "resStatus": 2, "extraInfoList": null}))
            }
            None => no("8018"),
        },
        "EXP_RECE_SEARCH_ROUTES" => yes(&routes(&call.data, state)),
        "COM_RECE_CLOUD_PRINT_WAYBILLS" => {
            let waybill = &call.data["documents"][0]["masterWaybillNo"];
            let size = 5 * 1024 * 1024;
            let file = json!({"url": format!("http://{address}/label/{size}"), "token": LABEL_TOKEN,
                "waybillNo": waybill, "seqNo": 1, "areaNo": 1, "pageNo": 1, "pageCount": 1});
            envelope(
                "A1000",
                &json!({"success": true, "requestId": "1", "obj": {"files": [file]}}),
            )
        }
        _ => no("S0003"),
    }
}

fn create(id: String, data: &Value, state: &mut State) -> Vec<u8> {
    if id.is_empty() || data["contactInfoList"].as_array().map(Vec::len) != Some(2) {
        return no("S0002");
    }
    if state.orders.contains_key(&id) {
        return no("8016");
    }
    let consignee = &data["contactInfoList"][1];
    let address = consignee["address"].as_str().unwrap_or_default();
    let phone = consignee["mobile"]
        .as_str()
        .or_else(|| consignee["tel"].as_str())
        .unwrap_or_default();
    let filter = match address {
        address if address.contains("超区") => 3,
        address if address.contains("人工") => 1,
        _ => 2,
    };
    let number = 1_000_000_000_000_u64 + u64::try_from(state.orders.len()).unwrap();
    let order = Order {
        waybill: (filter == 2).then(|| format!("SF{number}")),
        filter,
        cancelled: false,
        digits: phone.chars().skip(phone.chars().count().saturating_sub(4)).collect(),
    };
    let answer = yes(&shown(&id, &order, &json!(filter)));
    state.orders.insert(id, order);
    answer
}

fn shown(id: &str, order: &Order, filter: &Value) -> Value {
    let waybills = order.waybill.as_ref().map(
        |waybill| json!([{"waybillType": 2, "waybillNo": "SF9999999999999"}, {"waybillType": 1, "waybillNo": waybill}]),
    );
    let remark = if order.filter == 3 { "2" } else { "" };
    json!({"orderId": id, "origincode": "755", "destcode": "755", "filterResult": filter, "remark": remark,
        "waybillNoInfoList": waybills, "routeLabelInfo": []})
}

fn routes(data: &Value, state: &State) -> Value {
    let by_waybill = data["trackingType"] == "1";
    let digits: Vec<&str> = data["checkPhoneNo"].as_str().unwrap_or_default().split(',').collect();
    let numbers = data["trackingNumber"].as_array().cloned().unwrap_or_default();
    assert!(numbers.len() <= 10, "8003");
    let found = numbers.iter().filter_map(|number| {
        let (id, order) = state.orders.iter().find(|(id, order)| {
            let known = if by_waybill {
                order.waybill.as_deref()
            } else {
                Some(id.as_str())
            };
            known == number.as_str()
        })?;
        let nodes = state.routes.get(id).filter(|_| digits.contains(&order.digits.as_str()));
        Some(json!({"mailNo": order.waybill, "routes": nodes.cloned().unwrap_or_default()}))
    });
    json!({"routeResps": found.collect::<Vec<_>>()})
}

/// The digest, with an encoder that owes nothing to the adapter's.
fn digest(call: &Call) -> String {
    let part = |name: &str| call.form.get(name).cloned().unwrap_or_default();
    let text = format!("{}{}{CHECKWORD}", part("msgData"), part("timestamp"));
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'*' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    base64::engine::general_purpose::STANDARD.encode(Md5::digest(encoded.as_bytes()))
}
