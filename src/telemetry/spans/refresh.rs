//! The spans of a refresh: the refresh as a whole, and what was asked of the store and of Flexslot for it.

use std::time::Duration;

use super::{Attributes, Scene, Span, Status};
use crate::model::trace::{spans::RefreshSpans, step::Landing};

/// All spans of a refresh; its own comes first.
pub(super) fn spans_of(refresh: &RefreshSpans) -> Vec<Span> {
    let scene = Scene { context: refresh.context, at: refresh.at };
    let own = refresh.context.span;
    let is_error = matches!(refresh.landing, Landing::Ended(_) | Landing::Failed(_));
    let whole = Span {
        parent: None,
        attributes: Attributes::default()
            .text("flexslot_proxy.tenant", refresh.tenant.as_str().to_owned())
            .text("flexslot_proxy.refresh.cause", refresh.cause.as_str())
            .landing(refresh.landing),
        links: refresh.led_by.into_iter().collect(),
        status: if is_error { Status::Error(None) } else { Status::Unset },
        ..scene.span(own, own, "refresh", Duration::ZERO, refresh.took)
    };
    let ids = (1..).map(|n| refresh.context.child(n));
    let asked = refresh.operations.all();
    let asked = asked.iter().zip(ids).map(|(operation, id)| scene.operation(id, own, operation));
    [whole].into_iter().chain(asked).collect()
}
