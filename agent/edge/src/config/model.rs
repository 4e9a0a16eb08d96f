//! `[model]`, the model of the whole device, or `[[model]]` for each of several.
//!
//! In a list the entry without `series` is the device's; what it does not say is the default.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyError;
use crate::duration::Span;
use crate::scorer::{FORECAST, SCORE};

/// What was written under `model`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Models {
    /// Of every series that no other model reads.
    pub device: Model,
    /// The user's own, in their order.
    pub own: Vec<Own>,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// Off: the robust scorer judges alone.
    pub enabled: bool,
    /// Another model than the shipped one.
    pub file: Option<PathBuf>,
}

impl Default for Model {
    fn default() -> Self {
        Self { enabled: true, file: None }
    }
}

/// `[[model]]` with `series`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its place in the list, for errors.
    pub key: String,
    /// What it is called in events and status.
    pub name: String,
    /// The ONNX file.
    pub file: PathBuf,
    /// Series that it reads; `*` stands for anything.
    pub series: Vec<String>,
    /// What the file has to keep, if the file does not say.
    pub contract: Option<String>,
    /// Time between the readings of a window; every tick if absent.
    pub every: Option<Span>,
}

/// One table of the list, as written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    series: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<Span>,
}

/// The longest name: it stands in the name of a series.
const NAME: usize = 16;

impl Models {
    fn of(entries: Vec<Entry>) -> Result<Self, KeyError> {
        let mut all = Self::default();
        let mut has_device = false;
        for (i, entry) in entries.into_iter().enumerate() {
            let key = format!("model[{i}]");
            let wrong = |name: &str, what: String| Err(KeyError::new(&format!("{key}.{name}"), what));
            if entry.series.is_empty() {
                if has_device {
                    return wrong("series", "missing; only one model may be the whole device's".into());
                }
                if entry.name.is_some() || entry.contract.is_some() || entry.every.is_some() {
                    return wrong("series", "missing; write the series that the model reads".into());
                }
                has_device = true;
                let default = Model::default();
                all.device = Model { enabled: entry.enabled.unwrap_or(default.enabled), file: entry.file };
                continue;
            }
            let Some(file) = entry.file else {
                return wrong("file", "missing; write the path of an ONNX file".into());
            };
            if let Some(other) = entry.contract.as_deref().filter(|c| ![FORECAST, SCORE].contains(c)) {
                return wrong("contract", format!("`{other}` is none; there are: {FORECAST}, {SCORE}"));
            }
            let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned());
            let name = entry.name.or(stem).unwrap_or_default();
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > NAME || !name.chars().all(allowed) {
                let what = format!("`{name}` is no name; write 1 to {NAME} of letters, digits, - and _");
                return wrong("name", what);
            }
            if all.own.iter().any(|own| own.name == name) {
                return wrong("name", format!("`{name}` is the name of two models"));
            }
            if entry.enabled == Some(false) {
                continue;
            }
            let Entry { series, contract, every, .. } = entry;
            all.own.push(Own { key, name, file, series, contract, every });
        }
        Ok(all)
    }

    fn entries(&self) -> Vec<Entry> {
        let device =
            Entry { enabled: Some(self.device.enabled), file: self.device.file.clone(), ..Entry::default() };
        let own = self.own.iter().map(|own| Entry {
            name: Some(own.name.clone()),
            enabled: None,
            file: Some(own.file.clone()),
            series: own.series.clone(),
            contract: own.contract.clone(),
            every: own.every,
        });
        std::iter::once(device).chain(own).collect()
    }
}

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Models;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[model], or [[model]] for each of several")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Models, A::Error> {
                let device = Model::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Models { device, own: Vec::new() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Models, A::Error> {
                let entries = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Models::of(entries).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Models {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.own.is_empty() {
            self.device.serialize(serializer)
        } else {
            self.entries().serialize(serializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    struct File {
        model: Models,
    }

    fn check(text: &str, device: (bool, Option<&str>), own: &[(&str, &str)]) {
        let file: File = toml::from_str(text).unwrap();
        let models = &file.model;
        assert_eq!(models.device, Model { enabled: device.0, file: device.1.map(PathBuf::from) }, "{text}");
        let found: Vec<_> = models.own.iter().map(|o| (o.name.as_str(), o.series[0].as_str())).collect();
        assert_eq!(found, own, "{text}");
        let again: File = toml::from_str(&toml::to_string(&file).unwrap()).unwrap();
        assert_eq!(again.model.device, file.model.device);
        assert_eq!(again.model.own.len(), file.model.own.len());
    }

    #[test]
    fn one_table_or_several() {
        check("[model]", (true, None), &[]);
        check("[model]\nenabled = false\nfile = 'a.onnx'", (false, Some("a.onnx")), &[]);
        let press =
            "[[model]]\nfile = 'press.onnx'\nseries = ['tank.*']\ncontract = 'score/1'\nevery = '2s'\n";
        check(press, (true, None), &[("press", "tank.*")]);
        check(&format!("{press}[[model]]\nenabled = false"), (false, None), &[("press", "tank.*")]);
        check(
            &format!("{press}[[model]]\nname='b'\nfile='b'\nenabled=false\nseries=['*']"),
            (true, None),
            &[("press", "tank.*")],
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let check = |text: &str, wanted: &str| {
            let said = toml::from_str::<File>(text).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        };
        let own = "[[model]]\nfile = 'a.onnx'\nseries = ['x']\n";
        check("model = 3", "[model], or [[model]] for each of several");
        check(
            "[[model]]\nfil = 'a'",
            "unknown field `fil`, expected one of `name`, `enabled`, `file`, `series`",
        );
        check("[[model]]\nseries = ['x']", "model[0].file: missing; write the path of an ONNX file");
        check("[[model]]\nname = 'x'", "model[0].series: missing; write the series");
        check("[[model]]\n[[model]]\n", "model[1].series: missing; only one model");
        check(&format!("{own}contract = 'x/1'"), "`x/1` is none; there are: forecast/1, score/1");
        check(&format!("{own}{own}"), "model[1].name: `a` is the name of two models");
        check("[[model]]\nfile = 'a b.onnx'\nseries = ['x']", "model[0].name: `a b` is no name");
    }
}
