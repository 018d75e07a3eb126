//! `safelight keys`: works beside a running service, on the same database.

use crate::app::access::api_keys::{self, KEY_CACHE};
use crate::cli::{Failure, KeysCommand, out, setup};
use crate::config::Config;
use crate::domain::actor::Actor;
use crate::domain::scope::Scopes;
use crate::store::migrate::{self, Which};
use crate::store::{Database, keys as key_rows};

/// Does what the command says.
///
/// # Errors
/// In words for whoever typed it.
pub(super) fn run(config: &Config, command: KeysCommand) -> Result<(), Failure> {
    let orders = Database::new(config.database.url.clone(), 1);
    orders.read_blocking(|conn| migrate::run(conn, Which::Orders))?;
    let now = setup::business_clock(config, &orders)?.business_now();
    match command {
        KeysCommand::Create { name, scope, client } => {
            let scopes = Scopes::parse(&scope)
                .ok_or("--scope takes one or more of orders, floor, ops, privacy, admin, with commas between them")?;
            let name = api_keys::parse_name(&name).map_err(|invalid| format!("--name {}", invalid.detail))?;
            let client = match client {
                Some(client) => {
                    api_keys::parse_name(&client).map_err(|invalid| format!("--client {}", invalid.detail))?
                }
                None => name.clone(),
            };
            let made = orders.write_blocking(|conn| {
                api_keys::create_in_tx(conn, &name, &client, scopes, &Actor::CommandLine, now)
            })?;
            out::print(made.bearer.expose())?;
        }
        KeysCommand::List => {
            let mut text = format!(
                "{:<20} {:<20} {:<20} {:<28} {}\n",
                "ID", "NAME", "CLIENT", "SCOPES", "STATE"
            );
            for key in orders.read_blocking(key_rows::list)? {
                let state = key
                    .revoked_at
                    .map_or_else(|| "active".to_owned(), |at| format!("revoked {}", at.format("%F")));
                let scopes = key.scopes.to_string();
                text.push_str(&format!(
                    "{:<20} {:<20} {:<20} {scopes:<28} {state}\n",
                    key.id, key.name, key.client
                ));
            }
            out::print(&text)?;
        }
        KeysCommand::Revoke { id } => {
            let app = setup::app(config, Some(setup::simulated_for_commands(config)?))?;
            let done = super::runtime()?.block_on(api_keys::revoke(&app, &id, &Actor::CommandLine))?;
            if !done {
                return Err("no API key in use has this id; nothing was revoked".into());
            }
            // Running services may remember the key for a moment: when this returns it is out of use everywhere.
            std::thread::sleep(KEY_CACHE + std::time::Duration::from_millis(100));
            out::print("revoked")?;
        }
    }
    Ok(())
}
