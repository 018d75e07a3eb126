//! The one place that knows how the service is put on a port.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use actix_web::dev::ServerHandle;
use safelight::app::App;
use safelight::app::orders::write_new::Intake;
use safelight::app::parcels::events::inbox::Inbox;
use safelight::app::worker_heartbeat::Heartbeat;
use safelight::config::{Config, LoadOptions};
use safelight::couriers::registry;
use safelight::http::health::Health;
use safelight::http::server::{self, ServerParts};

/// Serves the app on a free port. The worker is taken to be alive: tests run its jobs by hand.
pub(crate) fn serve(app: &App, intake: Intake, inbox: Inbox, folder: &Path) -> (ServerHandle, SocketAddr) {
    let options = LoadOptions {
        file: None,
        working_dir: folder.to_owned(),
        env: Vec::new(),
        flags: vec![("http.rate_limit.enabled", "false".to_owned())],
    };
    let config = Config::load(&options, &registry::sections()).unwrap();
    let heartbeat = Heartbeat::default();
    heartbeat.beat(app.clock.wall_now());
    let health = Health::new(app.clone(), Some(heartbeat), &config.database.url, folder);
    let parts = ServerParts::new(&config, app, intake, inbox, health).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = server::bind(parts, listener, 1).unwrap();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (handle, address)
}
