//! Places orders over HTTP as fast as the service takes them, and says how fast that was.
//!
//! Made for `tests/bench-intake`, which runs it beside the service on the same machine: one thread, raw
//! keep-alive connections and no HTTP library, so that little of the machine goes into asking. Each
//! connection sends one order, waits for the answer and sends the next. Every order is a new one: its own
//! reference, idempotency key and phone number. All of it is invented.
//!
//! It must not be pointed at a service that anyone uses: the orders are real to it.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::task::LocalSet;

#[path = "bench/wire.rs"]
mod wire;

use wire::{Connection, percentile};

/// What to place, and where.
#[derive(Parser)]
struct Options {
    /// Address of the service's HTTP listener.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// File with an API key of scope `orders`.
    #[arg(long)]
    key_file: PathBuf,
    /// Keep-alive connections, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Orders to place, over all connections.
    #[arg(long, default_value_t = 10_000)]
    orders: u64,
    /// Begins every reference and idempotency key; another one for every run against the same database.
    #[arg(long)]
    prefix: String,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// One per acknowledged order, in microseconds.
    latencies: Vec<u64>,
    /// Answers 503 and 429: the service said no, and no order was placed.
    refused: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to tell if standard error is closed, too.
            _ = writeln!(io::stderr(), "load_orders: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let key = std::fs::read_to_string(&options.key_file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut latencies, refused, elapsed) = runtime.block_on(LocalSet::new().run_until(load(options, key.trim())))?;

    latencies.sort_unstable();
    let placed = latencies.len();
    let per_second = u128::try_from(placed).unwrap_or(u128::MAX) * 1_000_000 / elapsed.as_micros().max(1);
    writeln!(
        io::stdout(),
        "placed={placed} refused={refused} elapsed_ms={} per_second={per_second} p50_us={} p99_us={} max_us={}",
        elapsed.as_millis(),
        percentile(&latencies, 50),
        percentile(&latencies, 99),
        percentile(&latencies, 100),
    )
}

async fn load(options: &Options, key: &str) -> io::Result<(Vec<u64>, u64, Duration)> {
    // Connected before the clock starts: the bench is about orders, not about handshakes.
    let connections = Connection::open(options.address, options.connections).await?;
    let next = Rc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for mut connection in connections {
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n",
            options.address
        );
        let (next, last, prefix) = (Rc::clone(&next), options.orders, options.prefix.clone());
        tasks.push(tokio::task::spawn_local(async move {
            let mut seen = Seen::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= last {
                    return Ok::<Seen, io::Error>(seen);
                }
                let request = order(&head, &prefix, number);
                let sent = Instant::now();
                match connection.exchange(request.as_bytes()).await? {
                    201 => seen
                        .latencies
                        .push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX)),
                    503 | 429 => seen.refused += 1,
                    status => return Err(io::Error::other(format!("the service answered {status}, not 201"))),
                }
            }
        }));
    }
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let seen = task.await.map_err(io::Error::other)??;
        latencies.extend(seen.latencies);
        refused += seen.refused;
    }
    Ok((latencies, refused, began.elapsed()))
}

/// One request, head and body.
fn order(head: &str, prefix: &str, number: u64) -> String {
    let phone = 13_800_000_000 + number % 100_000_000;
    let body = format!(
        concat!(
            r#"{{"reference":"{prefix}-{number}","recipient":{{"name":"张三","phone":"{phone}","province":"广东省","#,
            r#""city":"深圳市","district":"南山区","street":"科技中二路软件园一期7-305","postal_code":"518057"}},"#,
            r#""items":[{{"photo_size":"cn-1in","copies":8,"photo":"oss://id-photos/{number}.jpg"}}],"#,
            r#""amount":"12.90","currency":"CNY","consent":{{"policy_version":"2024-06","#,
            r#""accepted_at":"2026-01-01T00:00:00Z","courier_sharing":true,"minor":false}}}}"#,
        ),
        prefix = prefix,
        number = number,
        phone = phone,
    );
    format!(
        "{head}Idempotency-Key: {prefix}-{number}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
