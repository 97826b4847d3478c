//! How many cards a terminal has room for.

use crate::cli::console::Screen;

/// The rows that are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room(Option<usize>);

/// What is kept for the words below the cards, with the empty line before them, and for the cursor.
const BELOW: usize = 4;

/// The rows of the smallest card, with the empty one before it.
const SMALLEST: usize = 7;

// === impl Room ===

impl Room {
    /// Where all of it is wanted.
    pub(super) const ENDLESS: Self = Self(None);

    pub(super) const fn of(screen: Screen) -> Self {
        Self(Some(screen.rows.saturating_sub(BELOW)))
    }

    /// No more cards than this fit, and one is shown in any case.
    pub(super) fn cards(self) -> usize {
        self.0.map_or(usize::MAX, |rows| rows / SMALLEST + 1)
    }

    /// Whether so many lines fit as well. Nothing fits after what did not.
    pub(super) fn takes(&mut self, lines: &str) -> bool {
        let Some(free) = self.0 else { return true };
        let left = free.checked_sub(lines.lines().count());
        self.0 = Some(left.unwrap_or(0));
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Room;
    use crate::cli::console::Screen;

    #[test]
    fn a_screen_takes_what_fits_and_nothing_after_it() {
        let mut room = Room::of(Screen { columns: 80, rows: 11 });
        assert_eq!(room.cards(), 2);
        assert!(room.takes("1\n2\n3\n4\n") && room.takes("5\n6\n7\n"));
        assert!(!room.takes("8\n"));
        let mut room = Room::of(Screen { columns: 80, rows: 11 });
        assert!(room.takes("1\n") && !room.takes(&"2\n".repeat(7)) && !room.takes("3\n"));
    }

    #[test]
    fn the_smallest_screen_is_asked_to_show_one() {
        assert_eq!(Room::of(Screen { columns: 1, rows: 1 }).cards(), 1);
    }

    #[test]
    fn where_all_is_wanted_all_fits() {
        let mut room = Room::ENDLESS;
        assert!((0..1000).all(|_| room.takes("1\n2\n")));
    }
}
