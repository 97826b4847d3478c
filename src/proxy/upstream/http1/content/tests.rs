use bytes::BytesMut;

use super::{Content, CutShort, Framing, Malformed};

/// What comes out of content whose bytes arrive in these pieces, frame by frame: text, or the names of trailers.
fn frames(content: &mut Content, pieces: &[&str]) -> Result<Vec<String>, Malformed> {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece.as_bytes());
        while let Some(frame) = content.read(&mut buffer)? {
            frames.push(match frame.into_data() {
                Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
                Err(frame) => format!("{:?}", frame.into_trailers().unwrap().keys().collect::<Vec<_>>()),
            });
        }
    }
    frames.push(format!("+{}", buffer.len()));
    Ok(frames)
}

fn chunked() -> Content {
    Content::new(Framing::Chunked, 64)
}

#[test]
fn a_length_ends_where_it_says_and_what_follows_stays() {
    let mut content = Content::new(Framing::Length(4), 64);
    assert_eq!(content.left(), Some(4));
    assert_eq!(frames(&mut content, &["de", "ckHTTP"]).unwrap(), ["de", "ck", "+4"]);
    assert!(content.is_over());
}

#[test]
fn the_end_of_chunks_is_known_with_the_last_of_them_where_it_has_come() {
    let mut content = chunked();
    let mut buffer = BytesMut::from("4\r\ndeck\r\n0\r\n\r\n");
    assert_eq!(content.read(&mut buffer).unwrap().unwrap().into_data().unwrap(), "deck");
    assert!(content.is_over() && buffer.is_empty());

    let mut content = chunked();
    assert_eq!(frames(&mut content, &["4\r\nde", "ck\r\n0\r\n\r", "\nHTTP"]).unwrap(), ["de", "ck", "+4"]);
    assert!(content.is_over());
}

#[test]
fn trailers_come_after_the_content() {
    let mut content = chunked();
    let read = frames(&mut content, &["1\r\na\r\n0\r\nx-sum: 1\r\nx-so", "rt: 2\r\n\r\n"]).unwrap();
    assert_eq!(read, ["a", r#"["x-sum", "x-sort"]"#, "+0"]);
    assert!(content.is_over());
}

#[test]
fn what_was_good_comes_before_what_is_not() {
    for (bytes, fault) in [
        ("1\r\na\r\nX", "broken chunks"),
        ("1\r\naX", "broken chunks"),
        ("1\r\na\r\n0\r\nx:\r\n \r\n\r\n", "invalid header name"),
    ] {
        let mut content = chunked();
        let mut buffer = BytesMut::from(bytes);
        assert_eq!(content.read(&mut buffer).unwrap().unwrap().into_data().unwrap(), "a", "{bytes:?}");
        assert_eq!(content.read(&mut buffer).unwrap_err(), Malformed(fault), "{bytes:?}");
        assert!(!content.is_over());
    }
}

#[test]
fn trailers_have_a_limit() {
    let trailers = format!("0\r\nx: {}\r\n\r\n", "y".repeat(64));
    assert_eq!(frames(&mut chunked(), &[&trailers]).unwrap_err(), Malformed("trailers over the limit"));
}

#[test]
fn the_end_of_the_connection_ends_only_what_has_no_other_end() {
    let mut content = Content::new(Framing::UntilClose, 64);
    assert_eq!(frames(&mut content, &["de", "ck"]).unwrap(), ["de", "ck", "+0"]);
    assert!(!content.is_over());
    assert_eq!(content.close(), Ok(()));
    assert!(content.is_over());
    for mut content in [chunked(), Content::new(Framing::Length(1), 64)] {
        assert_eq!(content.close(), Err(CutShort));
    }
}

#[test]
fn content_is_handed_on_and_not_copied() {
    let mut buffer = BytesMut::from(&[b'x'; 1000][..]);
    let place = buffer.as_ptr();
    let frame = Content::new(Framing::Length(1000), 64).read(&mut buffer).unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap().as_ptr(), place);
}
