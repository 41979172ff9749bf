//! `hours.yaml`: when human agents are at work.
//!
//! Here is how it is written down and where a fault in it stands; what the hours mean is decided in
//! `crate::dialogue::hours`.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::format::{Located, syntax};
use super::{Finding, LoadError, read_text};
use crate::dialogue::hours::{Day, Hours, HoursConfig, HoursError, SpecialDays};
use crate::intent::knowledge::Localized;

/// The business hours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Kefu business hours")]
struct HoursFile {
    /// Name in the IANA time zone database, such as `Asia/Shanghai`.
    time_zone: Located<String>,
    /// The periods of each day of the week; a day that is left out is closed.
    week: BTreeMap<Day, Vec<Located<String>>>,
    /// Holidays and other days that do not go by the week.
    #[serde(default)]
    special: Vec<SpecialEntry>,
    /// What to say while nobody is at work; `{opening}` is when somebody is.
    #[serde(default)]
    closed: Localized<String>,
}

/// Days that do not go by the week.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SpecialDays")]
struct SpecialEntry {
    /// The day, such as `2027-02-17`.
    from: Located<String>,
    /// The last day, if there are several.
    #[serde(default)]
    to: Option<Located<String>>,
    /// The periods; none: closed.
    #[serde(default)]
    periods: Vec<Located<String>>,
}

/// Reads a file of business hours; without one, somebody is always at work.
///
/// # Errors
/// [`LoadError`] with what is wrong and where.
pub fn load_hours(path: &Path) -> Result<Hours, LoadError> {
    if !path.exists() {
        return Ok(Hours::always());
    }
    let text = read_text(path)?;
    parse_hours(path, &text).map_err(|finding| LoadError::Findings(vec![finding]))
}

/// Parses and checks the text of a file of business hours.
///
/// # Errors
/// The first fault.
pub fn parse_hours(path: &Path, text: &str) -> Result<Hours, Finding> {
    let file: HoursFile = serde_saphyr::from_str(text).map_err(|error| syntax(path, &error))?;
    Hours::new(&file.config()).map_err(|error| {
        let place = file.place(&error);
        place.finding(path, "KH001", error.to_string())
    })
}

impl HoursFile {
    fn config(&self) -> HoursConfig {
        let values = |all: &[Located<String>]| all.iter().map(|one| one.value.clone()).collect();
        let special = self.special.iter().map(|one| SpecialDays {
            from: one.from.value.clone(),
            to: one.to.as_ref().map(|to| to.value.clone()),
            periods: values(&one.periods),
        });
        HoursConfig {
            time_zone: self.time_zone.value.clone(),
            week: self.week.iter().map(|(day, periods)| (*day, values(periods))).collect(),
            special: special.collect(),
            closed: self.closed.clone(),
        }
    }

    /// Where the text that `error` speaks of stands first.
    fn place(&self, error: &HoursError) -> &Located<String> {
        let wrong = match error {
            HoursError::TimeZone(wrong)
            | HoursError::Period(wrong)
            | HoursError::Day(wrong)
            | HoursError::Overlap(_, wrong)
            | HoursError::Backwards { to: wrong, .. } => wrong,
        };
        let special = self
            .special
            .iter()
            .flat_map(|one| std::iter::once(&one.from).chain(&one.to).chain(&one.periods));
        let mut all = self.week.values().flatten().chain(special);
        all.find(|one| one.value == *wrong).unwrap_or(&self.time_zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: &str = r#"time_zone: Asia/Shanghai
week:
  mon: ["09:00-12:00", "13:30-18:00"]
special:
  - {from: 2027-02-17, to: 2027-02-20}
closed: {zh: "我们{opening}上班。"}
"#;

    #[test]
    fn a_file_of_business_hours_is_read() {
        let hours = parse_hours(Path::new("hours.yaml"), HOURS).unwrap();
        // 2026-11-23 is a Monday; 10:00 and 12:30 in Shanghai.
        assert!(hours.is_open(1_795_399_200_000));
        assert!(!hours.is_open(1_795_408_200_000));
        assert!(load_hours(Path::new("no/such/hours.yaml")).unwrap().is_open(0));
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        for (good, bad, place) in [
            ("Asia/Shanghai", "Asia/Nowhere", "hours.yaml:1:12: KH001: there is no time zone"),
            ("13:30-18:00", "13:30-25:00", "hours.yaml:3:24: KH001: \"13:30-25:00\" is no period"),
            ("13:30-18:00", "11:30-18:00", "hours.yaml:3:24: KH001: the periods"),
            ("2027-02-20", "2027-02-10", "hours.yaml:5:28: KH001: \"2027-02-10\" is before"),
            ("mon", "monday", "hours.yaml:3:"),
        ] {
            let error = parse_hours(Path::new("hours.yaml"), &HOURS.replace(good, bad));
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(place), "{error}");
        }
    }
}
