//! A frame around lines, as wide as there is room for.

use std::fmt;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::cli::console::printable;

/// What stands in a frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    /// In its upper edge.
    title: String,
    lines: Vec<Line>,
    /// Before whatever comes next.
    gap: bool,
}

/// What stands at the beginning of a line. No sign says anything that the words do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Ok,
    Warn,
    Bad,
    None,
}

#[derive(Debug, Clone)]
enum Line {
    /// How the connection is.
    Headline(Sign, String),
    Text(String),
    Gap,
}

/// A frame that fits into so many columns.
#[derive(Debug)]
pub(super) struct Fitted<'a>(pub(super) &'a Frame, pub(super) usize);

/// Narrower than this it would be unreadable, and wider unseemly.
const NARROWEST: usize = 32;
const WIDEST: usize = 80;

/// What an edge and the sign with its space take on the left, and the edge on the right.
const AROUND: usize = 6;

const BOLD: Style = Style::new().bold();

// === impl Frame ===

impl Frame {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: printable(&title.into()), lines: Vec::new(), gap: false }
    }

    pub(super) fn headline(&mut self, sign: Sign, words: impl Into<String>) {
        self.push(Line::Headline(sign, printable(&words.into())));
    }

    pub(super) fn text(&mut self, words: impl Into<String>) {
        self.push(Line::Text(printable(&words.into())));
    }

    /// Leaves a line empty before the next one, if there is a next one.
    pub(super) fn gap(&mut self) {
        self.gap = !self.lines.is_empty();
    }

    fn push(&mut self, line: Line) {
        if std::mem::take(&mut self.gap) {
            self.lines.push(Line::Gap);
        }
        self.lines.push(line);
    }
}

// === impl Sign ===

impl Sign {
    const fn character(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Warn => '⚠',
            Self::Bad => '✗',
            Self::None => ' ',
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default().bold(),
            Self::Warn => AnsiColor::Yellow.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::None => Style::new(),
        }
    }
}

// === impl Fitted ===

impl fmt::Display for Fitted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(frame, columns) = self;
        let inner = (*columns).clamp(NARROWEST, WIDEST) - AROUND;
        let title = cut(&frame.title, inner);
        let rest = "─".repeat(inner + 1 - title.width());
        writeln!(f, "┌─ {BOLD}{title}{BOLD:#} {rest}┐")?;
        for line in &frame.lines {
            match line {
                Line::Gap => row(f, "", Sign::None, Style::new(), inner)?,
                Line::Text(words) => {
                    let mut lines = wrapped(words, inner).into_iter();
                    lines.try_for_each(|line| row(f, &line, Sign::None, Style::new(), inner))?;
                }
                Line::Headline(sign, words) => {
                    let mut lines = wrapped(words, inner).into_iter();
                    lines.next().map_or(Ok(()), |line| row(f, &line, *sign, BOLD, inner))?;
                    lines.try_for_each(|line| row(f, &line, Sign::None, BOLD, inner))?;
                }
            }
        }
        write!(f, "└{}┘", "─".repeat(inner + AROUND - 2))
    }
}

fn row(f: &mut fmt::Formatter<'_>, words: &str, sign: Sign, style: Style, inner: usize) -> fmt::Result {
    let (colour, character) = (sign.style(), sign.character());
    let padding = " ".repeat(inner.saturating_sub(words.width()));
    writeln!(f, "│ {colour}{character}{colour:#} {style}{words}{style:#}{padding} │")
}

/// As much of the text as fits, with a sign that there is more.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (head, _) = split(text, columns - 1);
    format!("{head}…")
}

/// Lines of at most so many columns, broken between words; a word that is wider is broken where it has to be.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for mut word in text.split(' ') {
        let line = lines.last_mut().filter(|line| line.width() + 1 + word.width() <= columns);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => {
                while word.width() > columns {
                    let (head, rest) = split(word, columns);
                    lines.push(head.to_owned());
                    word = rest;
                }
                lines.push(word.to_owned());
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// The text up to so many columns, and what follows.
fn split(text: &str, columns: usize) -> (&str, &str) {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += c.width().unwrap_or(0);
        taken > columns
    });
    text.split_at(end.map_or(text.len(), |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::{Fitted, Frame, Sign, wrapped};
    use anstream::adapter::strip_str;
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr as _;

    fn drawn(frame: &Frame, columns: usize) -> String {
        strip_str(&Fitted(frame, columns).to_string()).to_string()
    }

    #[test]
    fn lines_stand_in_a_frame_and_are_broken_between_words() {
        let mut frame = Frame::new("acme");
        frame.headline(Sign::Ok, "Connected to Flexslot as @george");
        frame.gap();
        frame.gap();
        frame.text("Read your decks");
        frame.gap();
        assert_eq!(
            drawn(&frame, 34),
            "┌─ acme ─────────────────────────┐\n\
             │ ✓ Connected to Flexslot as     │\n\
             │   @george                      │\n\
             │                                │\n\
             │   Read your decks              │\n\
             └────────────────────────────────┘"
        );
    }

    #[test]
    fn a_title_that_is_too_long_is_cut() {
        let drawn = drawn(&Frame::new("a".repeat(128)), 40);
        assert!(drawn.starts_with(&format!("┌─ {}… ─┐\n", "a".repeat(33))), "{drawn}");
    }

    #[test]
    fn a_word_that_is_too_wide_is_broken_and_nothing_of_it_is_lost() {
        assert_eq!(wrapped("see https://flexslot.gg now", 10), ["see", "https://fl", "exslot.gg", "now"]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
        assert_eq!(wrapped("", 4), [""; 0]);
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut frame = Frame::new("acme");
        frame.headline(Sign::Warn, "as @\u{1b}[2Jgeorge\u{202e}\r\n");
        let drawn = Fitted(&frame, 40).to_string();
        assert!(drawn.contains("@\u{fffd}[2Jgeorge\u{fffd}\u{fffd}\u{fffd}"), "{drawn}");
    }

    proptest! {
        #[test]
        fn every_line_is_as_wide_as_the_others(title in "[a-z]{1,60}", text in "[a-z 日é]{0,200}", columns in 0_usize..200) {
            let mut frame = Frame::new(title);
            frame.headline(Sign::Bad, text.clone());
            frame.text(text);
            let drawn = drawn(&frame, columns);
            for line in drawn.lines() {
                prop_assert_eq!(line.width(), columns.clamp(super::NARROWEST, super::WIDEST), "{}", drawn);
            }
        }
    }
}
