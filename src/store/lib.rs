//! The store: where the past of a volume is kept and found again.

#![forbid(unsafe_code)]

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the pool that uses it stands in rooms beside this one"
    )
)]
pub(crate) mod epoch_map;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the pool that uses it stands in rooms beside this one"
    )
)]
pub(crate) mod preserved;
