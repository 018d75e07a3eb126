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

/// Makes two tests of a function, one for each engine: `name::on_sqlite` and `name::on_postgres`.
///
/// ```text
/// #[apply(on_both_engines)]
/// async fn a_name_that_says_what_holds(app: &TestApp) { ... }     with a fresh service
/// #[apply(on_both_engines)]
/// fn a_name_that_says_what_holds(engine: Engine) { ... }          with nothing but the engine
/// ```
///
/// Right below `apply`, `#[with(options)]` asks for another service than the usual one, and `#[by(runner, argument)]` for
/// another runner: it is called with the engine, the arguments and the function. The function itself stays as written.
macro_rules! on_both_engines {
    (#[with($options:expr)] $($function:tt)*) => {
        on_both_engines! { @run [$crate::harness::app::run; $options] $($function)* }
    };
    (#[by($run:path $(, $argument:expr)*)] $($function:tt)*) => {
        on_both_engines! { @run [$run; $($argument),*] $($function)* }
    };
    (@run [$run:path; $($argument:expr),*] $(#[$meta:meta])* async fn $name:ident $($rest:tt)*) => {
        $(#[$meta])*
        async fn $name $($rest)*

        on_both_engines! { @tests $name, engine => $run(engine, $($argument,)* $name) }
    };
    (@tests $name:ident, $engine:ident => $call:expr) => {
        mod $name {
            use super::*;

            fn on($engine: $crate::harness::databases::Engine) {
                $call;
            }

            #[test]
            fn on_sqlite() {
                on($crate::harness::databases::Engine::Sqlite);
            }

            #[test]
            fn on_postgres() {
                on($crate::harness::databases::Engine::Postgres);
            }
        }
    };
    ($(#[$meta:meta])* fn $name:ident $($rest:tt)*) => {
        $(#[$meta])*
        fn $name $($rest)*

        on_both_engines! { @tests $name, engine => $name(engine) }
    };
    ($($function:tt)*) => {
        on_both_engines! { #[with($crate::harness::app::Options::default())] $($function)* }
    };
}
