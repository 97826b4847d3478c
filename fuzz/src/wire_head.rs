//! The judge of requests on the wire: however the bytes are cut into reads it says the same, what it passes is framed
//! by CRLF alone, and hyper's own parser reads the same head with the same end.

use flexslot_proxy::server::wire::{Judge, MAX_FIELDS, Progress, Refusal};

use super::bytes::Dice;

const HEADER_SIZE: usize = 512;

#[derive(Debug, PartialEq)]
enum Event {
    Head(Vec<u8>),
    /// Pieces that follow each other are one.
    Body(Vec<u8>),
    Refused(Refusal),
    Fault,
}

/// Feeds `parts` one after the other.
fn judge<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut judge = Judge::new(HEADER_SIZE);
    let mut events = Vec::new();
    let mut buffer = Vec::new();
    for part in parts {
        buffer.extend_from_slice(part);
        loop {
            if judge.is_fault() {
                events.push(Event::Fault);
                return events;
            }
            if judge.in_head() {
                match judge.head(&buffer) {
                    Progress::More => break,
                    Progress::Head { start, end, .. } => {
                        events.push(Event::Head(buffer[start..end].to_vec()));
                        buffer.drain(..end);
                    }
                    Progress::Refused(refusal) => {
                        events.push(Event::Refused(refusal));
                        return events;
                    }
                }
            } else if buffer.is_empty() {
                break;
            } else {
                let taken = judge.body(&buffer);
                let taken = buffer.drain(..taken);
                match events.last_mut() {
                    Some(Event::Body(body)) => body.extend(taken),
                    _ => events.push(Event::Body(taken.collect())),
                }
            }
        }
    }
    events
}

pub fn run(stream: &[u8]) {
    let whole = judge([stream]);
    assert_eq!(judge(stream.chunks(1)), whole, "cut into single bytes");
    let mut dice = Dice::of(stream);
    for longest in [5, 60] {
        assert_eq!(judge(dice.cut(stream, longest)), whole, "cut at random");
    }
    for event in &whole {
        let Event::Head(head) = event else { continue };
        let bare_lf = head.iter().enumerate().any(|(at, &byte)| byte == b'\n' && (at == 0 || head[at - 1] != b'\r'));
        let bare_cr = head.iter().enumerate().any(|(at, &byte)| byte == b'\r' && head.get(at + 1) != Some(&b'\n'));
        assert!(!bare_lf && !bare_cr && !head.contains(&0), "{}", head.escape_ascii());
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let read = httparse::Request::new(&mut fields).parse(head);
        assert_eq!(read, Ok(httparse::Status::Complete(head.len())), "{}", head.escape_ascii());
    }
}
