//! The question before a connection is ended.

use maud::html;

use super::{Surroundings, asked::Asked};
use crate::{
    model::TenantId,
    web::{Page, Sign},
};

/// Asks whether `tenant` is to be disconnected. `asked` is the part of the list that one comes back to.
pub(super) fn question(tenant: &TenantId, asked: &Asked, around: &Surroundings<'_>) -> Page {
    let main = html! {
        div.panel.narrow {
            h1 { "Disconnect from Flexslot?" }
            p.says.warn { (Sign::Warn) (tenant) }
            p { "Your synced data will stay; future syncs will stop until you reconnect." }
            form.acts method="post" action="disconnect" {
                input type="hidden" name="csrf" value=(around.csrf);
                (asked.hidden())
                button.stop name="tenant" value=(tenant) { "Disconnect" }
                a.button href=(asked.address()) { "Keep connected" }
            }
        }
    };
    Page::new(format!("Disconnect {tenant} from Flexslot?"), main)
}
