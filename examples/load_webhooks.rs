//! Sends the simulated courier's webhooks over HTTP as fast as the service takes them, and says how fast that was.
//!
//! Made for `tests/bench-webhooks`. Every event is a new one: each parcel is picked up, then each is in transit, and so
//! on; signed as the courier signs. With `--references` it only prints the booking reference of each order id it reads.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use clap::Parser;
use safelight::clock::Clock;
use safelight::domain::ids::{BookingReference, OrderId, RowId};
use standardwebhooks::Webhook;
use tokio::task::LocalSet;

#[path = "bench/wire.rs"]
mod wire;

use wire::{Connection, percentile};

/// What happens to every parcel, in this order: as many events a parcel.
const STAGES: [&str; 4] = ["picked_up", "in_transit", "out_for_delivery", "delivered"];

/// What to send, and where.
#[derive(Parser)]
struct Options {
    /// Address of the service's HTTP listener.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Lines of a booking reference, a space and a tracking number.
    #[arg(long)]
    parcels: Option<PathBuf>,
    /// File with the courier's webhook secret.
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// Keep-alive connections, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Reads order ids from standard input and prints each with its first booking reference.
    #[arg(long)]
    references: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match if options.references {
        references()
    } else {
        run(&options)
    } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to tell if standard error is closed, too.
            _ = writeln!(io::stderr(), "load_webhooks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn references() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let order: OrderId = line.parse().map_err(|_| io::Error::other("not an order id"))?;
        writeln!(
            io::stdout(),
            "{order}\t{}\t{}",
            BookingReference::new(order, 1),
            RowId::generate()
        )?;
    }
    Ok(())
}

fn run(options: &Options) -> io::Result<()> {
    let (Some(parcels), Some(secret)) = (&options.parcels, &options.secret_file) else {
        return Err(io::Error::other("--parcels and --secret-file are needed"));
    };
    let parcels: Vec<String> = std::fs::read_to_string(parcels)?.lines().map(str::to_owned).collect();
    let secret = std::fs::read_to_string(secret)?;
    let key = base64::engine::general_purpose::STANDARD
        .decode(secret.trim().trim_start_matches("whsec_"))
        .map_err(io::Error::other)?;
    // Signed before the clock starts: the bench is about taking events in.
    let webhook = Webhook::from_bytes(key).map_err(io::Error::other)?;
    let events: Vec<String> = (0..STAGES.len())
        .flat_map(|stage| parcels.iter().map(move |parcel| (stage, parcel)))
        .map(|(stage, parcel)| event(&webhook, options.address, stage, parcel))
        .collect::<io::Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut latencies, refused, elapsed) = runtime.block_on(LocalSet::new().run_until(load(options, events)))?;

    latencies.sort_unstable();
    let taken = latencies.len();
    let per_second = u128::try_from(taken).unwrap_or(u128::MAX) * 1_000_000 / elapsed.as_micros().max(1);
    writeln!(
        io::stdout(),
        "taken={taken} refused={refused} elapsed_ms={} per_second={per_second} p50_us={} p99_us={} max_us={}",
        elapsed.as_millis(),
        percentile(&latencies, 50),
        percentile(&latencies, 99),
        percentile(&latencies, 100),
    )
}

/// One request, head and body.
fn event(webhook: &Webhook, address: SocketAddr, stage: usize, parcel: &str) -> io::Result<String> {
    let (reference, number) = parcel
        .split_once(' ')
        .ok_or_else(|| io::Error::other("a parcel without a number"))?;
    let status = STAGES.get(stage).copied().unwrap_or_default();
    let now = Clock::system().wall_now();
    let at = now + chrono::TimeDelta::seconds(i64::try_from(stage).unwrap_or_default());
    let body = serde_json::json!({"type": "parcel.updated", "timestamp": now, "data": {
        "reference": reference, "tracking_no": number, "status": status, "code": "S00", "occurred_at": at,
    }})
    .to_string();
    let id = RowId::generate().to_string();
    let signature = webhook
        .sign(&id, now.timestamp(), body.as_bytes())
        .map_err(io::Error::other)?;
    Ok(format!(
        "POST /webhooks/simulated HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nwebhook-id: {id}\r\n\
         webhook-timestamp: {}\r\nwebhook-signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
        now.timestamp(),
        body.len()
    ))
}

async fn load(options: &Options, events: Vec<String>) -> io::Result<(Vec<u64>, u64, Duration)> {
    let connections = Connection::open(options.address, options.connections).await?;
    let (next, events) = (Rc::new(AtomicUsize::new(0)), Rc::new(events));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for mut connection in connections {
        let (next, events) = (Rc::clone(&next), Rc::clone(&events));
        tasks.push(tokio::task::spawn_local(async move {
            let (mut latencies, mut refused) = (Vec::new(), 0_u64);
            while let Some(event) = events.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sent = Instant::now();
                // As a courier does: what was not taken is sent again.
                loop {
                    match connection.exchange(event.as_bytes()).await? {
                        200 => break,
                        503 => refused += 1,
                        status => return Err(io::Error::other(format!("the service answered {status}, not 200"))),
                    }
                }
                latencies.push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            Ok::<_, io::Error>((latencies, refused))
        }));
    }
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (seen, said_no) = task.await.map_err(io::Error::other)??;
        latencies.extend(seen);
        refused += said_no;
    }
    Ok((latencies, refused, began.elapsed()))
}
