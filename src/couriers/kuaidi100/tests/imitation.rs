//! A server that imitates Kuaidi100, and fails on request: what it books is what it would send a bill for.
//!
//! On plain sockets, so that it can also hang up in the middle. Shared with `tests/it`, so it names nothing of the crate.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use data_encoding::HEXUPPER;
use md5::{Digest, Md5};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "imitated-key";
pub(crate) const CUSTOMER: &str = "IMITATEDCUSTOMER";
pub(crate) const SECRET: &str = "imitated-secret";
pub(crate) const SALT: &str = "imitated-salt-0123456789";

/// How the next call goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This answer in place of its own; `done` says whether it does what it was asked to first.
    Says {
        done: bool,
        status: u16,
        headers: &'static str,
        body: Vec<u8>,
    },
    /// It hangs up; `done` as above.
    HangsUp { done: bool },
    /// It does what it was asked to after that long.
    Slow(Duration),
}

impl Fault {
    /// An answer with status 200 before anything is done.
    pub(crate) fn says(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    /// An answer with that status before anything is done.
    pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Says {
            done: false,
            status,
            headers: "",
            body: body.into(),
        }
    }

    /// A failure in Kuaidi100's own shape.
    pub(crate) fn code(code: &str, message: &str) -> Self {
        Self::says(json!({"result": false, "returnCode": code, "message": message}).to_string())
    }
}

/// An order at its desk.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) third_order_id: String,
    pub(crate) task: String,
    pub(crate) order: String,
    pub(crate) number: String,
    pub(crate) status: String,
    pub(crate) param: Value,
}

/// What it knows and has seen.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) orders: Vec<Order>,
    /// Every call: path, form.
    pub(crate) calls: Vec<(String, BTreeMap<String, String>)>,
    pub(crate) faults: VecDeque<Fault>,
    /// Answers of the query, by number.
    pub(crate) histories: BTreeMap<String, Value>,
    /// Numbers come later, as 韵达's do.
    pub(crate) numbers_later: bool,
    subscribed: Vec<String>,
}

/// The server; it runs until the process ends.
#[derive(Clone)]
pub(crate) struct Imitation {
    pub(crate) address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl Imitation {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let world: Arc<Mutex<World>> = Arc::default();
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &world));
            }
        });
        Self { address, world }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The next call goes wrong so; the one after it by the next fault.
    pub(crate) fn next(&self, fault: Fault) {
        self.world().faults.push_back(fault);
    }

    pub(crate) fn orders(&self) -> Vec<Order> {
        self.world().orders.clone()
    }

    /// The order under one of our references.
    pub(crate) fn order(&self, reference: &str) -> Order {
        let orders = self.orders();
        orders
            .into_iter()
            .find(|order| order.third_order_id == reference)
            .unwrap()
    }

    /// The last call's form, its `param` read.
    pub(crate) fn last(&self) -> (BTreeMap<String, String>, Value) {
        let form = self.world().calls.last().unwrap().1.clone();
        let param = serde_json::from_str(&form["param"]).unwrap();
        (form, param)
    }
}

/// `param` and `sign` as a push carries them, and `taskId` where it has one.
pub(crate) fn push(param: &Value, task: Option<&str>) -> String {
    let param = param.to_string();
    let mut form = form_urlencoded::Serializer::new(String::new());
    if let Some(task) = task {
        form.append_pair("taskId", task);
    }
    form.append_pair("sign", &md5(&[&param, SALT]))
        .append_pair("param", &param);
    form.finish()
}

/// The order desk's callback about an order in that state.
pub(crate) fn callback(order: &Order, status: &str) -> String {
    let param = json!({
        "kuaidicom": "yuantong", "kuaidinum": order.number, "status": "200", "message": "成功",
        "data": {"orderId": order.order, "status": status, "courierName": "收件员植入", "courierMobile": "13712345677",
                 "weight": "0.1", "freight": "8.0"},
    });
    push(&param, Some(&order.task))
}

/// A tracking push of these nodes, newest first: time, text, code.
pub(crate) fn tracking_push(number: &str, status: &str, state: &str, nodes: &[(&str, &str, &str)]) -> String {
    push(
        &json!({"status": status, "billstatus": "", "message": "", "lastResult": history(number, state, nodes)}),
        None,
    )
}

/// A tracking result.
pub(crate) fn history(number: &str, state: &str, nodes: &[(&str, &str, &str)]) -> Value {
    let nodes: Vec<Value> = nodes
        .iter()
        .map(|(time, text, code)| json!({"time": time, "ftime": time, "context": text, "statusCode": code}))
        .collect();
    json!({"message": "ok", "nu": number, "com": "yuantong", "status": "200", "ischeck": "0", "state": state, "data": nodes})
}

