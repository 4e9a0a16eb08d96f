//! The edge: decides again and again what people are told, from what stands in the store, and keeps what it decided with
//! the notices in one transaction. Nothing is remembered here that cannot be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::outlets::{Mine, Outlets, notices};
use super::view::{Spells, spells};
use super::{
    By, Decision, History, IncidentView, LOOKS_BACK_MS, Occurrence, Report, Rules, Spending, decide, dry_run,
    spending,
};
