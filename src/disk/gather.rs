//! Requests that go to the kernel together, though they are handed down one by one.
//!
//! Telling the kernel, and the kernel telling the device, costs more than a request. Whoever hands down one
//! batch pays that once by itself; whoever has many small tasks or many disks wraps them in a gathering.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Something that holds requests back while a gathering is open.
pub(crate) trait Holding: Send + Sync {
    /// Lets go what it holds back.
    fn let_go(&self);
}

thread_local! {
    /// Who holds something back, while this thread has a gathering open.
    static OPEN: RefCell<Option<Vec<Arc<dyn Holding>>>> = const { RefCell::new(None) };
}

/// Runs `hand_down`, and tells the kernel at its end about all that it handed to disks. Do not wait for an
/// answer within.
pub fn together<T>(hand_down: impl FnOnce() -> T) -> T {
    let gathering = Gathering::open();
    let result = hand_down();
    drop(gathering);
    result
}

/// A future of which each poll is a gathering.
pub fn polled_together<F: Future + Unpin>(future: F) -> impl Future<Output = F::Output> {
    PolledTogether(future)
}

/// Whether a gathering is open on this thread; then `holding` is told at its end to let go.
pub(crate) fn holds_back<H: Holding + 'static>(holding: &Arc<H>) -> bool {
    let is_it = |other: &Arc<dyn Holding>| Arc::as_ptr(other).addr() == Arc::as_ptr(holding).addr();
    OPEN.with_borrow_mut(|open| {
        let Some(all) = open else { return false };
        if !all.iter().any(is_it) {
            all.push(Arc::clone(holding) as Arc<dyn Holding>);
        }
        true
    })
}

struct PolledTogether<F>(F);

impl<F: Future + Unpin> Future for PolledTogether<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        together(|| Pin::new(&mut self.0).poll(cx))
    }
}

/// The outermost gathering of this thread; those within it are a part of it.
struct Gathering {
    is_outermost: bool,
}

impl Gathering {
    fn open() -> Self {
        let is_outermost = OPEN.with_borrow_mut(|open| {
            let is_outermost = open.is_none();
            open.get_or_insert_default();
            is_outermost
        });
        Self { is_outermost }
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        if self.is_outermost {
            let all = OPEN.take();
            all.into_iter().flatten().for_each(|holding| holding.let_go());
        }
    }
}
