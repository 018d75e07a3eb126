//! The couriers that broker others, made from their sections of the configuration.

use std::sync::Arc;

use crate::cli::Failure;
use crate::config::Config;
use crate::couriers::Configured;
use crate::couriers::easypost::{Easypost, EasypostConfig};
use crate::couriers::karrio::{Karrio, KarrioConfig};

/// EasyPost, where it is configured.
///
/// # Errors
/// In words for whoever wrote the configuration.
pub(super) fn easypost(config: &Config) -> Result<Option<Configured>, Failure> {
    let section = &config.couriers.easypost;
    let (Some(api_key), Some(webhook_secret)) = (section.api_key.clone(), section.webhook_secret.clone()) else {
        return Ok(None);
    };
    let courier = Easypost::new(EasypostConfig {
        base_url: section.base_url.clone(),
        api_key,
        webhook_secret,
        carrier: section.carrier.clone(),
        service: section.service.clone(),
        carrier_account: section.carrier_account.clone(),
        timeout: section.timeout,
    })
    .map_err(|error| format!("couriers.easypost: {error}"))?;
    Ok(Some(Configured {
        courier: Arc::new(courier),
        region: section.region.clone(),
    }))
}

/// Karrio, where it is configured.
///
/// # Errors
/// In words for whoever wrote the configuration.
pub(super) fn karrio(config: &Config) -> Result<Option<Configured>, Failure> {
    let section = &config.couriers.karrio;
    let (Some(base_url), Some(token), Some(webhook_secret)) = (
        section.base_url.clone(),
        section.token.clone(),
        section.webhook_secret.clone(),
    ) else {
        return Ok(None);
    };
    let courier = Karrio::new(KarrioConfig {
        base_url,
        token,
        webhook_secret,
        service: section.service.clone(),
        carrier_ids: section.carrier_ids.clone(),
        timeout: section.timeout,
    })
    .map_err(|error| format!("couriers.karrio: {error}"))?;
    Ok(Some(Configured {
        courier: Arc::new(courier),
        region: section.region.clone(),
    }))
}
