//! What the tests stand on: a whole service on a real port with a courier beside it, a clock that stands still until it
//! is moved, fresh databases, and a search for planted values in everything that is logged or answered.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod databases;
pub(crate) mod fake;
pub(crate) mod fixtures;
pub(crate) mod imitations;
pub(crate) mod journey;
pub(crate) mod logs;
pub(crate) mod planted;
pub(crate) mod rows;
pub(crate) mod server;

/// Makes a module with one body run on each engine: `name::on_sqlite` and `name::on_postgres`. A body may ask for other
/// settings than the usual ones: `async fn name(app: &TestApp) with { options } { ... }`.
macro_rules! on_both_engines {
    ($(#[$meta:meta])* async fn $name:ident($app:ident: $type:ty) $body:block $($rest:tt)*) => {
        on_both_engines! { @one $(#[$meta])* $name, $app, $type, $crate::harness::app::Options::default(), $body }
        on_both_engines! { $($rest)* }
    };
    ($(#[$meta:meta])* async fn $name:ident($app:ident: $type:ty) with $options:block $body:block $($rest:tt)*) => {
        on_both_engines! { @one $(#[$meta])* $name, $app, $type, $options, $body }
        on_both_engines! { $($rest)* }
    };
    (@one $(#[$meta:meta])* $name:ident, $app:ident, $type:ty, $options:expr, $body:block) => {
        mod $name {
            use super::*;

            fn run_on(engine: $crate::harness::databases::Engine) {
                $crate::harness::app::run(engine, $options, async |$app: $type| $body);
            }

            $(#[$meta])*
            #[test]
            fn on_sqlite() {
                run_on($crate::harness::databases::Engine::Sqlite);
            }

            $(#[$meta])*
            #[test]
            fn on_postgres() {
                run_on($crate::harness::databases::Engine::Postgres);
            }
        }
    };
    () => {};
}
