//! A bounded queue from async callers to plain threads: who finds it full waits without holding up the runtime.

use std::{sync::Arc, time::Duration};

use cartwright_core::ports::StoreError;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Where the answer to a job goes. Nobody may be listening any more: the job is done all the same.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The callers' end.
pub(super) struct Queue<J> {
    room: Arc<Semaphore>,
    sender: Sender<(J, Option<OwnedSemaphorePermit>)>,
}

/// The threads' end; each job goes to one of the clones.
pub(super) struct Jobs<J>(Receiver<(J, Option<OwnedSemaphorePermit>)>);

/// A way to send a job past the bound, for our own threads.
pub(super) struct Nudge<J>(Sender<(J, Option<OwnedSemaphorePermit>)>);

/// What waiting for a job brought.
pub(super) enum Next<J> {
    Job(J),
    Nothing,
    Closed,
}

pub(super) fn bounded<J>(room: usize) -> (Queue<J>, Jobs<J>) {
    // The semaphore is the bound: waiting for a permit is async, waiting for a channel is not.
    let (sender, receiver) = crossbeam_channel::unbounded();
    (Queue { room: Arc::new(Semaphore::new(room)), sender }, Jobs(receiver))
}

impl<J> Queue<J> {
    /// Sends the job that `make` makes around a way to reply, and waits for the reply.
    pub(super) async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> J) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|_| stopped())?;
        let (reply, answer) = oneshot::channel();
        self.sender.send((make(reply), Some(permit))).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    pub(super) fn nudge(&self) -> Nudge<J> {
        Nudge(self.sender.clone())
    }
}

impl<J> Nudge<J> {
    /// Sends a job that waits for no room; gone if the threads are.
    pub(super) fn send(&self, job: J) {
        let _ = self.0.send((job, None));
    }
}

impl<J> Jobs<J> {
    /// The next job, `None` when there will be no more.
    pub(super) fn next(&self) -> Option<J> {
        self.0.recv().ok().map(|(job, _)| job)
    }

    /// The next job, if one comes within `patience`.
    pub(super) fn next_within(&self, patience: Duration) -> Next<J> {
        match self.0.recv_timeout(patience) {
            Ok((job, _)) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }
}

impl<J> Clone for Jobs<J> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
