//! What holds for every courier of this build; what holds for one is tested in its folder.

use super::*;
use crate::config::EXAMPLE;
use crate::config::testing::given;
use crate::couriers::{kuaidi100, sf, simulated};

fn own<S: CourierSettings>(config: &Config) -> &S {
    settings(config).unwrap()
}

#[test]
fn every_courier_has_a_country_and_a_limit_for_a_call() {
    let config = given("").load();
    let common = &config.courier::<Section<simulated::Settings>>().unwrap().common;
    assert_eq!((&*common.region, common.timeout), ("CN", Duration::from_secs(10)));
    let common = &config.courier::<Section<sf::Settings>>().unwrap().common;
    assert_eq!((&*common.region, common.timeout), ("CN", Duration::from_secs(10)));
    let common = &config.courier::<Section<kuaidi100::Settings>>().unwrap().common;
    assert_eq!((&*common.region, common.timeout), ("CN", Duration::from_secs(10)));
    for name in names() {
        given(&format!("[couriers.{name}]\nregion = \"cn\""))
            .is_refused_with(&format!("couriers.{name}.region: must be a country's"));
        given(&format!("[couriers.{name}]\ntimeout = \"0s\""))
            .is_refused_with(&format!("couriers.{name}.timeout: must be more than 0"));
    }
}

#[test]
fn an_optional_key_that_the_example_shows_reaches_its_adapter() {
    let switched_on: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.contains("/run/secrets/") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = given(&switched_on).load();
    let simulated: &simulated::Settings = own(&config);
    assert!(simulated.base_url.is_some() && simulated.webhook_secret.is_some());
    let sf: &sf::Settings = own(&config);
    assert!(sf.partner_id.is_some() && sf.checkword.is_some());
    assert!(sf.monthly_card.is_some());
    let kuaidi100: &kuaidi100::Settings = own(&config);
    assert!(kuaidi100.key.is_some() && kuaidi100.secret.is_some() && kuaidi100.salt.is_some());
    assert!(kuaidi100.customer.is_some() && kuaidi100.courier_code.is_some());
    let endpoint = simulated.elsewhere().unwrap();
    let built = configured(&config, &Clock::system(), endpoint.as_ref()).unwrap();
    let in_use: Vec<_> = built
        .iter()
        .map(|one| (one.courier.name(), one.region.as_str()))
        .collect();
    for expected in [
        ("simulated", "CN"),
        ("sf", "CN"),
        ("kuaidi100", "CN"),
        ("easypost", "US"),
        ("karrio", "CN"),
    ] {
        assert!(in_use.contains(&expected), "{expected:?} is not in {in_use:?}");
    }
}

#[test]
fn a_courier_without_credentials_is_not_in_use() {
    let built = configured(&given("").load(), &Clock::system(), None).unwrap();
    assert!(built.is_empty(), "{built:?}");
}
