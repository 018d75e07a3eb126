//! The simulated courier as a process of its own, which no crash of the service touches, and what it counts.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use safelight::couriers::client;
use serde_json::{Value, json};

use crate::harness::planted;
use crate::process::Installation;

/// A running courier; gone when it is dropped.
pub(super) struct Courier {
    process: Child,
    base_url: String,
    client: reqwest::Client,
}

impl Courier {
    /// Starts it, and tells the installation where it is and how patient to be: a call takes a second at most, and a
    /// booking that is not there six seconds after it was sent will not come any more.
    pub(super) fn start(installation: &mut Installation, flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_safelight"))
            .args(["sandbox-courier", "--listen", "127.0.0.1:0", "--state", "courier.jsonl"])
            // Nobody: where the service listens is told later, if at all.
            .args(["--webhook-url", "http://127.0.0.1:9/"])
            .args(["--webhook-secret", planted::WEBHOOK_SECRET])
            .args(flags)
            .current_dir(installation.databases.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        let (_, base_url) = said.trim().split_once(" on ").expect("it says where it listens");
        let courier = Self {
            process,
            base_url: base_url.to_owned(),
            client: client::build(Duration::from_secs(30)).unwrap(),
        };
        let secret = planted::WEBHOOK_SECRET.to_owned();
        installation.settings.extend([
            ("SAFELIGHT__COURIERS__SIMULATED__EMBEDDED", "false".to_owned()),
            ("SAFELIGHT__COURIERS__SIMULATED__BASE_URL", courier.base_url.clone()),
            ("SAFELIGHT__COURIERS__SIMULATED__WEBHOOK_SECRET", secret),
            ("SAFELIGHT__COURIERS__SIMULATED__TIMEOUT", "1s".to_owned()),
            ("SAFELIGHT__COURIERS__SETTLE", "5s".to_owned()),
            // What a printer claimed whose service went down is soon somebody else's.
            ("SAFELIGHT__PRINT__LEASE", "3s".to_owned()),
        ]);
        courier
    }

    /// Where webhooks go from now on.
    pub(super) async fn tells(&self, service: std::net::SocketAddr) {
        let url = json!({"url": format!("http://{service}/webhooks/simulated")});
        let answer = self.client.put(format!("{}/webhook", self.base_url)).json(&url).send();
        assert!(answer.await.unwrap().status().is_success());
    }

    /// Every parcel that was ever booked, by reference: its tracking number. Fails where a reference has two, or where
    /// one was called off.
    pub(super) async fn parcels(&self) -> BTreeMap<String, String> {
        let mut parcels = BTreeMap::new();
        let mut after = json!(0);
        while !after.is_null() {
            let url = format!("{}/parcels?limit=500&after={after}", self.base_url);
            let page: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
            for parcel in page["data"].as_array().unwrap() {
                let text = |member: &str| parcel[member].as_str().unwrap().to_owned();
                assert_eq!(parcel["cancelled"], false, "{parcel}");
                let twice = parcels.insert(text("reference"), text("tracking_no"));
                assert_eq!(twice, None, "two parcels under one reference: {parcel}");
            }
            after = page["next_after"].clone();
        }
        parcels
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
