//! The one place that knows how the service is put on a port.

use std::net::SocketAddr;

use safelight::app::App;
use safelight::app::intake::Intake;
use safelight::clock::Clock;

pub fn serve(_app: &App, _intake: &Intake, _clock: &Clock) -> (actix_web::dev::ServerHandle, SocketAddr) {
    let server = actix_web::HttpServer::new(actix_web::App::new).workers(1).disable_signals();
    let server = server.bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (handle, address)
}
