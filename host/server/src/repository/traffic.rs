//! What is set of how requests are divided among the versions of a model, and what was before.

use hyper::header::HeaderName;

use super::Split;

/// How many changes of a model's split are remembered.
const REMEMBERED: usize = 16;

/// What is set for one model.
#[derive(Default)]
pub struct Traffic {
    /// What holds; absent where the newest version answers.
    split: Option<Split>,
    /// What the configuration says, once it has said anything.
    configured: Option<Option<Split>>,
    /// Whose value decides which version answers.
    pub sticky: Option<HeaderName>,
    /// What held before each change, the last one at the end.
    before: Vec<Option<Split>>,
    /// The version that answered while there was no split.
    newest: Option<String>,
}

/// There is nothing to go back to.
#[derive(Debug, PartialEq, Eq)]
pub struct NothingBefore;

// === impl Traffic ===

impl Traffic {
    pub fn split(&self) -> Option<&Split> {
        self.split.as_ref()
    }

    /// Has this hold from now on.
    pub fn set(&mut self, split: Option<Split>) {
        if split != self.split {
            let before = std::mem::replace(&mut self.split, split);
            self.remember(before);
        }
    }

    /// Takes over what the configuration says, where that has changed: what was set otherwise since holds until then.
    pub fn configure(&mut self, split: Option<Split>, sticky: Option<HeaderName>) {
        self.sticky = sticky;
        match self.configured.replace(split.clone()) {
            // Before that, nothing held.
            None => self.split = split,
            Some(before) if before != split => self.set(split),
            Some(_) => {}
        }
    }

    /// Notes which version is the newest that is loaded. A newer one that takes the requests of the one before is a change.
    pub fn note_newest(&mut self, newest: Option<&str>) {
        let Some(newest) = newest else { return };
        let before = self.newest.replace(newest.to_owned());
        if let (None, Some(before)) = (&self.split, before)
            && super::compare_versions(&before, newest).is_lt()
        {
            self.remember(Some(Split::all_to(&before)));
        }
    }

    /// Goes back to what held before the last change. Where there was none, the version before the newest that answers gets all
    /// requests. `loaded` has the versions that are loaded, oldest first.
    ///
    /// # Errors
    ///
    /// There is no such thing, and nothing has been changed.
    pub fn roll_back(&mut self, loaded: &[&str]) -> Result<(), NothingBefore> {
        let answers = |split: &Split| loaded.iter().any(|version| split.percentage(version) > 0);
        while let Some(before) = self.before.pop() {
            // What names only versions that have gone since is no way back.
            if before != self.split && before.as_ref().is_none_or(answers) {
                self.split = before;
                return Ok(());
            }
        }
        let newest = loaded.iter().rposition(|version| match &self.split {
            Some(split) => split.percentage(version) > 0,
            None => true,
        });
        let before = newest.and_then(|newest| newest.checked_sub(1)).and_then(|before| loaded.get(before));
        self.split = Some(Split::all_to(before.ok_or(NothingBefore)?));
        Ok(())
    }

    fn remember(&mut self, before: Option<Split>) {
        if self.before.len() == REMEMBERED {
            self.before.remove(0);
        }
        self.before.push(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(second: u64) -> Option<Split> {
        Some(Split::new([("1".to_owned(), 100 - second), ("2".to_owned(), second)].into()).unwrap())
    }

    #[test]
    fn rolling_back_undoes_changes_one_by_one() {
        let mut traffic = Traffic::default();
        traffic.configure(split(10), None);
        traffic.set(split(50));
        traffic.set(split(50));
        traffic.set(split(100));
        // Where there is no change left, the newer version has nothing any more.
        for wanted in [split(50), split(10), Some(Split::all_to("1"))] {
            traffic.roll_back(&["1", "2"]).unwrap();
            assert_eq!(traffic.split(), wanted.as_ref());
        }
        assert_eq!(traffic.roll_back(&["1", "2"]), Err(NothingBefore));
        assert_eq!(Traffic::default().roll_back(&["1"]), Err(NothingBefore));
    }

    #[test]
    fn a_newer_version_is_a_change() {
        let mut traffic = Traffic::default();
        for newest in ["1", "1", "2"] {
            traffic.note_newest(Some(newest));
        }
        traffic.roll_back(&["1", "2"]).unwrap();
        assert_eq!(traffic.split(), Some(&Split::all_to("1")));
        // What only went away is none.
        let mut traffic = Traffic::default();
        traffic.note_newest(Some("2"));
        traffic.note_newest(Some("1"));
        assert_eq!(traffic.roll_back(&["1"]), Err(NothingBefore));
    }

    #[test]
    fn what_names_only_versions_that_have_gone_is_no_way_back() {
        let mut traffic = Traffic::default();
        traffic.set(Some(Split::all_to("1")));
        traffic.set(Some(Split::all_to("2")));
        traffic.set(Some(Split::all_to("3")));
        traffic.roll_back(&["1", "3"]).unwrap();
        assert_eq!(traffic.split(), Some(&Split::all_to("1")));
    }

    #[test]
    fn what_the_configuration_says_again_changes_nothing() {
        let mut traffic = Traffic::default();
        traffic.configure(split(10), None);
        traffic.set(split(50));
        traffic.configure(split(10), None);
        assert_eq!(traffic.split(), split(50).as_ref());
        traffic.configure(split(20), None);
        assert_eq!(traffic.split(), split(20).as_ref());
        traffic.configure(None, None);
        assert_eq!(traffic.split(), None);
    }
}
