//! Logs: for people on a terminal, JSON for machines, and a file on request. Standard error only: standard output
//! belongs to what commands answer.
//!
//! Must never show a person or a secret: outgoing URLs are logged through [`redacted_url`], a panic without its
//! message, and libraries that speak of what they carry stay at `warn` unless the operator names them.

use std::fs::{File, OpenOptions};
use std::io;
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};

/// Libraries that would fill the log (and at trace level could show what they carry). Whoever needs one names it in
/// `log.filter`; a bare level there does not wake them. The HTTP dispatcher's errors are its callers' (junk instead of a
/// request, a connection that went away): anybody could fill the log with them.
const QUIET: &str = "actix_http=warn,actix_http::h1::dispatcher=off,actix_server=warn,actix_web=warn,h2=warn,\
                     hyper=warn,hyper_util=warn,mio=warn,native_tls=warn,openssl=warn,phonenumber=warn,r2d2=warn,\
                     reqwest=warn,standardwebhooks=warn,tokio_util=warn";

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.file` cannot be written.
    #[error("the log file {path} cannot be opened: {kind}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// `log.filter` is not a list of levels.
    #[error("log.filter is not a list of levels such as \"info,safelight::jobs=debug\"")]
    Filter,
    /// Logging has already begun in this process.
    #[error("logging has been set up before")]
    AlreadySet,
}

/// Keeps the log file; when it goes, what was written is on the disk. Hold it until the end of `main`.
#[derive(Debug)]
#[must_use = "the last lines reach the disk when the guard goes"]
pub struct Guard {
    file: Option<Arc<File>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Nobody is left to tell.
            let _ = file.sync_all();
        }
    }
}

/// Begins logging in this process, and logs panics from here on. `terminal`: whether standard error is one.
///
/// # Errors
/// The file cannot be opened, the filter is no filter, or logging has begun before.
pub fn init(config: &LogConfig, terminal: bool) -> Result<Guard, TelemetryError> {
    let file = config.file.as_ref().map(open).transpose()?;
    let subscriber = subscriber(config, terminal, io::stderr, file.clone())?;
    subscriber.try_init().map_err(|_| TelemetryError::AlreadySet)?;
    std::panic::set_hook(Box::new(report_panic));
    Ok(Guard { file })
}

/// Appends; a new file is not the world's to read, for even without persons a log tells much about a shop.
fn open(path: &PathBuf) -> Result<Arc<File>, TelemetryError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let refused = |error: io::Error| TelemetryError::File {
        path: path.clone(),
        kind: error.kind(),
    };
    options.open(path).map(Arc::new).map_err(refused)
}

/// A line is one `write` to a file opened for appending, so lines of several threads (and processes) do not mix. Times
/// are UTC (RFC 3339), which is what the library writes.
fn subscriber<W>(
    config: &LogConfig,
    terminal: bool,
    console: W,
    file: Option<Arc<File>>,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{}", config.filter))
        .map_err(|_| TelemetryError::Filter)?;
    let pretty = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    if pretty {
        let mut lines = fmt::layer().with_writer(console);
        // On a terminal the library's own choice stands, which heeds NO_COLOR.
        if !terminal {
            lines.set_ansi(false);
        }
        layers.push(lines.boxed());
    } else {
        layers.push(
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_writer(console)
                .boxed(),
        );
    }
    if let Some(file) = file {
        layers.push(
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_writer(file)
                .boxed(),
        );
    }
    Ok(Registry::default().with(layers).with(filter))
}

/// Says where a panic was and never what it said: a message may quote the value that nobody expected.
fn report_panic(info: &PanicHookInfo<'_>) {
    let place = info
        .location()
        .map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        place,
        thread = thread.name().unwrap_or("unnamed"),
        "panicked; this is a bug, please report the place"
    );
}

/// An outgoing URL as it may be logged: scheme, host, port and path; no user, password, parameters or fragment. What is
/// no URL with a host is not shown at all.
pub fn redacted_url(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{}://{host}:{port}{}", url.scheme(), url.path()),
            (Some(host), None) => format!("{}://{host}{}", url.scheme(), url.path()),
            (None, _) => "(no URL)".to_owned(),
        },
        Err(_) => "(no URL)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};
    use tracing::subscriber::with_default;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
        }
    }

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn config(format: LogFormat, filter: &str) -> LogConfig {
        LogConfig {
            format,
            filter: filter.to_owned(),
            file: None,
        }
    }

    fn logged(config: &LogConfig, terminal: bool, speak: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        with_default(
            subscriber(config, terminal, move || writer.clone(), None).unwrap(),
            speak,
        );
        captured.text()
    }

    #[test]
    fn auto_is_for_people_on_a_terminal_and_json_elsewhere() {
        let speak = || tracing::info!(order = "o1", "placed");
        let for_people = logged(&config(LogFormat::Auto, "info"), true, speak);
        assert!(for_people.contains("placed") && serde_json::from_str::<serde_json::Value>(&for_people).is_err());
        for (format, terminal) in [(LogFormat::Auto, false), (LogFormat::Json, true)] {
            let line: serde_json::Value =
                serde_json::from_str(&logged(&config(format, "info"), terminal, speak)).unwrap();
            assert_eq!(
                (&line["message"], &line["order"], &line["level"]),
                (&"placed".into(), &"o1".into(), &"INFO".into())
            );
            assert!(
                line["timestamp"].as_str().unwrap().ends_with('Z'),
                "times are UTC: {line}"
            );
        }
        let elsewhere = logged(&config(LogFormat::Pretty, "info"), false, speak);
        assert!(
            elsewhere.contains("placed") && !elsewhere.contains('\x1b'),
            "no colours in a file: {elsewhere:?}"
        );
    }

    #[test]
    fn noisy_libraries_stay_quiet_unless_they_are_named() {
        let speak = || {
            tracing::trace!(target: "hyper::proto", "bytes");
            tracing::warn!(target: "hyper::proto", "odd");
            tracing::trace!(target: "safelight::jobs", "claimed");
        };
        let everything = logged(&config(LogFormat::Json, "trace"), false, speak);
        assert!(everything.contains("claimed") && everything.contains("odd") && !everything.contains("bytes"));
        let named = logged(&config(LogFormat::Json, "hyper=trace"), false, speak);
        assert!(named.contains("bytes") && !named.contains("claimed"));
        let refused = subscriber(&config(LogFormat::Json, "safelight=loud"), false, io::sink, None).err();
        assert!(matches!(refused, Some(TelemetryError::Filter)));
    }

    #[test]
    fn a_log_file_is_appended_to_and_one_that_cannot_be_opened_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("safelight.log");
        for word in ["first", "second"] {
            let file = open(&path).unwrap();
            let subscriber = subscriber(&config(LogFormat::Pretty, "info"), true, io::sink, Some(file)).unwrap();
            with_default(subscriber, || tracing::info!("{word}"));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&lines[0]["message"], &lines[1]["message"], lines.len()),
            (&"first".into(), &"second".into(), 2)
        );
        let refused = open(&folder.path().join("absent/safelight.log"));
        assert!(matches!(
            refused,
            Err(TelemetryError::File {
                kind: io::ErrorKind::NotFound,
                ..
            })
        ));
    }

    #[test]
    fn a_panic_is_logged_by_its_place_and_never_by_its_message() {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(report_panic));
        let line = logged(&config(LogFormat::Json, "info"), false, || {
            let caught = std::panic::catch_unwind(|| panic!("no such recipient: 张三"));
            assert!(caught.is_err());
        });
        std::panic::set_hook(before);
        assert!(line.contains("telemetry.rs:") && line.contains("panicked"), "{line}");
        assert!(!line.contains('张') && !line.contains("recipient"), "{line}");
    }

    #[test]
    fn a_redacted_url_has_neither_credentials_nor_parameters() {
        for (url, shown) in [
            (
                "https://u:p@api.example.cn:8443/v1/track?phone=13800138000#x",
                "https://api.example.cn:8443/v1/track",
            ),
            ("http://127.0.0.1/a", "http://127.0.0.1/a"),
            ("postgres://u:p@db/orders?sslmode=require", "postgres://db/orders"),
            ("mailto:zhangsan@example.cn", "(no URL)"),
            ("13800138000", "(no URL)"),
        ] {
            assert_eq!(redacted_url(url), shown);
        }
    }
}
