//! stub
use crate::app::{App, heartbeat::Heartbeat, intake::Intake, keys::Recogniser};
/// stub
pub struct ServerParts;
impl ServerParts {
    /// stub
    pub fn new(
        _: &crate::config::Config,
        _: &App,
        _: Intake,
        _: Recogniser,
        _: &std::path::Path,
        _: Option<Heartbeat>,
    ) -> Self {
        Self
    }
}
/// stub
pub fn bind(_: ServerParts, l: std::net::TcpListener, workers: usize) -> std::io::Result<actix_web::dev::Server> {
    Ok(actix_web::HttpServer::new(actix_web::App::new)
        .workers(workers)
        .disable_signals()
        .listen(l)?
        .run())
}
