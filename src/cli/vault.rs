//! `safelight vault`: works beside a running service.

use indicatif::{ProgressBar, ProgressStyle};

use crate::app::audit;
use crate::app::recovery::{restore, retire_key_epochs};
use crate::cli::{Failure, VaultCommand, out, runtime, setup};
use crate::config::Config;
use crate::domain::actor::Actor;
use crate::store::{StoreError, epochs, reseal};
use crate::vault::master::MasterKey;

/// Does what the command says.
///
/// # Errors
/// In words for whoever typed it.
pub(super) fn run(config: &Config, command: &VaultCommand) -> Result<(), Failure> {
    if let VaultCommand::RewrapMaster = command {
        return rewrap(config);
    }
    let app = setup::app(config, Some(setup::simulated_for_commands(config)?))?;
    match command {
        VaultCommand::Status => {
            let (all, sealed, unreadable) = app.orders.read_blocking(|conn| {
                let sealed = reseal::persons_by_epoch(conn)?;
                Ok::<_, StoreError>((epochs::all(conn)?, sealed, reseal::count_unreadable(conn)?))
            })?;
            let mut text = format!("{:>8}  {:<8}  {:<20}  {:>10}\n", "EPOCH", "STATE", "BEGINS", "PERSONS");
            for (id, state, starts_at) in all {
                let persons = sealed
                    .iter()
                    .find(|(epoch, _)| *epoch == id)
                    .map_or(0, |(_, count)| *count);
                // The long tail of what is gone and empty says nothing.
                if state != "retired" || persons > 0 {
                    text.push_str(&format!(
                        "{id:>8}  {state:<8}  {:<20}  {persons:>10}\n",
                        starts_at.format("%FT%TZ")
                    ));
                }
            }
            text.push_str(&format!(
                "{unreadable} persons are unreadable: their keys no longer exist\n"
            ));
            out::print(&text)?;
        }
        VaultCommand::RewrapMaster => {}
        VaultCommand::AcceptOlder => match restore::accept_older(&app)? {
            None => out::print("the vault is not older than the orders database: nothing to accept")?,
            Some(missing) => out::print(&format!(
                "this vault is in service now. {missing}: persons under keys that it misses are unreadable, and what its \
                 journal misses is not done again should an older copy of the orders be put back"
            ))?,
        },
        VaultCommand::AcceptChain => match audit::accept_chain(&app, &Actor::CommandLine)? {
            None => out::print("the audit chain is the one that the vault has heard of: nothing to accept")?,
            Some(lost) => out::print(&format!("the audit chain goes on from here, and says so: {lost}"))?,
        },
        VaultCommand::Retire { now } => {
            let style = ProgressStyle::with_template("{spinner} {pos} orders sealed anew ({elapsed})")?;
            let bar = ProgressBar::new_spinner().with_style(style);
            let heard = |count| bar.set_position(count);
            let done = runtime()?.block_on(async {
                if *now {
                    retire_key_epochs::now(&app, heard).await
                } else {
                    retire_key_epochs::nightly(&app).await
                }
            })?;
            bar.finish_and_clear();
            let text = format!(
                "{} epochs retired, {} keys destroyed, {} orders sealed anew",
                done.retired, done.destroyed, done.resealed
            );
            out::print(&text)?;
            if done.closed > 0 && done.retired == 0 {
                return Err(
                    "rows are left under closed epochs: run it again; the log names those that do not open".into(),
                );
            }
        }
    }
    Ok(())
}

/// Wraps every key with the master key in `vault.master_key_file` (made where it is not there), opening them with the one
/// in `vault.master_key_previous_file`.
fn rewrap(config: &Config) -> Result<(), Failure> {
    let previous = config
        .vault
        .master_key_previous_file
        .as_ref()
        .ok_or("vault.master_key_previous_file must name the file of the master key that is to be replaced")?;
    let previous = MasterKey::load_or_make(previous, false)?;
    let count = setup::vault(config, true)?.rewrap(&previous)?;
    out::print(&format!(
        "{count} keys wrapped with the new master key. Restart the service with it (until then what runs makes no keys), \
         back the vault up, then destroy the previous master key: from then on no older copy of the vault can be opened"
    ))?;
    Ok(())
}
