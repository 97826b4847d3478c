//! The signs beside words. No sign says anything that the words do not.

use maud::{Markup, Render, html};

/// How something is, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Ok,
    Warn,
    Bad,
}

// === impl Sign ===

impl Sign {
    /// The class that colours the sign in it and, together with `note`, a whole note.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    const fn href(self) -> &'static str {
        match self {
            Self::Ok => "#ok",
            Self::Warn => "#warn",
            Self::Bad => "#bad",
        }
    }

    /// A disc with a check mark, a triangle with an exclamation mark, a disc with a cross; the marks are cut out.
    const fn shape(self) -> &'static str {
        match self {
            Self::Ok => "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm-1.3 15L6 12.3l1.7-1.7 3 3 5.6-5.6L18 9.7z",
            Self::Warn => "M12 2 .5 22h23zm-1.2 7h2.4v7h-2.4zm0 8.4h2.4v2.3h-2.4z",
            Self::Bad => {
                "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 8.3L15.3 7 17 8.7 13.7 12l3.3 3.3-1.7 1.7-3.3-3.3L8.7 17 7 15.3l3.3-3.3L7 8.7 8.7 7z"
            }
        }
    }
}

/// Points at the shape that the frame has once for all.
impl Render for Sign {
    fn render(&self) -> Markup {
        html! { svg.sign aria-hidden="true" { use href=(self.href()) {} } }
    }
}

/// What the signs of a page point at; draws nothing itself.
pub(super) fn shapes() -> Markup {
    html! {
        @for sign in [Sign::Ok, Sign::Warn, Sign::Bad] {
            symbol id=(sign.class()) viewBox="0 0 24 24" { path d=(sign.shape()) {} }
        }
    }
}
