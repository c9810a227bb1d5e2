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
        if !self.is_outermost {
            return;
        }
        let _close = Close;
        // What letting go leads to is gathered in its turn, so that a chain of answers that ask again is a
        // loop here and no recursion.
        while let Some(all) = OPEN.with_borrow_mut(|open| open.replace(Vec::new()))
            && !all.is_empty()
        {
            all.iter().for_each(|holding| holding.let_go());
        }
    }
}

/// Closes the gathering of this thread when dropped, also where whoever was told to let go panicked: held
/// back after that, nothing would ever go.
struct Close;

impl Drop for Close {
    fn drop(&mut self) {
        OPEN.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Is told to let go, and hands down again until it was told so often.
    struct Chain {
        told: AtomicUsize,
        links: usize,
        myself: std::sync::Weak<Chain>,
    }

    impl Chain {
        fn of(links: usize) -> Arc<Self> {
            let told = AtomicUsize::new(0);
            Arc::new_cyclic(|myself| Self { told, links, myself: myself.clone() })
        }

        fn told(&self) -> usize {
            self.told.load(Ordering::Relaxed)
        }
    }

    impl Holding for Chain {
        fn let_go(&self) {
            if self.told.fetch_add(1, Ordering::Relaxed) + 1 < self.links {
                let myself = self.myself.upgrade().unwrap();
                together(|| assert!(holds_back(&myself)));
                assert!(holds_back(&myself), "the outermost gathering is still open");
            }
        }
    }

    #[test]
    fn what_is_held_back_is_let_go_once_at_the_end_of_the_outermost_gathering() {
        let (one, other) = (Chain::of(1), Chain::of(1));
        assert!(!holds_back(&one), "no gathering is open");
        together(|| {
            together(|| assert!(holds_back(&one) && holds_back(&other) && holds_back(&one)));
            assert_eq!((one.told(), other.told()), (0, 0));
        });
        assert_eq!((one.told(), other.told()), (1, 1));
        assert!(!holds_back(&one), "it stayed open");
    }

    #[test]
    fn a_panic_does_not_leave_it_open() {
        struct Panics;
        impl Holding for Panics {
            fn let_go(&self) {
                panic!("as told");
            }
        }
        let told = std::panic::catch_unwind(|| together(|| holds_back(&Arc::new(Panics))));
        assert!(told.is_err());
        assert!(!holds_back(&Chain::of(1)));
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        let chain = Chain::of(1_000_000);
        together(|| assert!(holds_back(&chain)));
        assert_eq!(chain.told(), 1_000_000);
    }

    #[tokio::test]
    async fn each_poll_is_a_gathering() {
        let chain = Chain::of(1);
        let inside = Arc::clone(&chain);
        polled_together(Box::pin(async move {
            assert!(holds_back(&inside));
            tokio::task::yield_now().await;
            assert_eq!(inside.told(), 1);
        }))
        .await;
    }
}