fn md5(parts: &[&str]) -> String {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    HEXUPPER.encode(&digest.finalize())
}

fn serve(mut stream: TcpStream, world: &Mutex<World>) {
    let Some((path, form)) = read(&mut stream) else { return };
    let fault = {
        let mut world = world.lock().unwrap();
        world.calls.push((path.clone(), form.clone()));
        world.faults.pop_front()
    };
    let act = || {
        answer(&mut world.lock().unwrap(), &path, &form)
            .to_string()
            .into_bytes()
    };
    let (status, headers, body) = match fault {
        None => (200, "", act()),
        Some(Fault::Slow(wait)) => {
            std::thread::sleep(wait);
            (200, "", act())
        }
        Some(Fault::HangsUp { done }) => {
            if done {
                act();
            }
            return;
        }
        Some(Fault::Says {
            done,
            status,
            headers,
            body,
        }) => {
            if done {
                act();
            }
            (status, headers, body)
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    // Whoever gave up waiting is not there any more.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn read(stream: &mut TcpStream) -> Option<(String, BTreeMap<String, String>)> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))?
                .parse()
                .ok()?;
            if bytes.len() >= end + 4 + length {
                let path = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
                let form = form_urlencoded::parse(&bytes[end + 4..]).into_owned().collect();
                return Some((path, form));
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn no(code: &str, message: &str) -> Value {
    json!({"result": false, "returnCode": code, "message": message})
}

fn yes(data: &Value) -> Value {
    json!({"result": true, "returnCode": "200", "message": "提交成功", "data": data})
}

fn answer(world: &mut World, path: &str, form: &BTreeMap<String, String>) -> Value {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let Ok(param) = serde_json::from_str::<Value>(field("param")) else {
        return no("400", "参数错误");
    };
    match path {
        "order" if field("sign") != md5(&[field("param"), field("t"), KEY, SECRET]) => no("503", "签名错误"),
        "query" if field("sign") != md5(&[field("param"), KEY, CUSTOMER]) => no("503", "签名错误"),
        "order" => order(world, field("method"), &param),
        "query" => {
            let number = param["num"].as_str().unwrap_or_default();
            let unknown = no("500", "查询无结果，请隔段时间再查");
            world.histories.get(number).cloned().unwrap_or(unknown)
        }
        "poll" if param["key"] != KEY => no("600", "您不是合法的订阅者"),
        "poll" => {
            let number = param["number"].as_str().unwrap_or_default().to_owned();
            if world.subscribed.contains(&number) {
                return no("501", "重复订阅");
            }
            world.subscribed.push(number);
            json!({"result": true, "returnCode": "200", "message": "提交成功"})
        }
        _ => no("400", "?"),
    }
}

fn order(world: &mut World, method: &str, param: &Value) -> Value {
    let find = |world: &World| {
        world
            .orders
            .iter()
            .position(|order| param["taskId"] == order.task.as_str())
    };
    match method {
        "bOrder" => {
            let third_order_id = param["thirdOrderId"].as_str().unwrap_or_default().to_owned();
            let known = world.orders.iter().find(|order| order.third_order_id == third_order_id);
            let order = known.cloned().unwrap_or_else(|| {
                let count = world.orders.len() + 1;
                let order = Order {
                    third_order_id,
                    task: format!("{count:032X}"),
                    order: format!("{}", 20_000_000 + count),
                    number: if world.numbers_later {
                        String::new()
                    } else {
                        format!("SFPLANTED{count:05}")
                    },
                    status: "0".to_owned(),
                    param: param.clone(),
                };
                world.orders.push(order.clone());
                order
            });
            yes(&json!({"kuaidinum": order.number, "orderId": order.order, "attach": null, "taskId": order.task}))
        }
        "detail" => match find(world).map(|at| &world.orders[at]) {
            Some(order) => yes(
                &json!({"taskId": order.task, "orderId": order.order, "status": order.status,
                                       "kuaidiNum": order.number, "kuaidiCom": "yuantong"}),
            ),
            None => no("500", "订单不存在"),
        },
        "cancel" => match find(world) {
            Some(at) if world.orders[at].status == "99" => no("500", "订单状态异常"),
            Some(at) if world.orders[at].status == "10" => no("500", "操作失败"),
            Some(at) => {
                world.orders[at].status = "99".to_owned();
                json!({"result": true, "returnCode": "200", "message": "取消成功", "data": {}})
            }
            None => no("500", "订单不存在"),
        },
        "price" => yes(&json!({"price": "10.0", "kuaidiCom": "yuantong"})),
        _ => no("400", "method"),
    }
}
