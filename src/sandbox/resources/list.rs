//! Pages of a list: `count`, absolute `next` and `previous`, `results`, and the same links in `Link`.

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::url;
use crate::sandbox::{
    Shared,
    answer::{self, Answer, AnswerExt},
    call::Call,
    params::Params,
};

const PAGE_SIZE: u64 = 20;
const MAX_PAGE_SIZE: u64 = 100;

/// The page that `?page=` and `?page_size=` ask for, of `count` items that `items` shows from an offset on.
pub(super) fn page(
    shared: &Shared,
    call: &Call,
    path: &str,
    count: usize,
    items: impl FnOnce(usize, usize) -> Vec<Value>,
) -> Answer {
    let params = Params::parse(&call.query).unwrap_or_default();
    let size = params.number("page_size").unwrap_or(PAGE_SIZE).clamp(1, MAX_PAGE_SIZE);
    let number = params.number("page").unwrap_or(1);
    let pages = (count as u64).div_ceil(size).max(1);
    if number == 0 || number > pages {
        return answer::not_found();
    }
    let link = |number| url(shared, &format!("{path}?page={number}&page_size={size}"));
    let next = (number < pages).then(|| link(number + 1));
    let previous = (number > 1).then(|| link(number - 1));
    let start = usize::try_from((number - 1) * size).unwrap_or(usize::MAX);
    let results = items(start, usize::try_from(size).unwrap_or(usize::MAX));
    let links: Vec<String> = [(&next, "next"), (&previous, "prev")]
        .into_iter()
        .filter_map(|(link, relation)| Some(format!(r#"<{}>; rel="{relation}""#, link.as_deref()?)))
        .collect();
    let body = json!({"count": count, "next": next, "previous": previous, "results": results});
    let answer = answer::json(StatusCode::OK, &body);
    if links.is_empty() { answer } else { answer.with(header::LINK, &links.join(", ")) }
}
