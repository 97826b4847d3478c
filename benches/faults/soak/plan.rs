//! Which request comes next, and what the upstream is to do with it.

use std::time::Duration;

use crate::{dice::Dice, http::Request, order::Order};

/// A request that is due.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) way: Way,
    pub(super) order: Order,
    pub(super) request: Request,
}

/// How it goes to the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// HTTP/1.1, on a connection that others used before.
    Kept,
    /// HTTP/1.1, on a connection of its own.
    Fresh,
    Http2,
}

#[derive(Debug)]
pub(super) struct Planner {
    dice: Dice,
    grants: Vec<String>,
    pats: Vec<String>,
    number: u64,
}

/// Longer than the sidecar waits, which is five seconds.
const TOO_SLOW: Duration = Duration::from_secs(8);

// === impl Planner ===

impl Planner {
    pub(super) const fn new(dice: Dice) -> Self {
        Self { dice, grants: Vec::new(), pats: Vec::new(), number: 0 }
    }

    /// One more tenant with a grant; says its name.
    pub(super) fn grant(&mut self, number: u64) -> String {
        self.grants.push(format!("grant-{number}"));
        format!("grant-{number}")
    }

    /// One more tenant with a PAT; says its name.
    pub(super) fn pat(&mut self, number: u64) -> String {
        self.pats.push(format!("pat-{number}"));
        format!("pat-{number}")
    }

    pub(super) fn next(&mut self) -> Plan {
        self.number += 1;
        let dice = &mut self.dice;
        let of = if dice.percent(80) { &self.grants } else { &self.pats };
        let tenant = &of[usize::try_from(dice.below(of.len() as u64)).unwrap_or(0)];
        let (mut request, mut order) = match dice.below(100) {
            0..65 => (Request::get(tenant), Order::Serve),
            65..85 => (Request::post(tenant, 4096), Order::Serve),
            // Some are larger than what is kept to be sent again.
            85..90 => (Request::post(tenant, 65536 + usize::try_from(dice.below(2 << 20)).unwrap_or(0)), Order::Serve),
            90..95 => (Request::get(tenant), Order::Body(65536 + dice.below(1 << 20))),
            _ => (Request::get(tenant), Order::Slow(Duration::from_millis(dice.below(500)))),
        };
        if dice.percent(4) {
            order = match dice.below(6) {
                0 => Order::Status(500),
                1 => Order::Status(429),
                2 => Order::Slow(TOO_SLOW),
                3 => Order::Reset,
                4 => Order::CutBody,
                _ => Order::Unauthorized,
            };
        }
        let way = match dice.below(100) {
            0..10 => Way::Fresh,
            10..30 => Way::Http2,
            _ => Way::Kept,
        };
        if way == Way::Fresh {
            request.fields.push_str("Connection: close\r\n");
        }
        request.fields.push_str(&format!("X-Number: {}\r\n", self.number));
        Plan { number: self.number, way, order, request: request.order(order) }
    }
}

// === impl Plan ===

impl Plan {
    /// Whether this is what the upstream was told to bring about: a status without a code is its own.
    pub(super) fn is_ordered(&self, status: u16, code: Option<&str>, whole: bool) -> bool {
        match self.order {
            Order::Serve | Order::Unauthorized | Order::Body(_) | Order::Flood => (status, whole) == (200, true),
            Order::Slow(time) if time >= TOO_SLOW => (status, code) == (504, Some("upstream_timeout")),
            Order::Slow(_) => (status, whole) == (200, true),
            Order::Status(ordered) => (status, code, whole) == (ordered, None, true),
            Order::Reset => (status, code) == (502, Some("upstream_invalid")),
            Order::CutBody => (status, whole) == (200, false),
        }
    }
}
