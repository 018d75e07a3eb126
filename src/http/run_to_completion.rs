//! Operations of several steps are finished even when their client disconnects: a handler's future may be dropped when
//! the connection closes, and a parcel that was cancelled at the courier must not stay booked here.

use std::future::Future;

use tracing::Instrument as _;

use crate::app::AppError;
use crate::http::errors::problem::Problem;

/// Runs `verb` to its end in a task of its own, in the log's span of the request.
///
/// # Errors
/// What the verb says.
pub(super) async fn run_to_completion<T, F>(verb: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, AppError>> + Send + 'static,
{
    match tokio::spawn(verb.in_current_span()).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Problem::internal("task of a request panicked or was cancelled")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[actix_web::test]
    async fn a_verb_goes_on_after_its_caller_is_gone() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let verb = async move {
            wait.await.map_err(|_| AppError::NotFound)?;
            done.send(7).map_err(|_| AppError::NotFound)
        };
        let caller = tokio::time::timeout(Duration::from_millis(1), run_to_completion(verb));
        assert!(caller.await.is_err(), "the caller gave up");
        go.send(()).unwrap();
        assert_eq!(finished.await, Ok(7));
    }
}
