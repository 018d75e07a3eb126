//! `safelight prove`: shows an auditor that what was purged is gone.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::app::retention::prove;
use crate::app::retention::prove::scan;
use crate::cli::{Failure, out, runtime, setup};
use crate::config::Config;

/// What to look for, and how to say it.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Values that should stand nowhere, one a line: they are looked for in the raw database files (on PostgreSQL in what
    /// SQL can reach) and in the log file.
    #[arg(long, value_name = "FILE")]
    planted_file: Option<PathBuf>,
    /// More files to look in: logs that something else collects.
    #[arg(long, value_name = "FILE")]
    log_file: Vec<PathBuf>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// Checks, reports, and fails where anything was found.
///
/// # Errors
/// Something was found, or a check could not be made.
pub(super) fn run(config: &Config, options: Options) -> Result<(), Failure> {
    let app = setup::app(config, Some(setup::simulated_for_commands(config)?))?;
    let mut logs = options.log_file;
    logs.extend(config.log.file.clone().filter(|file| file.exists()));
    let planted = options.planted_file.map(std::fs::read_to_string).transpose()?;
    let checks = runtime()?.block_on(async {
        let mut checks = prove::prove(&app).await?;
        if let Some(planted) = &planted {
            let (needles, too_short) = scan::needles(planted);
            checks.push(prove::all_looked_for(needles.len(), &too_short));
            checks.extend(prove::scan(&app, needles, logs).await?);
        }
        Ok::<_, Failure>(checks)
    })?;
    let found: usize = checks.iter().map(|check| check.findings.len()).sum();
    if options.json {
        let checks: Vec<_> = checks
            .iter()
            .map(|check| json!({"check": check.what, "ok": check.findings.is_empty(), "looked_at": check.looked_at, "findings": check.findings}))
            .collect();
        out::print(&serde_json::to_string_pretty(
            &json!({"ok": found == 0, "checks": checks}),
        )?)?;
    } else {
        let mut text = String::new();
        for check in &checks {
            let mark = if check.findings.is_empty() { "ok   " } else { "FOUND" };
            text.push_str(&format!("{mark}  {}  ({})\n", check.what, check.looked_at));
            check
                .findings
                .iter()
                .for_each(|finding| text.push_str(&format!("         {finding}\n")));
        }
        if planted.is_none() {
            text.push_str("(no planted values were looked for: --planted-file)\n");
        }
        out::print(&text)?;
    }
    if found == 0 {
        Ok(())
    } else {
        Err(format!("{found} findings").into())
    }
}
